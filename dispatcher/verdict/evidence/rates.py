"""A rate against the control's rate in the same weeks, which nobody knows: a bound over all rates. Pure.

If the control's true share of exceedances is p, the candidate may have t(p), which rises with p. Over cells [a, b] that
cover [0, 1], "p at most b" is true for the control and "t(a) or more" for a candidate beyond its limit, in the one cell
that p is in. So there the product of the two e-processes is one, and the least product of all cells is below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dispatcher.verdict.evidence.detectors import least_log_detectors, product_weights, products
from dispatcher.verdict.evidence.e_process import Histogram
from dispatcher.verdict.evidence.wealths import Wealths

if TYPE_CHECKING:
    from dispatcher.verdict.evidence.wealths import Values

Allowed = Callable[[float], float]
"""The share of exceedances that a candidate may have, given the control's; it doesn't fall as that one rises."""

_CELLS = 512
_NEAREST = 4
_EVERY = 8
"""Of the cells so many are one for a detector, which looks at all pairs of bets."""

EDGES = tuple(math.sin(math.pi / 2 * cell / _CELLS) ** 2 for cell in range(_CELLS + 1))
"""Fixed edges, near each other where a share can be told best; they can't depend on the data."""


@dataclass(frozen=True)
class Beside:
    """Both arms as one side of the claim counts them, by what each look took in."""

    candidate: Sequence[Histogram]
    control: Sequence[Histogram]
    allowed: Allowed

    def log_e_pass(self) -> list[float]:
        """At each look a lower bound of ln E against "the candidate has more than it may"."""
        return [float(least) for least in self._kept.log_e.min(axis=0)]

    def log_e_fail(self) -> list[float]:
        """At each look a lower bound of ln E against "the candidate has no more than it may"."""
        return [float(least) for least in self._broken.log_e.min(axis=0)]

    def log_e_pass_of(self, times: float) -> float:
        """The same for a pass at the last look, if everything had been seen so many times."""
        return float(self._kept.log_e_of_all(times).min())

    def log_e_fail_of(self, times: float) -> float:
        """The same for a fail."""
        return float(self._broken.log_e_of_all(times).min())

    def ever_fails(self, log_threshold: float) -> bool:
        """Whether the fail side reaches a threshold at some look; mostly a few cells already say that it doesn't."""
        near = self._near_the_control()
        if not (_broken(self, near).log_e.min(axis=0) >= log_threshold).any():
            return False
        return max(self.log_e_fail()) >= log_threshold

    def log_detectors(self) -> Iterator[float]:
        """At each look ln S of a detector of a candidate that had no more than it may and has more now."""
        edges = np.array(EDGES[::_EVERY])
        both = _broken(self, np.column_stack([edges[:-1], edges[1:]]))
        one, other = both.candidate, both.control
        weights = product_weights(one.log_weights, other.log_weights)
        return least_log_detectors(products(one.gained, other.gained), weights)

    @cached_property
    def _kept(self) -> _Cells:
        may = np.array([self.allowed(low) for low in _ALL[:, 0]])
        return _Cells(Wealths(self.candidate, may, passing=True), Wealths(self.control, _ALL[:, 1], passing=False))

    @cached_property
    def _broken(self) -> _Cells:
        return _broken(self, _ALL)

    def _near_the_control(self) -> Values:
        """The cells around the share that was seen of the control."""
        n = sum(size * count for clusters in self.control for (size, _), count in clusters.items())
        above = sum(k * count for clusters in self.control for (_, k), count in clusters.items())
        distance = np.abs(_ALL.mean(axis=1) - (above / n if n else 0.0))
        return np.asarray(_ALL[np.sort(np.argsort(distance, kind="stable")[:_NEAREST])])


@dataclass(frozen=True)
class _Cells:
    """The two e-processes whose product is one in the cell of the control's true share."""

    candidate: Wealths
    control: Wealths

    @property
    def log_e(self) -> Values:
        """The logarithm of their product by cell and look."""
        return np.asarray(self.candidate.log_e + self.control.log_e)

    def log_e_of_all(self, times: float) -> Values:
        """The same by cell, if everything had been seen so many times."""
        return np.asarray(self.candidate.log_e_of_all(times) + self.control.log_e_of_all(times))


_ALL = np.column_stack([EDGES[:-1], EDGES[1:]])


def _broken(sides: Beside, cells: Values) -> _Cells:
    may = np.array([sides.allowed(high) for high in cells[:, 1]])
    return _Cells(Wealths(sides.candidate, may, passing=False), Wealths(sides.control, cells[:, 0], passing=True))


def log_e_pass_rates(candidate: Histogram, control: Histogram, allowed: Allowed) -> float:
    """A lower bound of ln E against "the candidate has more than it may", from the known exceedances of the control."""
    return Beside([candidate], [control], allowed).log_e_pass_of(1)
