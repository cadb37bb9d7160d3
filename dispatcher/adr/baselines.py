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
from dispatcher.adr.vacuous import vacuity_problems
from dispatcher.document.notation import plain
from dispatcher.errors import InvalidRecord

_NANO = 10**9
_FEWEST_PROMPTS = _FEWEST_RUNS = 2
_SUCCESS = "success"
_UNMEASURED = frozenset({Source.SPIKE, Source.THEORETICAL})


def baseline_problems(criterion: Criterion, record: Record, around: Surroundings) -> Iterator[str]:
    """What is wrong with the baseline of one criterion, in sentences."""
    block, baseline = record.acceptance, criterion.baseline
    assert block is not None
    yield from vacuity_problems(criterion, record, around)
    if criterion.measure.is_duration and criterion.severity is not Severity.INFO:
        yield from _greenfield(criterion, block, around)
    if baseline is None:
        return
    yield from _latency(criterion, baseline, block, around)
    yield from _measured(criterion, baseline, around)
    if baseline.where is not None and baseline.where.feature != block.feature:
        yield f"the baseline is of feature {baseline.where.feature}, the record of {block.feature}"
    if baseline.published:
        tenant = baseline.where.tenant if baseline.where is not None else None
        if {tenant} != set(block.tenants):
            measured = tenant or "a tenant it doesn't name"
            yield f"a published baseline of {measured} is applied to {', '.join(sorted(block.tenants))}"
    if multiple_of_current(criterion) and baseline.source in _UNMEASURED:
        yield f"says speaks of a multiple of 'current', and its baseline is a {baseline.source}: name what is measured"
    yield from _pin(criterion, baseline, record, around)


def _latency(criterion: Criterion, baseline: Baseline, block: Acceptance, around: Surroundings) -> Iterator[str]:
    if not criterion.measure.is_duration:
        return
    if baseline.n == 1:
        yield "a latency criterion on a single datapoint: one run says nothing about a distribution"
    if baseline.source in _UNMEASURED:
        where, what = around.production_of(block), "spike" if baseline.source is Source.SPIKE else "theory"
        if where is not None:
            yield f"a {what} as latency baseline, although {where}"


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


def _measured(criterion: Criterion, baseline: Baseline, around: Surroundings) -> Iterator[str]:
    """A figure that nobody can have measured, or can check, or that isn't the percentile it is called."""
    if baseline.source is Source.PRODUCTION_TELEMETRY and baseline.from_ is None and not baseline.published:
        yield (
            "a production figure that nobody can check: name a source of policies/sources.yml in from, and run "
            "`adr pin`; or state published: true, where it is quoted from what stands under Sources"
        )
    if baseline.window is not None and around.today is not None and baseline.window[1] > around.today:
        yield (
            f"its window ends on {baseline.window[1]}, and nowhere is it later than {around.today} yet: state days "
            "that are over, whose rows can have been measured"
        )
    status = None if baseline.where is None else baseline.where.status
    if criterion.measure.is_duration and status not in {None, _SUCCESS}:
        yield (
            f"its rows are filtered on status {status}: how long those took says nothing about an answer's time: state "
            f"status: {_SUCCESS}, or none"
        )
    quantile, n = criterion.quantile, baseline.n
    if quantile is not None and n is not None and 1 < n < 1 / (1 - quantile):
        yield (
            f"the {criterion.aggregate} of {n} is nothing but their largest: it takes {math.ceil(1 / (1 - quantile))} "
            "or more, or a lower percentile"
        )


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
