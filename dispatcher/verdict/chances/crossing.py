"""How likely a count crosses a line, and when: by exact recursion over weekly looks. Pure.

Between two looks the number of clusters above the limit grows by a binomial draw. What has crossed the pass line or the
fail line at a look is taken out there, so the first crossing acts; what is left goes on to the next look. Nothing is
simulated, and the same question has the same answer on every machine, to within a rounding of 1e-10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dispatcher.verdict.evidence.e_process import log_e_fail, log_e_pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Masses = NDArray[np.float64]

_NEGLIGIBLE = 1e-13
_ROUNDING = 1e-16
"""What a transformed product may be off by: a mass below it isn't known, and all of them together are negligible."""
_DIRECT = 1_000_000
"""Products of two counts' masses up to which they are added up one by one."""
_HALF = 0.5

MostToPass = Callable[[int], int]
"""The most clusters above the limit of n with which a look passes; -1 where none does."""
FewestToFail = Callable[[int], int]
"""The fewest with which it fails; n + 1 where none does."""


@dataclass(frozen=True, slots=True)
class Chances:
    """The chance of a pass and of a fail by each look, the first crossing acting; both only rise."""

    passed: tuple[float, ...]
    failed: tuple[float, ...]

    @property
    def to_pass(self) -> float:
        """The chance of a pass in the end."""
        return self.passed[-1] if self.passed else 0.0

    @property
    def to_fail(self) -> float:
        """The chance of a fail in the end."""
        return self.failed[-1] if self.failed else 0.0

    def week_of(self, chance: float) -> int | None:
        """The first look by which a pass is at least that likely; None where it never is."""
        return next((week for week, so_far in enumerate(self.passed, start=1) if so_far >= chance), None)

    @property
    def median_week(self) -> int | None:
        """The look at which half of those that ever pass have passed; None where none does."""
        return self.week_of(self.to_pass * _HALF) if self.to_pass > _NEGLIGIBLE else None

    @property
    def median_fail_week(self) -> int | None:
        """The same of those that ever fail."""
        turned = Chances(self.failed, self.passed)
        return turned.median_week


def chances(sizes: Sequence[int], share: float, most_to_pass: MostToPass, fewest_to_fail: FewestToFail) -> Chances:
    """The chances at each look for a true share above the limit; `sizes` are the clusters counted by each look."""
    alive: Masses = np.ones(1)
    first, seen = 0, 0  # alive[i] is the mass of first + i clusters above the limit
    passed, failed = [0.0], [0.0]
    for size in sizes:
        if not alive.size or size == seen:  # nothing is left to cross, or nothing has come
            passed.append(passed[-1])
            failed.append(failed[-1])
            continue
        grown, offset = _grown(alive, size - seen, share)
        first, seen = first + offset, size
        to_pass = _part(grown, first, upto=most_to_pass(size))
        to_fail = _part(grown, first, start=fewest_to_fail(size))
        passed.append(passed[-1] + float(grown[to_pass].sum()))
        failed.append(failed[-1] + float(grown[to_fail].sum()))
        alive = grown.copy()
        alive[to_pass] = 0.0
        alive[to_fail] = 0.0
        alive, first = _trimmed(alive, first)
    return Chances(tuple(passed[1:]), tuple(failed[1:]))


@lru_cache(maxsize=32)
def lines(p0: float, to_pass: float, to_fail: float | None, fewest_clusters: int) -> tuple[MostToPass, FewestToFail]:
    """The lines of the e-process for single counts: a pass at 1/`to_pass` from so many clusters on, a fail at
    1/`to_fail` (never where that is None). What was found for a number of clusters is remembered.
    """

    @cache
    def most_to_pass(n: int) -> int:
        if n < fewest_clusters or log_e_pass(_single(n, 0), p0) < -math.log(to_pass):
            return -1
        return _last(0, n, lambda k: log_e_pass(_single(n, k), p0) >= -math.log(to_pass))

    @cache
    def fewest_to_fail(n: int) -> int:
        if to_fail is None or n == 0 or log_e_fail(_single(n, n), p0) < -math.log(to_fail):
            return n + 1
        return _last(0, n, lambda k: log_e_fail(_single(n, k), p0) < -math.log(to_fail)) + 1

    return most_to_pass, fewest_to_fail


def naive_line(p0: float) -> tuple[MostToPass, FewestToFail]:
    """What a weekly look at the nearest-rank percentile does: it passes whenever the figure lies within the limit."""
    return (lambda n: n - math.ceil(round((1 - p0) * n, 9)) if n else -1), (lambda n: n + 1)


def _single(n: int, k: int) -> dict[tuple[int, int], int]:
    return {(1, 0): n - k, (1, 1): k}


def _last(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The largest number in [low, high] for which it holds; it holds at low, and once it doesn't it never does."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _grown(alive: Masses, more: int, share: float) -> tuple[Masses, int]:
    """The masses after so many more clusters, and by how much their first count has risen."""
    spread = 12 * math.sqrt(more * share * (1 - share)) + 40
    low, high = max(0, math.floor(more * share - spread)), min(more, math.ceil(more * share + spread))
    return _convolved(alive, _binomial(more, share, low, high)), low


def _convolved(masses: Masses, draw: Masses) -> Masses:
    """The masses of a sum of two counts; by Fourier transform where they are long."""
    if masses.size * draw.size <= _DIRECT:
        return np.convolve(masses, draw)
    length = masses.size + draw.size - 1
    points = 1 << (length - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(masses, points) * np.fft.rfft(draw, points), points)[:length]
    return np.where(product > _ROUNDING, product, 0.0)


def _binomial(n: int, share: float, low: int, high: int) -> Masses:
    """The binomial masses from low to high, by their ratios to the one nearest to the mean."""
    if share in {0.0, 1.0}:
        certain: Masses = (np.arange(low, high + 1) == n * share).astype(np.float64)
        return certain
    k = np.arange(low + 1, high + 1)
    steps = np.log(n - k + 1) - np.log(k) + math.log(share) - math.log1p(-share)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    anchor = min(max(round(n * share), low), high)
    known = math.lgamma(n + 1) - math.lgamma(anchor + 1) - math.lgamma(n - anchor + 1)
    known += anchor * math.log(share) + (n - anchor) * math.log1p(-share)
    masses: Masses = np.exp(logs - logs[anchor - low] + known)
    return masses


def _part(masses: Masses, first: int, *, start: int | None = None, upto: int | None = None) -> slice:
    """The counts from `start` on, or up to and with `upto`, as positions."""
    if start is not None:
        return slice(min(max(start - first, 0), masses.size), masses.size)
    assert upto is not None
    return slice(0, min(max(upto + 1 - first, 0), masses.size))


def _trimmed(masses: Masses, first: int) -> tuple[Masses, int]:
    held = np.flatnonzero(masses > _NEGLIGIBLE * _NEGLIGIBLE)
    if not held.size:
        return np.zeros(0), first
    return masses[held[0] : held[-1] + 1], first + int(held[0])
