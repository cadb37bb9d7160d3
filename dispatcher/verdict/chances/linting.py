"""A record looked at from both sides: what its documents refuse, and what its traffic can decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Record
from dispatcher.adr.lint import problems
from dispatcher.adr.ranks import PinnedRanks, read_ranks
from dispatcher.adr.surroundings import Surroundings
from dispatcher.document.tree import Problem
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.chances.decidability import Decidability, decidability


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """Everything that is wrong with a record, in the order of its lines, and the chances of its criteria."""

    record: Record
    problems: tuple[Problem, ...]
    chances: tuple[Decidability, ...]


def lint(record: Record, around: Surroundings, on_progress: Callable[[float], None] = lambda _done: None) -> Linted:
    """Lint one record; nothing of a record whose life is over is computed."""
    found = problems(record, around)
    criteria = record.acceptance.criteria if record.acceptance is not None and record.status.is_open else ()
    chances = []
    for done, criterion in enumerate(criteria, start=1):
        assert record.acceptance is not None
        chances.append(decidability(criterion, record.acceptance, pinned_ranks(record, criterion)))
        on_progress(done / len(criteria))
    found += [
        Problem(record.criterion_line(each.criterion.id), f"{each.criterion.id}: {each.problem}")
        for each in chances
        if each.problem is not None and not _awaits_pin(each.criterion)
    ]
    return Linted(record=record, problems=tuple(sorted(set(found))), chances=tuple(chances))


def _awaits_pin(criterion: Criterion) -> bool:
    """Whether nothing can be decided before its baseline is measured, which is a problem of its own."""
    return criterion.baseline is not None and criterion.baseline.awaits_pin


def pinned_ranks(record: Record, criterion: Criterion) -> PinnedRanks | None:
    """The pinned order statistics of a criterion's baseline; None where there are none that can be used."""
    if criterion.baseline is None or criterion.baseline.ranks is None:
        return None
    try:
        return read_ranks(record.path.parent, criterion.baseline.ranks)
    except InvalidRecord:  # which lint reports as what it is
        return None
