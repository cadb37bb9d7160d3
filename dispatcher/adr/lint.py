"""What a record is refused for by looking at documents: all problems at once, each with its line.

Whether a criterion can be decided is computed elsewhere (`verdict.decidability`), since it takes the statistics.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator

from dispatcher.adr.baselines import baseline_problems
from dispatcher.adr.claims import claim_problems
from dispatcher.adr.corrections import correction_problems
from dispatcher.adr.document import Acceptance, Record
from dispatcher.adr.passages import Form
from dispatcher.adr.prose import prose_problems
from dispatcher.adr.relations import copied_criteria, outdated_baselines, supersession_problems
from dispatcher.adr.surroundings import Surroundings
from dispatcher.adr.vacuous import gate_problem, worthless_problem
from dispatcher.document.tree import Problem

_REQUIRED_SECTIONS = {
    "Considered Options": ("considered options", "alternatives"),
    "Risks": ("risks",),
}
_REQUIRED_OF_JUDGED = {"Sources": ("sources",)}


def problems(record: Record, around: Surroundings) -> list[Problem]:
    """Everything that is wrong with a record as a document, in the order of its lines.

    A record whose life is over is history: only what it says of others, and they of it, is looked at.
    """
    found = [*supersession_problems(record, around.records), *correction_problems(record, around.records)]
    if record.status.is_open:
        found += [*_future(record, around), *_missing_sections(record), *claim_problems(record)]
        found += outdated_baselines(record, around.records)
        if record.acceptance is not None:
            found += copied_criteria(record, around.records)
            found += [*_single_option(record), *_acceptance_problems(record, record.acceptance, around)]
    return sorted(set(found))


def not_judged(record: Record) -> list[Problem]:
    """Why a record has nothing that a clock could be started for; empty where it has."""
    if record.acceptance is None:
        return [Problem(1, "says `acceptance: none`: there is nothing to judge")]
    if not record.status.is_open:
        line = record.places.of_key("status")
        return [Problem(line, f"is {record.status}: only a proposed or accepted record is judged")]
    return []


def _missing_sections(record: Record) -> Iterator[Problem]:
    required = _REQUIRED_SECTIONS | ({} if record.acceptance is None else _REQUIRED_OF_JUDGED)
    for name, starts in required.items():
        found = [heading for heading in record.sections if heading.lower().startswith(starts)]
        if not found:
            yield Problem(1, f"the section {name} is missing")
        elif not (any(record.sections[each].strip() for each in found) or _has_passages(record, found)):
            lines = enumerate(re.split("\r\n|\r|\n", record.text), start=1)
            line = next((number for number, text in lines if text.startswith(f"## {found[0]}")), 1)
            yield Problem(line, f"the section {name} is empty: what stands in a comment isn't read by anybody")


def _has_passages(record: Record, sections: Collection[str]) -> bool:
    """Whether anything stands in one of them, a fenced block alone included."""
    return any(passage.section in sections for passage in record.passages)


def _single_option(record: Record) -> Iterator[Problem]:
    """A list of options that has one item: nothing was considered. Options in prose aren't counted."""
    starts = _REQUIRED_SECTIONS["Considered Options"]
    for name, text in record.sections.items():
        items = [each for each in record.passages if each.section == name and each.form is Form.ITEM]
        if name.lower().startswith(starts) and len(items) == 1 and "\n###" not in f"\n{text}":
            yield Problem(items[0].line, f"{name} lists a single one: state what else could be done")


def _future(record: Record, around: Surroundings) -> Iterator[Problem]:
    if around.today is not None and record.date > around.today:
        text = f"date is {record.date}, and nowhere is it later than {around.today} yet: state the day it was decided"
        yield Problem(record.places.of_key("date"), text)


def _acceptance_problems(record: Record, block: Acceptance, around: Surroundings) -> Iterator[Problem]:
    yield from _block_problems(record, block, around)
    for index, criterion in enumerate(block.criteria):
        line = record.places.of("criteria", index, "baseline")
        for text in baseline_problems(criterion, record, around):
            yield Problem(line, f"{criterion.id}: {text}")
        worthless = worthless_problem(criterion, block)
        if worthless is not None:
            yield Problem(record.criterion_line(criterion.id), f"{criterion.id}: {worthless}")
        yield from prose_problems(record, index, criterion)


def _block_problems(record: Record, block: Acceptance, around: Surroundings) -> Iterator[Problem]:
    no_gate = gate_problem(block)
    if no_gate is not None:
        yield Problem(record.places.of("criteria"), no_gate)
    for arm, variant in (("candidate", block.candidate.variant), ("control", block.control.variant)):
        if variant not in around.deadlines:
            known = ", ".join(sorted(around.deadlines)) or "none"
            text = f"{arm} {variant} is not a registered variant; the policies hold {known}"
            yield Problem(record.places.of(arm), text)
    longest = max(around.deadlines.values(), default=dt.timedelta(0))
    if block.looks.settle < longest + around.grace:
        yield Problem(
            record.places.of("looks", "settle"),
            f"settle is {block.looks.settle}, below a registered variant's deadline of {longest} and the sweeper's "
            f"grace of {around.grace}: a slow dispatch would be counted as failed before it may end",
        )
    if not block.unit.window and block.traffic.dispatches_per_conversation > 1:
        yield Problem(
            record.places.of("unit", "window"),
            "window is 0, so a conversation would end with its first dispatch, although the traffic has "
            f"{block.traffic.dispatches_per_conversation} of them in one: state how long one lasts",
        )
