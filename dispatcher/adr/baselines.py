"""Whether a criterion's baseline can carry its limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

from dispatcher.adr.criterion import Baseline, Criterion, Severity, Source
from dispatcher.adr.document import Acceptance, Record
from dispatcher.adr.prose import multiple_of_current
from dispatcher.adr.ranks import read_ranks
from dispatcher.adr.surroundings import Surroundings
from dispatcher.document.notation import plain
from dispatcher.errors import InvalidRecord

_NANO = 10**9
_FEWEST_PROMPTS = _FEWEST_RUNS = 2
_FAR = 2
"""How many times further than production would put it a limit may lie."""


def baseline_problems(criterion: Criterion, record: Record, around: Surroundings) -> Iterator[str]:
    """What is wrong with the baseline of one criterion, in sentences."""
    block, baseline = record.acceptance, criterion.baseline
    assert block is not None
    yield from _vacuous(criterion, record, around)
    if criterion.measure.is_duration and criterion.severity is not Severity.INFO:
        yield from _greenfield(criterion, block, around)
    if baseline is None:
        return
    yield from _latency(criterion, baseline, block, around)
    if baseline.where is not None and baseline.where.feature != block.feature:
        yield f"the baseline is of feature {baseline.where.feature}, the record of {block.feature}"
    if baseline.published:
        tenant = baseline.where.tenant if baseline.where is not None else None
        if {tenant} != set(block.tenants):
            measured = tenant or "a tenant it doesn't name"
            yield f"a published baseline of {measured} is applied to {', '.join(sorted(block.tenants))}"
    if multiple_of_current(criterion) and baseline.source in {Source.SPIKE, Source.THEORETICAL}:
        yield f"says speaks of a multiple of 'current', and its baseline is a {baseline.source}: name what is measured"
    yield from _pin(criterion, baseline, record, around)


def _latency(criterion: Criterion, baseline: Baseline, block: Acceptance, around: Surroundings) -> Iterator[str]:
    if not criterion.measure.is_duration:
        return
    if baseline.n == 1:
        yield "a latency criterion on a single datapoint: one run says nothing about a distribution"
    if baseline.source is Source.SPIKE:
        where = around.production_of(block)
        if where is not None:
            yield f"a spike as latency baseline, although {where}"


def _greenfield(criterion: Criterion, block: Acceptance, around: Surroundings) -> Iterator[str]:
    """A target for what has no rows yet must have been tried on a named data set, several prompts several times."""
    baseline = criterion.baseline
    stated = criterion.bound.form == "times_control" or not around.log_was_read
    if stated or around.production_of(block) is not None:
        return
    if baseline is None or baseline.dataset is None:
        yield (
            f"the feature {block.feature} has no rows anywhere, so its target has to be pre-registered on a data set: "
            "name it in the baseline with dataset, prompts and runs"
        )
    elif (baseline.prompts or 0) < _FEWEST_PROMPTS or (baseline.runs or 0) < _FEWEST_RUNS:
        yield "a single prompt or a single run each is a headline and no distribution: several prompts, several runs"


def _vacuous(criterion: Criterion, record: Record, around: Surroundings) -> Iterator[str]:
    """A limit that nothing could break."""
    limit, block = criterion.limit, record.acceptance
    if limit is None or block is None or not criterion.measure.is_duration:
        return
    deadline = around.deadlines.get(block.candidate.variant)
    if deadline is not None and limit >= int(deadline.total_seconds() * 1000):
        yield (
            f"is vacuous: no success can take {plain(limit)} ms, since the deadline of {block.candidate.variant} is "
            f"{int(deadline.total_seconds() * 1000)} ms"
        )
    known = _known_elsewhere(criterion, block, around)
    if known is not None and criterion.bound.times_baseline is not None:
        name, value = known
        meant = criterion.bound.times_baseline * value
        if limit > _FAR * meant:
            yield (
                f"is vacuous: against production telemetry ({name}: {plain(value)} ms) the same words mean "
                f"{plain(meant)} ms, and {plain(limit)} ms is {limit / meant:.1f} × that"
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


def _pin(criterion: Criterion, baseline: Baseline, record: Record, around: Surroundings) -> Iterator[str]:
    if baseline.from_ is not None and around.sources is not None and baseline.from_ not in around.sources:
        known = ", ".join(sorted(around.sources)) or "none"
        yield f"the source {baseline.from_} isn't in policies/sources.yml, which has {known}"
    if baseline.awaits_pin:
        yield f"its baseline isn't measured yet: run `dispatcher adr pin {record.id}`"
    if baseline.ranks is None:
        return
    try:
        pinned = read_ranks(record.path.parent, baseline.ranks)
    except InvalidRecord as error:
        yield from (f"{error.subject}: {problem}" for problem in error.problems)
        return
    if pinned.n != baseline.n:
        yield f"{baseline.ranks.file} holds {pinned.n} rows, and the block states n: {baseline.n}"
    if criterion.quantile is not None and baseline.value is not None:
        at_rank = pinned.at_rank(math.ceil(criterion.quantile * pinned.n))
        found = None if at_rank is None else Decimal(at_rank) / (_NANO if criterion.measure.is_money else 1)
        if found != baseline.value:
            read = "a failure" if found is None else plain(found)
            yield f"{baseline.ranks.file} has {read} as its {criterion.aggregate}, not {plain(baseline.value)}"
