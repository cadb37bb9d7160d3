"""The evidence of a rate against the control's in the same weeks. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.claims import allowed_beside
from dispatcher.verdict.evidence.rates import Beside
from dispatcher.verdict.judgement.figures import exceedances
from dispatcher.verdict.judgement.finding import Forecast, Look
from dispatcher.verdict.judgement.forecast import LOOKS_TO_KNOW_TRAFFIC, alike_forecast, has_both_sides
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS, Case
from dispatcher.verdict.measured import Arm

Counts = Counter[tuple[int, int]]


@dataclass(frozen=True)
class AgainstRate:
    """A rate at least, or at most, so many times the control's."""

    case: Case
    criterion: Criterion

    def looks(self) -> Iterator[Look]:
        """The evidence at every look."""
        sides = zip(self._kept.candidate, self._kept.log_e_pass(), self._broken.log_e_fail(), strict=True)
        n = k = clusters = 0
        for number, (entering, passes, fails) in enumerate(sides, start=1):
            n += sum(int(size * count) for (size, _), count in entering.items())
            k += sum(int(above * count) for (_, above), count in entering.items())
            clusters += sum(map(int, entering.values()))
            at = self.case.looks.at(number)
            yield Look(at=at, n=n, k=k, clusters=clusters, log_e_pass=passes, log_e_fail=fails)

    def detectors(self, after: int) -> Iterator[float]:
        """What a detector says at each look after one, as a logarithm, of what came in since."""
        return self._sides(None, after).log_detectors()

    def alarmed(self) -> tuple[str, ...]:
        """The tenants whose own dispatches, beside their own control, reached the threshold of a fail at some look."""
        tenants, threshold = sorted(self.case.block.tenants), -math.log(self.case.levels.per_tenant)
        if len(tenants) == 1:
            return ()
        return tuple(tenant for tenant in tenants if self._sides(tenant).ever_fails(threshold))

    def fewest(self) -> int:
        """The clusters of the candidate below which nothing passes."""
        return FEWEST_CLUSTERS

    def contradicts_weights(self) -> bool:
        """Never: both arms are drawn from the same tenants."""
        return False

    def forecast(self) -> Forecast | None:
        """When it could be decided if what comes is like what is seen."""
        return alike_forecast(self.case, self._decides) if self.case.looks.done else None

    def is_out_of_reach(self) -> bool:
        """Whether a month like this leads to no decision by the last look; of nothing to compare with nobody knows."""
        known = self.case.looks.done >= LOOKS_TO_KNOW_TRAFFIC and has_both_sides(self.case, self.criterion)
        return known and self.forecast() is None

    def _decides(self, factor: Fraction) -> bool:
        levels, times = self.case.levels, float(factor)
        if self._kept.log_e_pass_of(times) >= -math.log(levels.to_pass):
            return True
        return self._broken.log_e_fail_of(times) >= -math.log(levels.to_fail)

    @cached_property
    def _kept(self) -> Beside:
        """As the pass side counts: what isn't known is against the claim."""
        looks = range(1, self.case.looks.done + 1)
        return Beside(
            [self._entering(Arm.CANDIDATE, number, None, "over") for number in looks],
            [self._entering(Arm.CONTROL, number, None, "proven") for number in looks],
            allowed_beside(self.criterion),
        )

    @cached_property
    def _broken(self) -> Beside:
        return self._sides(None)

    def _sides(self, tenant: str | None, after: int = 0) -> Beside:
        """As the fail side counts, of all tenants or of one, from a look on."""
        looks = range(after + 1, self.case.looks.done + 1)
        return Beside(
            [self._entering(Arm.CANDIDATE, number, tenant, "proven") for number in looks],
            [self._entering(Arm.CONTROL, number, tenant, "over") for number in looks],
            allowed_beside(self.criterion),
        )

    def _entering(self, arm: Arm, number: int, tenant: str | None, side: str) -> Counts:
        cells = [cell for cell in self.case.measurement.entering(arm, number) if tenant in {None, cell.tenant}]
        return exceedances(cells, self.criterion, side)
