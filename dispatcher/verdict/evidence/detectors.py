"""Detectors of a limit that was kept and is broken now, where nobody knows at which of many shares or times. Pure.

For each beginning the wealth of a bet since then is an e-process, so S ← (S + 1) · gain for each bet, summed with the
bets' weights, is an e-detector at the one threshold that is true (Shin, Ramdas and Rinaldo 2024, E-detectors). The
least S of all thresholds is below it: while the limit is kept, it takes h looks on average, or more, to reach h.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dispatcher.verdict.evidence.wealths import Values


def least_log_detectors(gained: Iterable[Values], log_weights: Values, beside: Values | float = 0.0) -> Iterator[float]:
    """At each look ln S, the least of all thresholds; `gained` are the logarithms by threshold and bet of each look.

    `beside` is the logarithm, by threshold, of an e-value that is independent of what is looked at.
    """
    sums: Values = np.full(log_weights.shape, -np.inf)
    for each in gained:
        sums = np.logaddexp(sums, 0.0) + each
        yield float((np.logaddexp.reduce(sums + log_weights, axis=-1) + beside).min())


def products(one: Iterable[Values], other: Iterable[Values]) -> Iterator[Values]:
    """What each look adds where a bet on the one side and a bet on the other are made together."""
    for gained, beside in zip(one, other, strict=True):
        yield (gained[:, :, None] + beside[:, None, :]).reshape(len(gained), -1)


def product_weights(one: Values, other: Values) -> Values:
    """The logarithms of the weights of such pairs."""
    return np.asarray(one[:, None] + other).reshape(-1)
