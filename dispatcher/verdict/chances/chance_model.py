"""What can be asked of a criterion before there is any data, whatever its evidence will be. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dispatcher.adr.criterion import Criterion, Severity
from dispatcher.adr.document import Acceptance
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.verdict.chances.assumed import LONGEST, ONE_FATE, control_stands_at, sizes, stands_at
from dispatcher.verdict.chances.crossing import Chances
from dispatcher.verdict.evidence.e_process import epoch_alpha
from dispatcher.verdict.measured import Arm


@dataclass(frozen=True)
class Model(ABC):
    """What can be asked of a criterion before there is any data.

    `times` multiplies the record's traffic; `longest` is how many weeks can be computed at all, and `most` how many
    clusters of an arm: whatever the traffic, an answer takes seconds, and is that of evidence that then stands still.
    """

    criterion: Criterion
    block: Acceptance
    ranks: PinnedRanks | None = None
    times: float = 1.0
    method: str = ""
    longest: int = LONGEST
    most: int = 10**15

    @property
    def to_pass(self) -> float:
        """The level of a pass in the first epoch."""
        return epoch_alpha(float(self.block.looks.alpha), 1)

    @property
    def to_fail(self) -> float:
        """The level of a fail: shared among those that could fail as well."""
        alike = sum(each.severity is self.criterion.severity for each in self.block.criteria)
        return self.to_pass / (1 if self.criterion.severity is Severity.INFO else alike)

    @cached_property
    def never(self) -> str | None:
        """Why nothing could be decided, whatever comes; None where something could."""
        conversation = self.block.traffic.dispatches_per_conversation
        if self.criterion.baseline is not None and self.criterion.baseline.awaits_pin:
            return "its baseline isn't measured yet; run `adr pin`"
        if self.criterion.bound.times_control is not None and self.block.assignment.share is None:
            return "a control set tenant by tenant can't be compared with"
        if self.criterion.measure.later_turns_only and (conversation == 1 or not self.block.unit.window):
            return "only later turns have it, and a conversation of this record has one dispatch"
        return None

    @property
    def because(self) -> tuple[str, ...]:
        """What the figures rest on."""
        found = [ONE_FATE] if self.block.traffic.dispatches_per_conversation > 1 else []
        weeks = self.block.looks.max_weeks
        if any(sizes(self.block, arm, weeks)[-1] > self.most for arm in (Arm.CANDIDATE, Arm.CONTROL)):
            found.append(
                f"the first {self.most:,} conversations of an arm are computed: more only make a pass likelier, and at "
                "the limit never likelier than alpha"
            )
        return tuple(found)

    def sizes(self, arm: Arm, weeks: int) -> tuple[int, ...]:
        """The clusters of an arm by each look, as far as they are computed."""
        return tuple(min(size, self.most) for size in sizes(self.block, arm, weeks, times=self.times))

    def expected(self, weeks: int) -> Chances:
        """The chances where the candidate is expected."""
        return self.at(float(self._expected_position()), weeks)

    def control(self, weeks: int) -> Chances:
        """The chances of the control itself, in the candidate's place."""
        position = control_stands_at(self.criterion)
        return self.at(1.0 if position is None else float(position), weeks)

    def _expected_position(self) -> float:
        position = stands_at(self.criterion) or control_stands_at(self.criterion)
        return 1.0 if position is None else float(position)

    @abstractmethod
    def at(self, position: float, weeks: int) -> Chances:
        """The chances where the candidate's true figure is so many times the limit: 1 is exactly at the limit."""

    @abstractmethod
    def earliest(self, weeks: int) -> int | None:
        """The first look that can pass at all."""

    def _first(self, arms: Sequence[Arm], fewest: int, weeks: int) -> int | None:
        counted = zip(*(self.sizes(arm, weeks) for arm in arms), strict=True)
        return next((look for look, each in enumerate(counted, start=1) if min(each) >= fewest), None)
