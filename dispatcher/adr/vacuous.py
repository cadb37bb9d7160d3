"""Limits that nothing could break, and records that nothing could ship by."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from dispatcher.adr.criterion import Criterion, Severity, Source
from dispatcher.adr.document import Acceptance, Record
from dispatcher.adr.measure import Measure
from dispatcher.adr.surroundings import Surroundings
from dispatcher.document.notation import plain

_FAR = 2
"""How many times further than production would put it a limit may lie."""
_FAR_NUMBER = 3
"""How many times what production takes a number of its own may be; a larger multiple has to be stated as one."""
_NEAR_DEADLINE = Decimal("0.9")
"""A limit beyond so much of the deadline is broken by failures only."""
_LARGEST_MULTIPLE = 10
"""A path ten times as slow or as dear needs no statistics."""
_MEDIAN = Decimal("0.5")
_MOST_WRONG = {Measure.CACHE_HIT: Decimal("0.95")}
"""The most dispatches that may be on the wrong side of a rate: half of them, and of a cache all but one in twenty."""


_ARE_ABOUT_WORTH = frozenset({Measure.OUTPUT_VALID, Measure.PRODUCT_FAILURE, Measure.COST_PER_VALID_SUCCESS})


def gate_problem(block: Acceptance) -> str | None:
    """That a record has no gate, so that nothing could ever ship by it; None where it has one."""
    if any(criterion.severity is Severity.GATE for criterion in block.criteria):
        return None
    return (
        "has no gate, so no evidence whatever could lead to SHIP: give the criterion that decides `severity: gate`, or "
        "say `acceptance: none`"
    )


def worthless_problem(criterion: Criterion, block: Acceptance) -> str | None:
    """That a candidate which fails at once, and so costs next to nothing, would pass; None where something forbids it.

    A failure is above every limit of a percentile, and in a mean it counts with what it took.
    """
    means = criterion.aggregate == "mean" and criterion.measure is not Measure.COST_PER_VALID_SUCCESS
    if not means or criterion.severity is not Severity.GATE:
        return None
    if any(each.measure in _ARE_ABOUT_WORTH and each.severity is not Severity.INFO for each in block.criteria):
        return None
    return (
        f"a candidate that fails at once has a low mean of {criterion.measure} and would ship: add a gate or a guard "
        "on output_valid or product_failure"
    )


def vacuity_problems(criterion: Criterion, record: Record, around: Surroundings) -> Iterator[str]:
    """Why nothing could break the limit of a criterion, in sentences."""
    block = record.acceptance
    assert block is not None
    if criterion.severity is not Severity.INFO:
        yield from _lets_most_through(criterion)
        yield from _multiple(criterion)
    if criterion.limit is not None and criterion.measure.is_duration:
        yield from _beyond_deadline(criterion.limit, block, around)
        yield from _beyond_production(criterion, criterion.limit, block, around)
    cap = around.caps.get((criterion.measure, block.candidate.variant))
    if criterion.limit is not None and cap is not None and criterion.limit >= cap:
        yield (
            f"is vacuous: no attempt may take {plain(criterion.limit)} {criterion.measure.unit}, since the cap of "
            f"{block.candidate.variant} is {plain(cap)}: state what one within its cap could miss"
        )


def _lets_most_through(criterion: Criterion) -> Iterator[str]:
    """A limit that holds although most dispatches are on its wrong side."""
    if criterion.quantile is not None and criterion.quantile < _MEDIAN:
        above = plain(100 * (1 - criterion.quantile))
        yield (
            f"is vacuous: a limit of the {criterion.aggregate} holds with {above} % of the dispatches above it: state "
            "p50 or a higher percentile"
        )
    limit = criterion.limit
    if criterion.aggregate != "rate" or limit is None:
        return
    wrong = limit if criterion.measure.lower_is_better else 1 - limit
    most = _MOST_WRONG.get(criterion.measure, _MEDIAN)
    if wrong > most:
        allowed = most if criterion.measure.lower_is_better else 1 - most
        side = "at most" if criterion.measure.lower_is_better else "at least"
        yield (
            f"is vacuous: it holds with {plain(100 * wrong)} % of the dispatches on the wrong side: state {side} "
            f"{plain(allowed)} or a stricter limit"
        )


def _multiple(criterion: Criterion) -> Iterator[str]:
    bound = criterion.bound
    if bound.form == "value" or not criterion.measure.lower_is_better or bound.number <= _LARGEST_MULTIPLE:
        return
    yield (
        f"is vacuous: {plain(bound.number)} × is a limit that no path would break: state a multiple of at most "
        f"{_LARGEST_MULTIPLE}"
    )


def _beyond_deadline(limit: Decimal, block: Acceptance, around: Surroundings) -> Iterator[str]:
    deadline = around.deadlines.get(block.candidate.variant)
    if deadline is None:
        return
    longest = int(deadline.total_seconds() * 1000)
    whose = f"the deadline of {block.candidate.variant} is {longest} ms"
    if limit >= longest:
        yield f"is vacuous: no success can take {plain(limit)} ms, since {whose}"
    elif limit > _NEAR_DEADLINE * longest:
        yield f"is vacuous: hardly a success can take {plain(limit)} ms, since {whose}: state what a success could miss"


def _beyond_production(criterion: Criterion, limit: Decimal, block: Acceptance, around: Surroundings) -> Iterator[str]:
    known = _known_elsewhere(criterion, block, around)
    if known is None:
        return
    name, value = known
    times = criterion.bound.times_baseline
    if times is not None and limit > _FAR * times * value:
        meant = times * value
        yield (
            f"is vacuous: against production telemetry ({name}: {plain(value)} ms) the same words mean "
            f"{plain(meant)} ms, and {plain(limit)} ms is {limit / meant:.1f} × that"
        )
    if times is None and limit > _FAR_NUMBER * value:
        yield (
            f"is vacuous: {plain(limit)} ms is {limit / value:.1f} × what production takes ({name}: {plain(value)} "
            f"ms): state at most {_FAR_NUMBER} × that, or times_baseline with that baseline, so that the sentence says "
            "how much slower it may get"
        )


def _known_elsewhere(criterion: Criterion, block: Acceptance, around: Surroundings) -> tuple[str, Decimal] | None:
    """The value that production telemetry has for the same quantity in any record here."""
    for record in around.records.values():
        for other in record.acceptance.criteria if record.acceptance else ():
            baseline = other.baseline
            same = (other.measure, other.aggregate) == (criterion.measure, criterion.aggregate)
            if baseline is None or baseline.value is None or not same or baseline is criterion.baseline:
                continue
            of = baseline.where.feature if baseline.where else None
            if baseline.source is Source.PRODUCTION_TELEMETRY and of == block.feature:
                return record.id, baseline.value
    return None
