"""The chances of a percentile or a rate against a number: by exact recursion. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from dispatcher.verdict.chances.assumed import control_share, expected_share, tail
from dispatcher.verdict.chances.chance_model import Model
from dispatcher.verdict.chances.crossing import Chances, chances, lines, naive_line
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measures import allowed_share


@dataclass(frozen=True)
class ShareModel(Model):
    """A percentile or a rate against a number: a share of the dispatches, and so a count."""

    method: str = "exact recursion"
    most: int = 1_000_000

    @cached_property
    def p0(self) -> float:
        """The share that may be above the limit."""
        return allowed_share(self.criterion)

    @property
    def because(self) -> tuple[str, ...]:
        """As in `Model`."""
        return (*expected_share(self.criterion, self.p0, self.ranks).because, *super().because)

    def expected(self, weeks: int) -> Chances:
        """As in `Model`."""
        return self._of_share(expected_share(self.criterion, self.p0, self.ranks).value, weeks)

    def expected_if(self, allowed: float, weeks: int) -> Chances:
        """The chances at the same share above the same limit, if so many were allowed to lie above it."""
        share = expected_share(self.criterion, self.p0, self.ranks).value
        looser = lines(allowed, self.to_pass, self.to_fail, FEWEST_CLUSTERS)
        return chances(self.sizes(Arm.CANDIDATE, weeks), share, *looser)

    def control(self, weeks: int) -> Chances:
        """As in `Model`."""
        return self._of_share(control_share(self.criterion, self.p0, self.ranks).value, weeks)

    def at(self, position: float, weeks: int) -> Chances:
        """As in `Model`; of a rate the position is that of the bad share."""
        return self._of_share(self._share_at(position), weeks)

    def naive(self, position: float, weeks: int) -> Chances:
        """The same of a weekly look at the figure itself."""
        return chances(self.sizes(Arm.CANDIDATE, weeks), self._share_at(position), *naive_line(self.p0))

    def _share_at(self, position: float) -> float:
        if self.criterion.aggregate == "rate":
            return min(self.p0 * position, 1.0)
        return tail(self.p0, position, self.ranks)

    def earliest(self, weeks: int) -> int | None:
        """As in `Model`."""
        most_to_pass, _ = self._lines
        counted = enumerate(self.sizes(Arm.CANDIDATE, weeks), start=1)
        return next((look for look, n in counted if most_to_pass(n) >= 0), None)

    @cached_property
    def _lines(self) -> tuple[Callable[[int], int], Callable[[int], int]]:
        return lines(self.p0, self.to_pass, self.to_fail, FEWEST_CLUSTERS)

    def _of_share(self, share: float, weeks: int) -> Chances:
        return chances(self.sizes(Arm.CANDIDATE, weeks), share, *self._lines)
