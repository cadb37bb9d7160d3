"""What our rule does with a rate beside the control's: the look of the first crossing, 0 for none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from ship_rules import Rule

from dispatcher.verdict.evidence.e_process import FAIL_GRID, PASS_GRID
from dispatcher.verdict.evidence.rates import EDGES, log_e_pass_rates


@dataclass(frozen=True)
class FastRates:
    """`log_e_pass_rates` for single calls, all cells at once; a test holds the two against each other."""

    margin: float

    def allowed(self, share: float) -> float:
        return share + self.margin

    def log_e_pass(self, m: int, k_m: int, n: int, k_n: int) -> float:
        return float((self._kept(m, k_m) + self._broken(n, k_n)).min())

    def exact(self, m: int, k_m: int, n: int, k_n: int) -> float:
        return log_e_pass_rates({(1, 0): m - k_m, (1, 1): k_m}, {(1, 0): n - k_n, (1, 1): k_n}, self.allowed)

    def _kept(self, n: int, k: int) -> NDArray[np.float64]:
        p0 = np.minimum(np.array([self.allowed(edge) for edge in EDGES[:-1]]), 1 - 1e-9)
        return _mixture(n, k, p0, pass_side=True)

    def _broken(self, n: int, k: int) -> NDArray[np.float64]:
        sums = _mixture(n, k, np.minimum(np.array(EDGES[1:]), 1 - 1e-12), pass_side=False)
        sums[-1] = 0.0
        return sums


def _mixture(n: int, k: int, p0: NDArray[np.float64], *, pass_side: bool) -> NDArray[np.float64]:
    terms = [
        weight + k * above + (n - k) * kept for weight, above, kept in _coefficients(tuple(p0), pass_side=pass_side)
    ]
    return np.logaddexp.reduce(np.array(terms), axis=0)


@cache
def _coefficients(
    p0: tuple[float, ...], *, pass_side: bool
) -> list[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    allowed = np.array(p0)
    highest = 1 - (1 - allowed) / 100
    found = []
    for times, weight in PASS_GRID if pass_side else FAIL_GRID:
        bet = allowed * times if pass_side else np.minimum(allowed * times, highest)
        above = np.full_like(allowed, -1e300) if not times else np.log(bet / allowed)
        found.append((math.log(weight), above, np.log((1 - bet) / (1 - allowed))))
    return found


def rates_first(k: Sequence[NDArray[np.int64]], sizes: Sequence[int], margin: float, rule: Rule) -> Iterator[int]:
    """The first look at which a rate beside the control's passes, for each run."""
    fast = FastRates(margin)
    held: dict[tuple[int, int, int], bool] = {}
    for candidate, control in zip(*k, strict=True):
        yield next(
            (
                look
                for look, n in enumerate(sizes, start=1)
                if n >= max(rule.fewest, 1)
                and _held(fast, held, n, int(candidate[look - 1]), int(control[look - 1]), rule)
            ),
            0,
        )


def _held(fast: FastRates, held: dict[tuple[int, int, int], bool], n: int, k_m: int, k_n: int, rule: Rule) -> bool:
    key = (n, k_m, k_n)
    if key not in held:
        held[key] = fast.log_e_pass(n, k_m, n, k_n) >= rule.threshold
    return held[key]
