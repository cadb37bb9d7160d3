"""Whether a criterion can be decided at its record's own traffic: pure, and the same on every machine.

A percentile or rate against a number is computed by exact recursion (`crossing`), a comparison with the control by
seeded simulation (`simulated`). Levels are those of the first epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from dispatcher.adr.criterion import Criterion, Severity
from dispatcher.adr.document import Acceptance
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.verdict.chances.assumed import LONGEST
from dispatcher.verdict.chances.chance_model import Model
from dispatcher.verdict.chances.chance_models import model_of
from dispatcher.verdict.chances.crossing import Chances
from dispatcher.verdict.chances.wordings import wordings

ENOUGH = 0.8
"""The least chance of a pass within the horizon that makes a criterion decidable."""


class Control(StrEnum):
    """The finding that the control itself would most likely get."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decidability:
    """What a criterion's chances are.

    `power` is that of a pass within the horizon where the candidate is expected, `false_ship` that of one exactly at
    the limit; `weeks` the look by which a pass has a chance of 80 %, None where that takes longer than a record may
    wait; `earliest` the first look that can pass at all. `wordings` say what would be decidable, where this isn't.
    `never` says why nothing could ever be decided.
    """

    criterion: Criterion
    method: str
    power: float
    weeks: int | None
    median_week: int | None
    false_ship: float
    earliest: int | None
    control: Control
    control_chances: tuple[float, float]
    because: tuple[str, ...]
    wordings: tuple[str, ...] = ()
    never: str | None = None

    @property
    def is_decidable(self) -> bool:
        """Whether a pass is likely enough within the horizon."""
        return self.never is None and self.power >= ENOUGH

    @property
    def problem(self) -> str | None:
        """Why a gate may not be accepted like this; None of what is decidable, or needn't pass."""
        if self.is_decidable or self.criterion.severity is not Severity.GATE:
            return None
        if self.never is not None:
            return f"can never be decided: {self.never}{self._instead()}"
        within = f"needs {self.weeks} weeks for that" if self.weeks else f"would not get there in {LONGEST} weeks"
        return (
            f"is undecidable: a chance of {100 * self.power:.0f} % of a pass within the horizon, below "
            f"{100 * ENOUGH:.0f} %, and {within}; the control itself would be found {self.control}"
            f" (false ship at the limit {100 * self.false_ship:.1f} %){self._instead()}"
        )

    def _instead(self) -> str:
        return f". Decidable would be: {'; '.join(self.wordings)}" if self.wordings else ""


def decidability(criterion: Criterion, block: Acceptance, ranks: PinnedRanks | None = None) -> Decidability:
    """The chances of one criterion of a block; `ranks` are the pinned order statistics of its baseline.

    What was computed for the same block is remembered.
    """
    key = (block.hash, criterion.id, "" if ranks is None else ranks.sha256)
    return _computed(_Question(key, criterion, block, ranks))


@dataclass(frozen=True, slots=True)
class _Question:
    """Equal to another one by its key alone."""

    key: tuple[str, str, str]
    criterion: Criterion = field(compare=False)
    block: Acceptance = field(compare=False)
    ranks: PinnedRanks | None = field(compare=False)


@lru_cache(maxsize=64)
def _computed(question: _Question) -> Decidability:
    criterion, block, ranks = question.criterion, question.block, question.ranks
    model = model_of(criterion, block, ranks)
    if model.never is not None:
        return _never(criterion, model, block, ranks)
    weeks = block.looks.max_weeks
    expected, control = model.expected(weeks), model.control(weeks)
    return Decidability(
        criterion=criterion,
        method=model.method,
        power=expected.to_pass,
        weeks=_weeks(model, expected, weeks),
        median_week=expected.median_week,
        false_ship=model.at(1.0, weeks).to_pass,
        earliest=model.earliest(weeks),
        control=_finding(control),
        control_chances=(control.to_pass, control.to_fail),
        because=model.because,
        wordings=() if expected.to_pass >= ENOUGH else wordings(criterion, block, ranks, ENOUGH),
    )


def _never(criterion: Criterion, model: Model, block: Acceptance, ranks: PinnedRanks | None) -> Decidability:
    return Decidability(
        criterion=criterion,
        method=model.method,
        power=0.0,
        weeks=None,
        median_week=None,
        false_ship=0.0,
        earliest=None,
        control=Control.INCONCLUSIVE,
        control_chances=(0.0, 0.0),
        because=model.because,
        wordings=wordings(criterion, block, ranks, ENOUGH),
        never=model.never,
    )


def _weeks(model: Model, expected: Chances, horizon: int) -> int | None:
    week = expected.week_of(ENOUGH)
    if week is not None or horizon >= model.longest:
        return week
    return model.expected(model.longest).week_of(ENOUGH)


def _finding(chances: Chances) -> Control:
    undecided = 1 - chances.to_pass - chances.to_fail
    found = {Control.PASS: chances.to_pass, Control.FAIL: chances.to_fail, Control.INCONCLUSIVE: undecided}
    return max(found, key=lambda each: found[each])
