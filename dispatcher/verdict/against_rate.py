"""The evidence of a rate against the control's in the same weeks. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.claims import allowed_beside
from dispatcher.verdict.evidence import Histogram
from dispatcher.verdict.figures import exceedances
from dispatcher.verdict.finding import Forecast, Look
from dispatcher.verdict.forecast import LOOKS_TO_KNOW_TRAFFIC, alike_forecast
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.rates import log_e_fail_rates, log_e_pass_rates, reaches_fail
from dispatcher.verdict.standing import FEWEST_CLUSTERS, Case

Counts = Counter[tuple[int, int]]


@dataclass(frozen=True)
class _Sides:
    """Both arms as the pass side counts them, and as the fail side does: what isn't known is against the claim."""

    over: Counts
    control_proven: Counts
    proven: Counts
    control_over: Counts

    def __add__(self, other: _Sides) -> _Sides:
        return _Sides(
            self.over + other.over,
            self.control_proven + other.control_proven,
            self.proven + other.proven,
            self.control_over + other.control_over,
        )


@dataclass(frozen=True)
class AgainstRate:
    """A rate at least, or at most, so many times the control's."""

    case: Case
    criterion: Criterion

    def looks(self) -> Iterator[Look]:
        """The evidence at every look."""
        for number, sides in enumerate(self._at_looks, start=1):
            yield Look(
                at=self.case.looks.at(number),
                n=sum(size * count for (size, _), count in sides.over.items()),
                k=sum(above * count for (_, above), count in sides.over.items()),
                clusters=sides.over.total(),
                log_e_pass=log_e_pass_rates(sides.over, sides.control_proven, self._allowed),
                log_e_fail=log_e_fail_rates(sides.proven, sides.control_over, self._allowed),
            )

    def detectors(self, after: int) -> Iterator[float]:  # noqa: ARG002 - a sum of bounds over all beginnings isn't kept
        """None: what comes after a pass is watched by the fail side alone."""
        return iter(())

    def alarmed(self) -> tuple[str, ...]:
        """The tenants whose own dispatches, beside their own control, reached the threshold of a fail at some look."""
        tenants = sorted(self.case.block.tenants)
        return tuple(tenant for tenant in tenants if len(tenants) > 1 and self._has_alarmed(tenant))

    def fewest(self) -> int:
        """The clusters of the candidate below which nothing passes."""
        return FEWEST_CLUSTERS

    def contradicts_weights(self) -> bool:
        """Never: both arms are drawn from the same tenants."""
        return False

    def forecast(self) -> Forecast | None:
        """When it could be decided if what comes is like what is seen."""
        return alike_forecast(self.case, self._decides) if self._at_looks else None

    def is_out_of_reach(self) -> bool:
        """Whether a month like this leads to no decision by the last look."""
        return self.case.looks.done >= LOOKS_TO_KNOW_TRAFFIC and self.forecast() is None

    def _decides(self, factor: Fraction) -> bool:
        last, levels = self._at_looks[-1], self.case.levels
        passes = log_e_pass_rates(_times(last.over, factor), _times(last.control_proven, factor), self._allowed)
        if passes >= -math.log(levels.to_pass):
            return True
        proven, control = _times(last.proven, factor), _times(last.control_over, factor)
        return reaches_fail(proven, control, self._allowed, -math.log(levels.to_fail))

    def _has_alarmed(self, tenant: str) -> bool:
        threshold = -math.log(self.case.levels.per_tenant)
        return any(
            reaches_fail(sides.proven, sides.control_over, self._allowed, threshold) for sides in self._summed(tenant)
        )

    @cached_property
    def _at_looks(self) -> list[_Sides]:
        return list(self._summed(None))

    def _summed(self, tenant: str | None) -> Iterator[_Sides]:
        sides = _Sides(Counter(), Counter(), Counter(), Counter())
        for number in range(1, self.case.looks.done + 1):
            sides += _Sides(
                self._entering(Arm.CANDIDATE, number, tenant, "over"),
                self._entering(Arm.CONTROL, number, tenant, "proven"),
                self._entering(Arm.CANDIDATE, number, tenant, "proven"),
                self._entering(Arm.CONTROL, number, tenant, "over"),
            )
            yield sides

    def _entering(self, arm: Arm, number: int, tenant: str | None, side: str) -> Counts:
        cells = [cell for cell in self.case.measurement.entering(arm, number) if tenant in {None, cell.tenant}]
        return exceedances(cells, self.criterion, side)

    @cached_property
    def _allowed(self) -> Callable[[float], float]:
        return allowed_beside(self.criterion)


def _times(clusters: Histogram, factor: Fraction) -> Histogram:
    return {key: count * float(factor) for key, count in clusters.items()}
