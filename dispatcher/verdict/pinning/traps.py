"""The traps that a measured baseline falls into, each by name. Pure.

None of them changes the figure: they say what else could be read out of the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.ranks import PinnedRanks

_NANO = 10**9
_NOTABLE = Fraction(1, 100)
_CENSORED = Fraction(1, 50)
_CUT_OFF, _LATE, _FEWEST_CUT_OFF = Fraction(1, 25), Fraction(1, 200), 3
"""A limit is noticed a little late: so many of the rows within a half per cent of the largest, and three at least."""
_FAST = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Trap:
    """A named trap, and what it would do here."""

    name: str
    told: str


@dataclass(frozen=True, slots=True)
class Missing:
    """How many rows have no known value, and how many of a source have a value of 0."""

    unknown: int
    zeros: int


def traps_of(
    criterion: Criterion, ranks: PinnedRanks, all_rows: PinnedRanks, failed: PinnedRanks, missing: Missing
) -> tuple[Trap, ...]:
    """The traps of a pin: `ranks` are the rows that count, `all_rows` those without a filter on the status, and
    `failed` the failures among them by the value that they have all the same.
    """
    found = [*_sizes(criterion, ranks, missing.unknown, missing.zeros)]
    if criterion.quantile is not None:
        quantile = Fraction(criterion.quantile)
        found += [
            *_definitions(criterion, ranks, quantile),
            *_filters(criterion, ranks, all_rows, quantile),
            *_fast_failures(criterion, ranks, failed),
            *_censored(criterion, ranks),
        ]
    return tuple(found)


def _sizes(criterion: Criterion, ranks: PinnedRanks, unknown: int, zeros: int) -> Iterator[Trap]:
    if unknown:
        total = unknown + ranks.n
        yield Trap("unknown_values", f"{unknown} of {total} rows have no known {criterion.measure} and don't count")
    if zeros and criterion.measure.is_money:
        yield Trap("zero_cost", f"{zeros} rows cost 0: a cost that isn't known is not a free call")
    if zeros and criterion.measure.is_duration:
        yield Trap("zero_time", f"{zeros} rows took 0 ms: a time that wasn't taken is not a fast call")
    if criterion.quantile is not None:
        fewest = math.ceil(math.log(0.05) / math.log(float(criterion.quantile)))
        if ranks.n < fewest:
            yield Trap(
                "thin_sample",
                f"{ranks.n} rows have no upper bound of their {criterion.aggregate} at 95 %, which takes {fewest}: "
                "as a sample they can carry a pass and never a fail",
            )


def _definitions(criterion: Criterion, ranks: PinnedRanks, quantile: Fraction) -> Iterator[Trap]:
    """Where the two usual definitions of a percentile differ by more than a hundredth."""
    nearest, linear = ranks.at_rank(math.ceil(quantile * ranks.n)), _linear(ranks, quantile)
    if nearest is None or linear is None or abs(linear - nearest) <= _NOTABLE * nearest:
        return
    yield Trap(
        "percentile_definition",
        f"nearest rank is {_told(criterion, Fraction(nearest))}, linear interpolation {_told(criterion, linear)}; "
        "the pin is the nearest rank, a value that was seen",
    )


def _filters(criterion: Criterion, ranks: PinnedRanks, all_rows: PinnedRanks, quantile: Fraction) -> Iterator[Trap]:
    """What a filter on success hides, and what fast failures do to a figure without one."""
    if not all_rows.failures:
        return
    kept = ranks.at_rank(math.ceil(quantile * ranks.n))
    other = all_rows.at_rank(math.ceil(quantile * all_rows.n))
    if ranks.failures == 0 and other != kept:
        read = "a failure" if other is None else _told(criterion, Fraction(other))
        yield Trap(
            "success_filter",
            f"{all_rows.failures} of {all_rows.n} rows failed and aren't in the figure; with them, above every value, "
            f"the {criterion.aggregate} is {read}",
        )


def _fast_failures(criterion: Criterion, ranks: PinnedRanks, failed: PinnedRanks) -> Iterator[Trap]:
    """Failures that end long before a success would: a figure that reads them as times is flattered by them."""
    if not failed.n or not ranks.histogram:
        return
    quick, kept = failed.at_rank(math.ceil(failed.n / 2)), ranks.at_rank(math.ceil(ranks.n / 2))
    if quick is None or kept is None or quick >= _FAST * kept:
        return
    together = dict(ranks.histogram)
    for value, rows in failed.histogram.items():
        together[value] = together.get(value, 0) + rows
    mixed = PinnedRanks(histogram=together)
    flattered = mixed.at_rank(math.ceil(mixed.n / 2))
    yield Trap(
        "fast_failures",
        f"{failed.n} failures took {_told(criterion, Fraction(quick))} at their median; read as times they would make "
        f"the median {_told(criterion, Fraction(flattered or 0))} instead of {_told(criterion, Fraction(kept))}",
    )


def _censored(criterion: Criterion, ranks: PinnedRanks) -> Iterator[Trap]:
    """Many rows at the largest value, or just below it, are those that a limit cut off."""
    if not ranks.histogram:
        return
    largest = max(ranks.histogram)
    rows = ranks.histogram[largest]
    near = sum(count for value, count in ranks.histogram.items() if value >= (1 - _LATE) * largest)
    if rows > 1 and rows >= _CENSORED * ranks.n:
        said = f"{rows} of {ranks.n} rows have the very same largest value"
    elif near >= _FEWEST_CUT_OFF and near >= _CUT_OFF * ranks.n:
        said = f"{near} of {ranks.n} rows lie within 0.5 % of the largest value"
    else:
        return
    yield Trap(
        "censored",
        f"{said}, {_told(criterion, Fraction(largest))}: where a limit cut them off, the true ones are larger",
    )


def _linear(ranks: PinnedRanks, quantile: Fraction) -> Fraction | None:
    """The percentile by linear interpolation between order statistics."""
    place = quantile * (ranks.n - 1) + 1
    low, high = ranks.at_rank(math.floor(place)), ranks.at_rank(math.ceil(place))
    return None if low is None or high is None else low + (place - math.floor(place)) * (high - low)


def _told(criterion: Criterion, value: Fraction) -> str:
    if criterion.measure.is_money:
        return f"${float(value / _NANO):.6f}"
    return f"{float(value):g} {criterion.measure.unit}"
