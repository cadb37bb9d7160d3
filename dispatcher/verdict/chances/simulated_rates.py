"""How likely a rate held against the control's crosses its line, and when: by seeded simulation. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dispatcher.verdict.chances.crossing import Chances
from dispatcher.verdict.chances.simulated import SEED, Crossed
from dispatcher.verdict.evidence.e_process import FAIL_GRID, PASS_GRID
from dispatcher.verdict.evidence.rates import EDGES

if TYPE_CHECKING:
    from dispatcher.verdict.chances.simulated import Values, Whole

_FLOOR = 1e-9
"""How near to 0 or 1 a share is taken, as `rates` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesCase:
    """Shares on the wrong side: of the candidate against what `allowed` makes of the control's.

    `candidate` and `control` are the clusters counted by each look, `bad` their true shares, the candidate's first.
    With fewer `edges` than `rates` has the bound is a lower one, and quicker.
    """

    candidate: Sequence[int]
    control: Sequence[int]
    bad: tuple[float, float]
    allowed: Callable[[float], float]
    to_pass: float
    to_fail: float | None
    fewest: int
    edges: Sequence[float] = EDGES


def rate_chances(case: RatesCase, runs: int) -> Chances:
    """The chances of a rate's criterion at each look, over simulated runs, by the bound of `rates`."""
    rng = np.random.default_rng(SEED)
    above = [np.zeros(runs, dtype=np.int64) for _ in range(2)]
    crossed = Crossed(runs)
    lows, highs = np.array(case.edges[:-1]), np.array(case.edges[1:])
    may_low, may_high = (np.array([case.allowed(edge) for edge in edges]) for edges in (lows, highs))
    for look in range(len(case.candidate)):
        more = [sizes[look] - (sizes[look - 1] if look else 0) for sizes in (case.candidate, case.control)]
        for arm in range(2):
            above[arm] += rng.binomial(more[arm], case.bad[arm], runs)
        n, m = case.candidate[look], case.control[look]
        if min(n, m) == 0 or not any(more) or crossed.by_all:
            crossed.take(None, None)
            continue
        passes = _least(_passing(above[0], n, may_low), _failing(above[1], m, highs))
        fails = _least(_failing(above[0], n, may_high), _passing(above[1], m, lows))
        crossed.take(
            passes >= -math.log(case.to_pass) if n >= case.fewest else None,
            None if case.to_fail is None else fails >= -math.log(case.to_fail),
        )
    return crossed.chances()


def _least(first: Values, second: Values) -> Values:
    return np.asarray((first + second).min(axis=1))


def _passing(above: Whole, n: int, p0: Values) -> Values:
    """The evidence against "at least p0", by run and cell; nothing contradicts "at least 0"."""
    found = _mixture(above, n, np.clip(p0, _FLOOR, 1 - _FLOOR), PASS_GRID)
    found[:, p0 <= 0] = 0.0
    return found


def _failing(above: Whole, n: int, p0: Values) -> Values:
    """The evidence against "at most p0", by run and cell; nothing contradicts "at most 1"."""
    found = _mixture(above, n, np.clip(p0, _FLOOR, 1 - _FLOOR), FAIL_GRID)
    found[:, p0 >= 1] = 0.0
    return found


def _mixture(above: Whole, n: int, p0: Values, grid: Sequence[tuple[float, float]]) -> Values:
    """The mixture of `evidence` for single clusters; each number above is computed once."""
    k, place = np.unique(above, return_inverse=True)
    terms = []
    for times, weight in grid:
        bet = np.minimum(p0 * times, 1 - (1 - p0) / 100)
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing above is no loss, whatever the bet
            lost = np.where(k[:, None] == 0, 0.0, k[:, None] * np.log(bet / p0))
        kept = (n - k)[:, None] * (np.log1p(-bet) - np.log1p(-p0))
        terms.append(math.log(weight) + lost + kept)
    return np.asarray(np.logaddexp.reduce(terms, axis=0)[place])
