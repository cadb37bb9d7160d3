"""Whether the sentences about a criterion state the numbers that its block does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from dispatcher.adr.contradictions import contradictions
from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Record
from dispatcher.document.notation import plain
from dispatcher.document.tree import Problem

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
_CURRENT = re.compile(r"\b(?:current(?:ly)?|today(?:'s)?)\b", re.IGNORECASE)
_MULTIPLE = re.compile(r"\d\s?(?:×|x\b|times\b|-fold\b)|\b(?:twice|double|half)\b", re.IGNORECASE)


def prose_problems(record: Record, index: int, criterion: Criterion) -> Iterator[Problem]:
    """Where the sentences of one criterion and its block disagree."""
    line = record.places.of("criteria", index, "says")
    for text in _says_problems(criterion):
        yield Problem(line, f"{criterion.id}: {text}")
    sentence = _confirmation_sentence(criterion, record)
    if sentence is None:
        text = f"the section Confirmation has no sentence that starts with **{criterion.id}**"
        yield Problem(line, f"{criterion.id}: {text}")
        return
    there, place = _line_of(record, criterion, line), "the sentence under Confirmation"
    known = _stateable(criterion) | _other_side(criterion)
    for text in (*_disagreements(place, sentence, criterion), *contradictions(place, sentence, criterion, known)):
        yield Problem(there, f"{criterion.id}: {text}")


def multiple_of_current(criterion: Criterion) -> bool:
    """Whether a sentence speaks of a multiple of what is current."""
    return _CURRENT.search(criterion.says) is not None and _MULTIPLE.search(criterion.says) is not None


def _says_problems(criterion: Criterion) -> Iterator[str]:
    if _CURRENT.search(criterion.says) and criterion.bound.form == "value":
        yield "says speaks of 'current', but the limit refers to no measurement of it"
    yield from _disagreements("says", criterion.says, criterion)
    known = _stateable(criterion)
    for number in sorted(_numbers(criterion.says, criterion) - known):
        yield f"says states {plain(number)}, which the block doesn't"
    yield from contradictions("says", criterion.says, criterion, known | _other_side(criterion))


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
    baseline = criterion.baseline
    if baseline is not None and baseline.window is not None:
        first, last = baseline.window
        numbers.add(Decimal((last - first).days))
    if baseline is not None:
        numbers |= {Decimal(count) for count in (baseline.n, baseline.prompts, baseline.runs) if count is not None}
    return numbers


def _other_side(criterion: Criterion) -> set[Decimal]:
    """The share on the other side of a rate: at least 95 % is at most 5 %."""
    limit = criterion.limit
    return {1 - limit} if criterion.aggregate == "rate" and limit is not None else set()


def _numbers(text: str, criterion: Criterion) -> set[Decimal]:
    """The numbers of a sentence in the criterion's unit: seconds as milliseconds, per cent as a share."""
    numbers = set()
    for whole, fraction, unit in _NUMBER.findall(text):
        number = Decimal(re.sub(r"\D", "", whole) + fraction)
        if unit == "%":
            number /= 100
        elif unit == "s" and criterion.measure.is_duration:
            number *= 1000
        numbers.add(number)
    return numbers


def _confirmation_sentence(criterion: Criterion, record: Record) -> str | None:
    section = record.sections.get("Confirmation", "")
    match = re.search(_SECTION_ITEM.format(id=re.escape(criterion.id)), section, re.DOTALL)
    return None if match is None else match[0]


def _line_of(record: Record, criterion: Criterion, otherwise: int) -> int:
    started = re.compile(rf"\s*(?:[-*+]\s+)?\*\*{re.escape(criterion.id)}\b")
    found = (each.line for each in record.passages if each.section == "Confirmation" and started.match(each.text))
    return next(found, otherwise)
