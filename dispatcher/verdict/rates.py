"""A rate against the control's rate in the same weeks, which nobody knows: a bound over all rates. Pure.

If the control's true share of exceedances is p, the candidate may have t(p), which rises with p. Over cells [a, b] that
cover [0, 1], "p at most b" is true for the control and "t(a) or more" for a candidate beyond its limit, in the one cell
that p is in. So there the product of the two e-processes is one, and the least product of all cells is below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from dispatcher.verdict.evidence import Histogram, log_e_fail, log_e_pass

Allowed = Callable[[float], float]
"""The share of exceedances that a candidate may have, given the control's; it doesn't fall as that one rises."""

_CELLS = 512
_HIGHEST = 1 - 1e-9

EDGES = tuple(math.sin(math.pi / 2 * cell / _CELLS) ** 2 for cell in range(_CELLS + 1))
"""Fixed edges, near each other where a share can be told best; they can't depend on the data."""


def log_e_pass_rates(candidate: Histogram, control: Histogram, allowed: Allowed) -> float:
    """A lower bound of ln E against "the candidate has more than it may", from the known exceedances of the control."""
    return min(_kept(candidate, control, allowed))


def log_e_fail_rates(candidate: Histogram, control: Histogram, allowed: Allowed) -> float:
    """A lower bound of ln E against "the candidate has no more than it may"."""
    return min(_broken(candidate, control, allowed))


def reaches_fail(candidate: Histogram, control: Histogram, allowed: Allowed, log_threshold: float) -> bool:
    """Whether the fail side reaches a threshold; as soon as one cell doesn't, the others need no look."""
    return all(each >= log_threshold for each in _broken(candidate, control, allowed))


def _kept(candidate: Histogram, control: Histogram, allowed: Allowed) -> Iterator[float]:
    for low, high in _cells_of(control):
        yield _pass_at(candidate, allowed(low)) + _fail_at(control, high)


def _broken(candidate: Histogram, control: Histogram, allowed: Allowed) -> Iterator[float]:
    for low, high in _cells_of(control):
        yield _fail_at(candidate, allowed(high)) + _pass_at(control, low)


def _cells_of(control: Histogram) -> Iterator[tuple[float, float]]:
    """All cells, those near the control's observed share first."""
    n = sum(size * count for (size, _), count in control.items())
    seen = sum(above * count for (_, above), count in control.items()) / n if n else 0.0
    return iter(sorted(pairwise(EDGES), key=lambda cell: abs(sum(cell) / 2 - seen)))


def _pass_at(clusters: Histogram, p0: float) -> float:
    """The evidence against "at least p₀": nothing contradicts "at least 0"."""
    return 0.0 if p0 <= 0 else log_e_pass(clusters, min(p0, _HIGHEST))


def _fail_at(clusters: Histogram, p0: float) -> float:
    """The evidence against "at most p₀": nothing contradicts "at most 1"."""
    return 0.0 if p0 >= 1 else log_e_fail(clusters, max(p0, 1 - _HIGHEST))
