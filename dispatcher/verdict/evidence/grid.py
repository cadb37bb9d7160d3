"""A percentile against another percentile that is only known by a sample: a bound over all thresholds. Pure.

"p95 of the candidate is at most R times that of the control" is, for the control's true p95 c, "at most 5 % of the
candidate lie above R c", while at most 5 % of the control lie above c. Whatever c is, the product of the two
e-processes at c is one under the opposite claim, so their minimum over all c is below one: valid at every look,
although nobody knows c (Howard and Ramdas 2022, Sequential estimation of quantiles; here with a ratio and one side).
The candidate's factor rises with c and the control's falls, so between two neighbouring thresholds the product of the
first at the lower and the second at the upper one is a lower bound. The least of these bounds, open ends included,
counts.

A value is known by its bucket, 0.02 to 0.2 % wide, and what shares one is judged against the claim.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import accumulate

from dispatcher.verdict.evidence.e_process import Histogram, log_e_fail, log_e_pass
from dispatcher.verdict.measured import Arm, Distribution

NEVER = 0
"""The bucket of what is above no threshold."""
ALWAYS = 10**15
"""The bucket of what is above every threshold."""
MOST_STEPS = 64
"""How often the search for the least bound halves an interval; where that isn't enough, it ends below the least one."""

STEPS = 5000
"""A bucket is a multiple of the smallest power of ten that it has at most so many of: 0.02 to 0.2 % wide."""


class Side(StrEnum):
    """The claim that a row is counted against: what isn't known is judged against it."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class GridRow:
    """So many clusters of `size` dispatches, whose `rank`-th slowest dispatch (1 is the slowest) is in `bucket`.

    Buckets are in the control's unit: the candidate's values are divided by the ratio first. `tenant` is empty where
    tenants aren't told apart.
    """

    look: int
    tenant: str
    arm: Arm
    side: Side
    size: int
    rank: int
    bucket: int
    clusters: int


def bucket_of(value: int) -> int:
    """The smallest bucket that a value doesn't exceed."""
    step = 1
    while value > step * STEPS:
        step *= 10
    return -(-value // step) * step


@dataclass(frozen=True)
class Tail:
    """The clusters of one arm as one side counts them: how many of their dispatches lie above any threshold.

    `ranked` maps (size, rank) to how many clusters have which bucket there.
    """

    ranked: Mapping[tuple[int, int], Mapping[int, float]]

    @cached_property
    def _cumulative(self) -> Mapping[int, Sequence[tuple[list[int], list[float]]]]:
        """By size, for each rank in turn: the buckets in rising order, and how many clusters lie below each."""
        sizes: dict[int, list[tuple[list[int], list[float]]]] = defaultdict(list)
        for size, rank in sorted(self.ranked):
            counts = self.ranked[size, rank]
            buckets = sorted(counts)
            sizes[size].append((buckets, [0, *accumulate(counts[bucket] for bucket in buckets)]))
        return sizes

    @property
    def clusters(self) -> float:
        """How many clusters there are."""
        return sum(ranks[0][1][-1] for ranks in self._cumulative.values())

    @property
    def buckets(self) -> set[int]:
        """The thresholds at which anything changes."""
        return {bucket for counts in self.ranked.values() for bucket in counts} - {NEVER, ALWAYS}

    def above(self, threshold: int) -> Histogram:
        """The clusters by (dispatches, dispatches above a threshold).

        At least r dispatches of a cluster lie above it where its r-th slowest does.
        """
        clusters: dict[tuple[int, int], float] = {}
        for size, ranks in self._cumulative.items():
            remaining = ranks[0][1][-1]
            for reached, (buckets, counts) in enumerate(ranks):
                at_least = counts[-1] - counts[bisect_right(buckets, threshold)]
                if remaining > at_least:
                    clusters[size, reached] = remaining - at_least
                remaining = at_least
            if remaining:
                clusters[size, size] = remaining
        return clusters

    @property
    def dispatches(self) -> float:
        """How many dispatches they hold."""
        return sum(size * ranks[0][1][-1] for size, ranks in self._cumulative.items())

    def count_above(self, threshold: int) -> float:
        """How many dispatches lie above a threshold."""
        return sum(above * count for (_, above), count in self.above(threshold).items())

    def percentile(self, allowed: float) -> int | None:
        """The lowest bucket above which at most the allowed share of dispatches lie; None where there is none."""
        buckets, most = sorted(self.buckets), allowed * self.dispatches
        low, high = -1, len(buckets)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.count_above(buckets[middle]) <= most else (middle, high)
        return buckets[high] if high < len(buckets) else None

    def scaled(self, factor: float) -> Tail:
        """The same distribution, of so many times as many clusters."""
        return Tail({key: {b: n * factor for b, n in counts.items()} for key, counts in self.ranked.items()})


@dataclass(frozen=True, slots=True)
class Arms:
    """The candidate and the control, as one side counts them."""

    candidate: Tail
    control: Tail

    def log_e_pass(self, p0: float) -> float:
        """A lower bound of ln E against "the candidate's percentile is above the limit"."""
        return least(
            self._thresholds,
            lambda threshold: log_e_pass(self.candidate.above(threshold), p0),
            lambda threshold: log_e_fail(self.control.above(threshold), p0),
        )

    def log_e_fail(self, p0: float) -> float:
        """A lower bound of ln E against "the candidate's percentile is within the limit"."""
        return least(
            self._thresholds,
            lambda threshold: log_e_pass(self.control.above(threshold), p0),
            lambda threshold: log_e_fail(self.candidate.above(threshold), p0),
        )

    @property
    def _thresholds(self) -> list[int]:
        return [NEVER, *sorted(self.candidate.buckets | self.control.buckets), ALWAYS - 1]


@dataclass(frozen=True)
class GridCounts:
    """All that is counted for one percentile against a control or a pinned sample.

    `sample` are the order statistics of the baseline, each row of it a cluster of its own; None where the control ran
    in the same weeks and has rows itself. A failure in the baseline or the control is faster than every threshold where
    a pass is to be shown and slower where a fail is.
    """

    rows: tuple[GridRow, ...]
    sample: Distribution | None = None

    @property
    def tenants(self) -> tuple[str, ...]:
        """The tenants that are told apart."""
        return tuple(sorted({row.tenant for row in self.rows} - {""}))

    def at_looks(self, done: int, tenant: str | None = None) -> Iterator[Mapping[Side, Arms]]:
        """Both sides as each look up to the last one saw them, of all tenants or of one."""
        counted: dict[tuple[Arm, Side], dict[tuple[int, int], Counter[int]]] = {
            (arm, side): defaultdict(Counter) for arm in (Arm.CANDIDATE, Arm.CONTROL) for side in Side
        }
        if self.sample is not None:
            for side in Side:
                counted[Arm.CONTROL, side][1, 1].update(tail_of_sample(self.sample, side).ranked[1, 1])
        entering: dict[int, list[GridRow]] = defaultdict(list)
        for row in self.rows:
            if tenant in {None, row.tenant}:
                entering[row.look].append(row)
        for number in range(1, done + 1):
            for row in entering[number]:
                counted[row.arm, row.side][row.size, row.rank][row.bucket] += row.clusters
            yield {side: Arms(*(_tail(counted[arm, side]) for arm in (Arm.CANDIDATE, Arm.CONTROL))) for side in Side}


def least(points: Sequence[int], rising: Callable[[int], float], falling: Callable[[int], float]) -> float:
    """The least of rising(lower) + falling(upper) over neighbouring points, or a bound below it.

    The sum over any two points is below that over all neighbours between them, so the interval with the least sum is
    halved until it holds none.
    """
    first, last = 0, len(points) - 1
    at_first, at_last = rising(points[first]), falling(points[last])
    intervals = [(at_first + at_last, first, last, at_first, at_last)]
    for _ in range(MOST_STEPS):
        _, low, high, at_low, at_high = intervals[0]
        if high - low == 1:
            break
        middle = (low + high) // 2
        upper, lower = falling(points[middle]), rising(points[middle])
        heapq.heapreplace(intervals, (at_low + upper, low, middle, at_low, upper))
        heapq.heappush(intervals, (lower + at_high, middle, high, lower, at_high))
    return intervals[0][0]


def grid_rows(
    look: int, arm: Arm, side: Side, clusters: Iterable[Sequence[int]], tenant: str = ""
) -> Iterator[GridRow]:
    """What rows clusters come to that are known by the buckets of their dispatches."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for buckets in clusters:
        for rank, bucket in enumerate(sorted(buckets, reverse=True), start=1):
            counts[len(buckets), rank, bucket] += 1
    for (size, rank, bucket), count in sorted(counts.items()):
        yield GridRow(look, tenant, arm, side, size, rank, bucket, count)


def tail_of_sample(sample: Distribution, side: Side) -> Tail:
    """A pinned sample as one side counts it, each row of it a cluster of its own."""
    counts: Counter[int] = Counter()
    for value, count in sample.successes.items():
        counts[bucket_of(value)] += count
    if sample.without:
        counts[NEVER if side is Side.PASS else ALWAYS] += sample.without
    return Tail({(1, 1): counts})


def _tail(ranked: Mapping[tuple[int, int], Mapping[int, int]]) -> Tail:
    return Tail({key: dict(counts) for key, counts in ranked.items()})
