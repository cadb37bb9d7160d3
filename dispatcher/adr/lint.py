"""What a record is refused for by looking at documents: all problems at once, each with its line.

Whether a criterion can be decided is computed elsewhere (`verdict.decidability`), since it takes the statistics.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from dispatcher.adr.baselines import baseline_problems
from dispatcher.adr.claims import claim_problems
from dispatcher.adr.corrections import correction_problems
from dispatcher.adr.document import Acceptance, Record
from dispatcher.adr.prose import prose_problems
from dispatcher.adr.relations import outdated_baselines, supersession_problems
from dispatcher.adr.surroundings import Surroundings
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
        found += [*_missing_sections(record), *claim_problems(record), *outdated_baselines(record, around.records)]
        if record.acceptance is not None:
            found += _acceptance_problems(record, record.acceptance, around)
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
    headings = [heading.lower() for heading in record.sections]
    required = _REQUIRED_SECTIONS | ({} if record.acceptance is None else _REQUIRED_OF_JUDGED)
    for name, starts in required.items():
        if not any(heading.startswith(starts) for heading in headings):
            yield Problem(1, f"the section {name} is missing")


def _acceptance_problems(record: Record, block: Acceptance, around: Surroundings) -> Iterator[Problem]:
    yield from _block_problems(record, block, around)
    for index, criterion in enumerate(block.criteria):
        line = record.places.of("criteria", index, "baseline")
        for text in baseline_problems(criterion, record, around):
            yield Problem(line, f"{criterion.id}: {text}")
        yield from prose_problems(record, index, criterion)


def _block_problems(record: Record, block: Acceptance, around: Surroundings) -> Iterator[Problem]:
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
