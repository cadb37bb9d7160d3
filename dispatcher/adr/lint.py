"""What a record can be refused for by looking at the document alone, before its clock may start."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal

from dispatcher.adr.criterion import Criterion, Measure, Source
from dispatcher.adr.document import Acceptance, Record
from dispatcher.document.notation import plain

_REQUIRED_SECTIONS = {
    "Sources": ("sources",),
    "Considered Options": ("considered options", "alternatives"),
    "Risks": ("risks",),
}
# Digits may be grouped by blanks or commas; a number that is part of a word (`AC-7`, `p95`, `haiku-4-5`) or of a day
# is not looked at.
_NUMBER = re.compile(
    r"""(?<![\w.\-/])
    (\d{1,3}(?:[ ,\u00a0\u202f]\d{3})+(?!\d)|\d+)
    ((?:\.\d+)?)
    (?:[ \u00a0\u202f]?(ms|s|%|x)(?!\w)|(?!\.?\d|-?\w))""",
    re.VERBOSE,
)
_PERCENTILE = re.compile(r"\bp[1-9][0-9]?\b")
_SECTION_ITEM = r"\*\*{id}\b.*?(?=\n\s*[-*]\s+\*\*|\n\n|\Z)"


def refusals(record: Record, largest_deadline: dt.timedelta) -> list[str]:
    """Why the record may not be registered; empty where it may.

    `largest_deadline` is the largest deadline of any registered variant: a cluster must be given at least that long to
    end before it is counted.
    """
    if record.acceptance is None:
        return ["says `acceptance: none`: there is nothing to judge"]
    problems = [] if record.status.is_open else [f"is {record.status}: only a proposed or accepted record is judged"]
    problems += _missing_sections(record)
    problems += _block_refusals(record.acceptance, largest_deadline)
    for criterion in record.acceptance.criteria:
        found = [*_baseline_refusals(criterion, record.acceptance), *_prose_refusals(criterion, record)]
        problems += [f"{criterion.id}: {problem}" for problem in found]
    return problems


def _missing_sections(record: Record) -> Iterator[str]:
    headings = [heading.lower() for heading in record.sections]
    for name, starts in _REQUIRED_SECTIONS.items():
        if not any(heading.startswith(starts) for heading in headings):
            yield f"the section {name} is missing"


def _block_refusals(block: Acceptance, largest_deadline: dt.timedelta) -> Iterator[str]:
    if block.looks.settle < largest_deadline:
        yield (
            f"settle is {block.looks.settle}, below a registered variant's deadline of {largest_deadline}: a slow "
            "dispatch would be counted as failed before it may end"
        )


def _baseline_refusals(criterion: Criterion, block: Acceptance) -> Iterator[str]:
    baseline = criterion.baseline
    if baseline is None:
        return
    latency = criterion.measure is Measure.RESPONSE_TIME_MS
    if latency and baseline.n == 1:
        yield "a latency criterion on a single datapoint: one run says nothing about a distribution"
    if latency and baseline.source is Source.SPIKE and _has_production_baseline(block):
        yield "a spike as latency baseline, although this record itself quotes production telemetry"
    if baseline.where is not None and baseline.where.feature != block.feature:
        yield f"the baseline is of feature {baseline.where.feature}, the record of {block.feature}"
    if baseline.published:
        tenant = baseline.where.tenant if baseline.where is not None else None
        if {tenant} != set(block.tenants):
            measured = tenant or "a tenant it doesn't name"
            yield f"a published baseline of {measured} is applied to {', '.join(sorted(block.tenants))}"


def _has_production_baseline(block: Acceptance) -> bool:
    baselines = (criterion.baseline for criterion in block.criteria)
    return any(baseline is not None and baseline.source is Source.PRODUCTION_TELEMETRY for baseline in baselines)


def _prose_refusals(criterion: Criterion, record: Record) -> Iterator[str]:
    if "current" in criterion.says.lower() and criterion.bound.form == "value":
        yield "says speaks of 'current', but the limit refers to no measurement of it"
    yield from _disagreements("says", criterion.says, criterion)
    known = _stateable(criterion)
    for number in sorted(_numbers(criterion.says, criterion) - known):
        yield f"says states {plain(number)}, which the block doesn't"
    sentence = _confirmation_sentence(criterion, record)
    if sentence is None:
        yield f"the section Confirmation has no sentence that starts with **{criterion.id}**"
    else:
        yield from _disagreements("the sentence under Confirmation", sentence, criterion)


def _disagreements(place: str, text: str, criterion: Criterion) -> Iterator[str]:
    stated = _numbers(text, criterion)
    for name, number in _must_state(criterion):
        if number not in stated:
            yield f"{place} doesn't state the {name} {plain(number)}"
    percentiles = set(_PERCENTILE.findall(text))
    if criterion.quantile is not None and percentiles != {criterion.aggregate}:
        found = ", ".join(sorted(percentiles)) or "no percentile"
        yield f"{place} states {found}, the block {criterion.aggregate}"


def _must_state(criterion: Criterion) -> Iterator[tuple[str, Decimal]]:
    bound, baseline, limit = criterion.bound, criterion.baseline, criterion.limit
    if bound.form != "value":
        yield "multiplier", bound.number
    if bound.form == "times_baseline" and baseline is not None:
        if baseline.value is not None:
            yield "baseline's value", baseline.value
        if baseline.n is not None:
            yield "baseline's n", Decimal(baseline.n)
    if limit is not None:
        yield "limit", limit


def _stateable(criterion: Criterion) -> set[Decimal]:
    numbers = {number for _, number in _must_state(criterion)}
    if criterion.quantile is not None:
        numbers |= {criterion.quantile, 1 - criterion.quantile}
    if criterion.expected is not None:
        numbers.add(criterion.expected.number)
    if criterion.baseline is not None and criterion.baseline.window is not None:
        first, last = criterion.baseline.window
        numbers.add(Decimal((last - first).days))
    return numbers


def _numbers(text: str, criterion: Criterion) -> set[Decimal]:
    """The numbers of a sentence in the criterion's unit: seconds as milliseconds, per cent as a share."""
    numbers = set()
    for whole, fraction, unit in _NUMBER.findall(text):
        number = Decimal(re.sub(r"\D", "", whole) + fraction)
        if unit == "%":
            number /= 100
        elif unit == "s" and criterion.measure is Measure.RESPONSE_TIME_MS:
            number *= 1000
        numbers.add(number)
    return numbers


def _confirmation_sentence(criterion: Criterion, record: Record) -> str | None:
    section = record.sections.get("Confirmation", "")
    match = re.search(_SECTION_ITEM.format(id=re.escape(criterion.id)), section, re.DOTALL)
    return None if match is None else match[0]
