"""Percentiles over a histogram of integers: pure, exact, and in a definition that has a name.

A database returns the histogram with one GROUP BY; it is exact for every rank at once and the same statement on every
engine. Results are fractions, so that whoever prints them chooses the rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate

P50, P90, P95 = Fraction(50, 100), Fraction(90, 100), Fraction(95, 100)


@dataclass(frozen=True)
class Histogram:
    """How often each integer was seen; every count is at least 1."""

    counts: Mapping[int, int]

    def __post_init__(self) -> None:
        if any(count < 1 for count in self.counts.values()):
            raise ValueError("a value that was never seen has no place in a histogram")

    @cached_property
    def n(self) -> int:
        """How many values there are."""
        return sum(self.counts.values())

    @cached_property
    def mean(self) -> Fraction:
        """The arithmetic mean. Raises ValueError where there is no value."""
        if not self.counts:
            raise ValueError("no values, so no mean")
        return Fraction(sum(value * count for value, count in self.counts.items()), self.n)

    @cached_property
    def min(self) -> int:
        """The smallest value. Raises ValueError where there is none."""
        return min(self.counts)

    @cached_property
    def max(self) -> int:
        """The largest value. Raises ValueError where there is none."""
        return max(self.counts)

    @cached_property
    def _cumulated(self) -> tuple[tuple[int, int], ...]:
        values = sorted(self.counts)
        return tuple(zip(values, accumulate(self.counts[value] for value in values), strict=True))

    def at_rank(self, rank: int) -> int:
        """The value at a rank, the smallest value having rank 1. Raises ValueError outside 1 … n."""
        if not 1 <= rank <= self.n:
            raise ValueError(f"rank {rank} is not between 1 and {self.n}")
        return next(value for value, reached in self._cumulated if reached >= rank)


def nearest_rank(histogram: Histogram, share: Fraction) -> int:
    """The smallest value that at least this share of the values do not exceed: rank ⌈share · n⌉.

    SQL calls it PERCENTILE_DISC, numpy `inverted_cdf`; it is always a value that was seen, and the definition of every
    report here. Raises ValueError where there is no value, or the share isn't in (0, 1].
    """
    _check(histogram, share)
    return histogram.at_rank(-(-share.numerator * histogram.n // share.denominator))


def linear(histogram: Histogram, share: Fraction) -> Fraction:
    """The percentile by linear interpolation at position share · (n - 1), counted from 0.

    SQL calls it PERCENTILE_CONT and it is numpy's default. No report here uses it; figures that others computed so can
    be checked with it. Raises ValueError where there is no value, or the share isn't in (0, 1].
    """
    _check(histogram, share)
    below, beyond = divmod(share * (histogram.n - 1), 1)
    low = Fraction(histogram.at_rank(below + 1))
    return low if not beyond else low + beyond * (histogram.at_rank(below + 2) - low)


def _check(histogram: Histogram, share: Fraction) -> None:
    if not histogram.counts:
        raise ValueError("no values, so no percentile")
    if not 0 < share <= 1:
        raise ValueError(f"a percentile's share lies in (0, 1], not at {share}")
