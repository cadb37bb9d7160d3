"""How likely a comparison with the control crosses its line, and when: by seeded simulation. Pure.

There is no short recursion for two arms at once, so whole histories are drawn: lognormal values for a mean, the shape
of `assumed` for a percentile. The generator and its seed are fixed, so the same question has the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dispatcher.verdict.chances.crossing import Chances
from dispatcher.verdict.evidence.contrast import FEWEST_CLUSTERS, Contrast
from dispatcher.verdict.evidence.e_process import FAIL_GRID, PASS_GRID

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Sample = Callable[[Generator, int], Values]

SEED = 650
RUNS = 2000
FEWEST_RUNS = 300
_DRAWS = 12_000_000
_THRESHOLDS = 128
_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeansCase:
    """A mean against `ratio` times the control's, which is 1, or, where there is no control, against `limit`.

    `sizes` are the clusters counted by each look, candidate first; `control` is None without one. `mean` is the
    candidate's true mean, `sigma` the spread of both arms' logarithms. `naive` looks at the figure itself.
    """

    candidate: Sequence[int]
    control: Sequence[int] | None
    mean: float
    ratio: float
    sigma: float
    limit: float = 0.0
    to_pass: float
    to_fail: float | None
    t_star: float
    fewest: int = FEWEST_CLUSTERS
    naive: bool = False


def mean_chances(case: MeansCase, runs: int = RUNS, on_progress: Callable[[float], None] | None = None) -> Chances:
    """The chances of a mean's criterion at each look, over simulated runs."""
    rng, runs = np.random.default_rng(SEED), _affordable(runs, case.candidate, case.control)
    arms = [(case.candidate, case.mean), *([(case.control, 1.0)] if case.control is not None else [])]
    sums = [np.zeros((2, runs)) for _ in arms]
    crossed = Crossed(runs)
    for look in range(len(case.candidate)):
        for arm, (sizes, mean) in enumerate(arms):
            more = sizes[look] - (sizes[look - 1] if look else 0)
            sums[arm] += _lognormal_sums(rng, more, runs, mean, case.sigma)
        sizes_now = [sizes[look] for sizes, _ in arms]
        if min(sizes_now) < max(case.fewest, 2):
            crossed.take(None, None)
        else:
            difference, error = _difference(case, sums, sizes_now)
            error = np.zeros_like(error) if case.naive else error
            one = Contrast(0.0, 1.0, sum(sizes_now))
            fails = None if case.to_fail is None else difference > error * one.half_width(case.to_fail, case.t_star)
            crossed.take(difference + error * one.half_width(case.to_pass, case.t_star) <= 0, fails)
        if on_progress is not None:
            on_progress((look + 1) / len(case.candidate))
    return crossed.chances()


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentilesCase:
    """A percentile against `ratio` times another one that is only known by a sample.

    `candidate` and `control` are the clusters counted by each look; the control is a concurrent arm, or a pinned sample
    of one size throughout. `times` is the candidate's true percentile over the control's.
    """

    candidate: Sequence[int]
    control: Sequence[int]
    sample: Sample
    times: float
    ratio: float
    p0: float
    failures: float = 0.0
    to_pass: float
    to_fail: float | None
    fewest: int


def percentile_chances(
    case: PercentilesCase, runs: int = RUNS, on_progress: Callable[[float], None] | None = None
) -> Chances:
    """The chances of a percentile against a sampled one at each look, over simulated runs.

    The bound is taken over 128 thresholds, of which a verdict takes more, so its chances are at least these.
    """
    rng, runs = np.random.default_rng(SEED), _affordable(runs, case.candidate, case.control)
    tails = (case.p0 * np.geomspace(8, 0.01, _THRESHOLDS)).clip(max=0.999)
    grid = np.quantile(case.sample(rng, 200_000), 1 - tails)
    arms = [np.zeros((runs, _THRESHOLDS + 1), dtype=np.int64) for _ in range(2)]
    crossed = Crossed(runs)
    for look in range(len(case.candidate)):
        more = [sizes[look] - (sizes[look - 1] if look else 0) for sizes in (case.candidate, case.control)]
        if not any(more) or crossed.by_all:
            crossed.take(None, None)
            continue
        arms[0] += _binned(rng, case, more[0], runs, grid, case.times / case.ratio, case.failures)
        arms[1] += _binned(rng, case, more[1], runs, grid, 1.0, 0.0)
        sizes = (case.candidate[look], case.control[look])
        if min(sizes) == 0:
            crossed.take(None, None)
        else:
            above = [np.flip(np.cumsum(np.flip(held, 1), 1), 1)[:, 1:] for held in arms]
            passes = _least(above[0], sizes[0], above[1], sizes[1], case.p0)
            enough = sizes[0] >= case.fewest
            fails = None
            if case.to_fail is not None:
                fails = _least(above[1], sizes[1], above[0], sizes[0], case.p0)
            crossed.take(
                passes >= -math.log(case.to_pass) if enough else None,
                None if fails is None or case.to_fail is None else fails >= -math.log(case.to_fail),
            )
        if on_progress is not None:
            on_progress((look + 1) / len(case.candidate))
    return crossed.chances()


class Crossed:
    """Which runs have crossed which line; the first crossing acts."""

    def __init__(self, runs: int) -> None:
        self._alive = np.ones(runs, dtype=bool)
        self._runs = runs
        self._passed = [0]
        self._failed = [0]

    def take(self, passes: NDArray[np.bool_] | None, fails: NDArray[np.bool_] | None) -> None:
        """Count a look."""
        for so_far, crossing in ((self._passed, passes), (self._failed, fails)):
            crossed = self._alive & crossing if crossing is not None else np.zeros_like(self._alive)
            so_far.append(so_far[-1] + int(crossed.sum()))
            self._alive = self._alive & ~crossed

    @property
    def by_all(self) -> bool:
        """Whether no run is left that could cross."""
        return not self._alive.any()

    def chances(self) -> Chances:
        """The shares of all runs."""
        return Chances(*(tuple(count / self._runs for count in side[1:]) for side in (self._passed, self._failed)))


def _affordable(runs: int, *arms: Sequence[int] | None) -> int:
    largest = sum(sizes[-1] for sizes in arms if sizes)
    return max(min(runs, _DRAWS // max(largest, 1)), FEWEST_RUNS)


def _lognormal_sums(rng: Generator, more: int, runs: int, mean: float, sigma: float) -> Values:
    """Σx and Σx² of so many more values in every run; their limit law where they are very many."""
    if more == 0:
        return np.zeros((2, runs))
    if more * runs > _AT_ONCE:
        moments = [mean**power * math.exp(sigma**2 * power * (power - 1) / 2) for power in range(5)]
        covariance = [[moments[i + j] - moments[i] * moments[j] for j in (1, 2)] for i in (1, 2)]
        scale = math.sqrt(more)
        drawn = rng.multivariate_normal([0.0, 0.0], covariance, runs, method="cholesky").T * scale
        return np.asarray(drawn + more * np.array([[moments[1]], [moments[2]]]))
    values = rng.lognormal(math.log(mean) - sigma**2 / 2, sigma, (runs, more))
    return np.stack([values.sum(axis=1), (values**2).sum(axis=1)])


def _difference(case: MeansCase, sums: Sequence[Values], sizes: Sequence[int]) -> tuple[Values, Values]:
    difference, variance = np.full(sums[0].shape[1], -case.limit), np.zeros(sums[0].shape[1])
    for (total, squares), size, factor in zip(sums, sizes, (1.0, -case.ratio), strict=False):
        mean = total / size
        difference = difference + factor * mean
        variance = variance + factor**2 * (squares - size * mean**2) / (size - 1) / size
    return difference, np.sqrt(variance)


def _binned(
    rng: Generator, case: PercentilesCase, more: int, runs: int, grid: Values, times: float, failures: float
) -> Whole:
    """How many of so many more values of every run lie between which thresholds."""
    if more == 0:
        return np.zeros((runs, grid.size + 1), dtype=np.int64)
    edges = np.concatenate([[-math.inf], grid, [math.inf]])
    if more * runs > _AT_ONCE:
        reference = np.sort(case.sample(rng, _AT_ONCE)) * times
        below = np.searchsorted(reference, edges, side="right") / reference.size
        shares = np.diff(below) * (1 - failures)
        shares[-1] += failures
        return rng.multinomial(more, shares / shares.sum(), runs)
    values = case.sample(rng, runs * more) * times
    if failures:
        values = np.where(rng.random(values.size) < failures, math.inf, values)
    bins = np.searchsorted(grid, values, side="left") + (grid.size + 1) * np.repeat(np.arange(runs), more)
    return np.bincount(bins, minlength=runs * (grid.size + 1)).reshape(runs, grid.size + 1)


def _least(kept: Whole, kept_of: int, broken: Whole, broken_of: int, p0: float) -> Values:
    """The least over thresholds of E⁻ at one and E⁺ at the next, open ends included."""
    passes, fails = _wealth(kept_of, PASS_GRID, p0), _wealth(broken_of, FAIL_GRID, p0)
    ends = np.zeros((kept.shape[0], 1), dtype=np.int64)
    lower = np.concatenate([ends + kept_of, kept], axis=1)  # below every threshold everything lies above it
    upper = np.concatenate([broken, ends], axis=1)
    return np.asarray((passes[lower] + fails[upper]).min(axis=1))


def _wealth(n: int, grid: Sequence[tuple[float, float]], p0: float) -> Values:
    """The logarithm of E of single clusters for every k from 0 to n, on a grid of `evidence`."""
    k = np.arange(n + 1)
    highest = 1 - (1 - p0) / 100
    terms = []
    for times, weight in grid:
        bet = min(p0 * times, highest)
        with np.errstate(divide="ignore"):
            gain = k * np.log(bet / p0) if bet else np.where(k == 0, 0.0, -math.inf)
        terms.append(math.log(weight) + gain + (n - k) * math.log((1 - bet) / (1 - p0)))
    return np.asarray(np.logaddexp.reduce(terms, axis=0))
