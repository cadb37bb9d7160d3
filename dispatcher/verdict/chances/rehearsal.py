"""A record rehearsed on its own traffic before it is accepted: false ship, power and weeks to decision. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dispatcher.adr.criterion import Severity
from dispatcher.adr.document import Record
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.chances.chance_model import Model
from dispatcher.verdict.chances.chance_models import model_of
from dispatcher.verdict.chances.comparison_chances import MeanModel
from dispatcher.verdict.chances.crossing import Chances
from dispatcher.verdict.chances.decidability import Decidability, decidability
from dispatcher.verdict.chances.linting import pinned_ranks
from dispatcher.verdict.chances.share_chances import ShareModel

POSITIONS = (0.67, 0.8, 0.9, 0.97, 1.0, 1.07, 1.17, 1.33)
"""Where the true figure may lie, as multiples of the limit: from two thirds of it to a third beyond."""
POSITIONS_OF_A_RATE = (0.1, 0.2, 0.4, 0.7, 1.0, 1.3, 2.0, 3.0)
"""The same of the share on the wrong side of a rate's limit."""


@dataclass(frozen=True, slots=True)
class Row:
    """The chances with the true figure at a multiple of the limit; `naive` is a weekly look at the figure itself."""

    position: float
    ours: Chances
    naive: Chances | None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One criterion."""

    chance: Decidability
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """One record. `false_ship` is the most that any gate ships exactly at its limit, the others passing anyway;
    `power_at_least` holds whatever the gates have to do with each other.
    """

    record: Record
    weeks: int
    alpha: float
    criteria: tuple[Rehearsed, ...]

    @property
    def _gates(self) -> list[Rehearsed]:
        return [each for each in self.criteria if each.chance.criterion.severity is Severity.GATE]

    @property
    def false_ship(self) -> float:
        """The chance that a record ships whose candidate is exactly at the limit of one gate."""
        return max((each.chance.false_ship for each in self._gates), default=0.0)

    @property
    def power_at_least(self) -> float:
        """A lower bound of the chance that every gate passes where the candidate is expected."""
        missing = sum(1 - each.chance.power for each in self._gates)
        return max(0.0, 1 - missing) if self._gates else 0.0

    @property
    def weeks_to_decision(self) -> int | None:
        """The look by which every gate has passed with a chance of 80 % each; None where one doesn't in time."""
        weeks = [each.chance.weeks for each in self._gates]
        known = [week for week in weeks if week is not None and week <= self.weeks]
        return max(known) if known and len(known) == len(weeks) else None


def rehearse(record: Record, on_progress: Callable[[float], None] = lambda _done: None) -> Rehearsal:
    """Rehearse a record. Raises InvalidRecord for one without criteria."""
    block = record.acceptance
    if block is None:
        raise InvalidRecord(record.id, ["says `acceptance: none`: there is nothing to judge"])
    criteria = []
    for index, criterion in enumerate(block.criteria):
        ranks = pinned_ranks(record, criterion)
        chance = decidability(criterion, block, ranks)
        positions = POSITIONS_OF_A_RATE if criterion.aggregate == "rate" else POSITIONS
        rows = []
        for place, position in enumerate(positions if chance.never is None else (), start=1):
            rows.append(_row(model_of(criterion, block, ranks), position, block.looks.max_weeks))
            on_progress((index + place / len(positions)) / len(block.criteria))
        criteria.append(Rehearsed(chance, tuple(rows)))
    weeks, alpha = block.looks.max_weeks, float(block.looks.alpha)
    return Rehearsal(record=record, weeks=weeks, alpha=alpha, criteria=tuple(criteria))


def _row(model: Model, position: float, weeks: int) -> Row:
    naive = model.naive(position, weeks) if isinstance(model, ShareModel | MeanModel) else None
    return Row(position, model.at(position, weeks), naive)
