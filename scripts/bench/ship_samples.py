"""What each rule of deciding does where the limit is a multiple of a sample's p95: the look of the first crossing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from ship_rules import AS_JUDGED, UNDIVIDED
from ship_worlds import P0, RATIO, Arrivals

from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, Arms, Tail, bucket_of


def tail(buckets: NDArray[np.float64]) -> Tail:
    """Single calls by their bucket, in whole numbers."""
    values, counted = np.unique(buckets, return_counts=True)
    return Tail({(1, 1): {int(value): int(count) for value, count in zip(values, counted, strict=True)}})


@np.vectorize
def bucketed(value: float) -> int:
    """A time as the measurement counts it; infinite where it failed."""
    if math.isinf(value):
        return ALWAYS if value > 0 else NEVER
    return bucket_of(math.ceil(value))


def grid_firsts(arrivals: Arrivals) -> tuple[int, int, int]:
    """The first looks at which our bound over all thresholds passes: at undivided alpha, as judged; and fails."""
    candidate, control = bucketed(arrivals.candidate / RATIO), bucketed(arrivals.control)
    passed, judged, failed = 0, 0, 0
    for look, (m, n) in enumerate(arrivals.seen, start=1):
        arms = Arms(tail(candidate[:m]), tail(control[:n]))
        if not judged:
            log_e = arms.log_e_pass(P0)
            passed = passed or (look if log_e >= UNDIVIDED.threshold else 0)
            judged = look if log_e >= AS_JUDGED.threshold and m >= AS_JUDGED.fewest else 0
        if not failed and arms.log_e_fail(P0) >= UNDIVIDED.threshold:
            failed = look
        if failed or judged:
            break
    return passed, judged, failed


def naive_ratio_first(arrivals: Arrivals, fewest: int = 1) -> int:
    """The first look at which the ratio of the two nearest-rank percentiles keeps the limit."""
    for look, (m, n) in enumerate(arrivals.seen, start=1):
        if min(m, n) >= fewest and nearest(arrivals.candidate[:m]) <= RATIO * nearest(arrivals.control[:n]):
            return look
    return 0


def rank_intervals_first(arrivals: Arrivals, alpha: float = 0.05) -> int:
    """The first look at which an upper bound of the candidate lies below the limit of a lower bound of the control."""
    for look, (m, n) in enumerate(arrivals.seen, start=1):
        upper = int(binom.ppf(1 - alpha / 2, m, 1 - P0)) + 1
        lower = int(binom.ppf(alpha / 2, n, 1 - P0))
        if upper > m or lower < 1:
            continue
        if np.partition(arrivals.candidate[:m], upper - 1)[upper - 1] <= RATIO * np.partition(
            arrivals.control[:n], lower - 1
        )[lower - 1]:  # fmt: skip
            return look
    return 0


def interpolated(values: NDArray[np.float64]) -> float:
    """The p95 between two ranks, as most tools give it."""
    return float(np.quantile(values, 1 - P0))


def nearest(values: NDArray[np.float64], share: float = 1 - P0) -> float:
    rank = math.ceil(round(share * values.size, 9))
    return float(np.partition(values, rank - 1)[rank - 1])
