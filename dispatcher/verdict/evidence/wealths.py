"""The e-processes of `evidence` for many shares at once, look by look. Pure.

The wealth of a bet is a product over clusters, so its logarithm adds up over looks, and each share of a cluster that
was seen needs one logarithm, however many clusters have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dispatcher.verdict.evidence.e_process import FAIL_GRID, PASS_GRID, Histogram, by_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_LOWEST, _HIGHEST = 1e-9, 1 - 1e-9
"""How near to 0 or 1 a share is taken."""
_NOTHING_LEFT = -1e200
"""The logarithm of a wealth that is lost: added to any other it stays lost, and no times it is nothing."""
_AT_ONCE = 64
"""Shares of clusters whose logarithms are held at the same time."""


@dataclass(frozen=True)
class Wealths:
    """One side of the evidence against each of `shares` being the true one or beyond.

    `looks` are the clusters that each look took in. The pass side holds against "at least so many are above the limit",
    where nothing contradicts "at least 0"; the fail side against "at most so many", where nothing contradicts "at most
    1".
    """

    looks: Sequence[Histogram]
    shares: Values
    passing: bool

    @cached_property
    def log_weights(self) -> Values:
        """The logarithms of the bets' weights."""
        return np.log([weight for _, weight in (PASS_GRID if self.passing else FAIL_GRID)])

    @cached_property
    def gained(self) -> Values:
        """What each look adds to the logarithm of the wealth of each bet, by look, share and bet."""
        return np.moveaxis(self._wealth(lambda counts: counts), -1, 0)

    @cached_property
    def log_e(self) -> Values:
        """Ln E by share and look."""
        return self._mixed(self._wealth(lambda counts: np.cumsum(counts, axis=1)))

    def log_e_of_all(self, times: float = 1.0) -> Values:
        """Ln E by share, of so many times as many clusters as all looks took in."""
        return np.asarray(self._mixed(times * self._last)[:, 0])

    @cached_property
    def _last(self) -> Values:
        return self._wealth(lambda counts: counts.sum(axis=1, keepdims=True))

    def _mixed(self, wealth: Values) -> Values:
        terms = wealth + self.log_weights[:, None]
        largest = terms.max(axis=1)  # finite, since the bet on the share itself never moves
        terms -= largest[:, None]
        return np.asarray(largest + np.log(np.exp(terms, out=terms).sum(axis=1)))

    def _wealth(self, columns: Callable[[Values], Values]) -> Values:
        """The logarithms by share, bet and column; `columns` makes them of counts that have one for each look."""
        found: Values = np.zeros((self.shares.size * self.log_weights.size, 1))
        for gains, counts in self._parts:
            found = found + gains.reshape(len(found), -1) @ columns(counts)
        return found.reshape(self.shares.size, self.log_weights.size, -1)

    @property
    def _parts(self) -> Iterator[tuple[Values, Values]]:
        """For a part of the shares of clusters at a time: the logarithm of each bet's gain, and the counts by look."""
        seen = [by_share(clusters) for clusters in self.looks]
        known = sorted({share for each in seen for share in each})
        counts = np.array([[each.get(share, 0.0) for each in seen] for share in known]).reshape(len(known), len(seen))
        for first in range(0, max(len(known), 1), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            yield self._log_gains(np.array(known[part])), counts[part]

    def _log_gains(self, seen: Values) -> Values:
        p0 = np.clip(self.shares, _LOWEST, _HIGHEST)[:, None]
        bets = p0 * np.array([times for times, _ in (PASS_GRID if self.passing else FAIL_GRID)])
        if not self.passing:
            bets = np.minimum(bets, 1 - (1 - p0) / 100)
        rates = (p0 - bets) / (p0 * (1 - p0))
        gains = 1 + rates[..., None] * (p0[..., None] - seen)
        logs = np.log(gains, where=gains > 0, out=np.full_like(gains, _NOTHING_LEFT))
        logs[self.shares <= 0 if self.passing else self.shares >= 1] = 0.0
        return np.asarray(logs)
