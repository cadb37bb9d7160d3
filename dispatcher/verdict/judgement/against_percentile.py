"""The evidence of a percentile against another of which a sample is known: the control's, or a pinned one. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.evidence.e_process import log_e_fail, log_e_pass
from dispatcher.verdict.evidence.grid import Arms, GridCounts, Side, Tail
from dispatcher.verdict.evidence.grid_detector import log_grid_detectors
from dispatcher.verdict.judgement.finding import Forecast, Look
from dispatcher.verdict.judgement.forecast import LOOKS_TO_KNOW_TRAFFIC, alike_forecast, has_both_sides
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS, Case
from dispatcher.verdict.measures import allowed_share


@dataclass(frozen=True)
class AgainstPercentile:
    """A percentile against the control's in the same weeks, or against pinned order statistics."""

    case: Case
    criterion: Criterion

    def looks(self) -> Iterator[Look]:
        """The evidence at every look; `k` counts what is above the multiple of the control's percentile so far."""
        for number, sides in enumerate(self._at_looks, start=1):
            arms = sides[Side.PASS]
            limit = arms.control.percentile(self._p0)
            yield Look(
                at=self.case.looks.at(number),
                n=round(arms.candidate.dispatches),
                k=None if limit is None else round(arms.candidate.count_above(limit)),
                clusters=round(arms.candidate.clusters),
                log_e_pass=arms.log_e_pass(self._p0),
                log_e_fail=sides[Side.FAIL].log_e_fail(self._p0),
            )

    def detectors(self, after: int) -> Iterator[float]:
        """What a detector says at each look after one, as a logarithm, of what came in since."""
        return log_grid_detectors(self._counts, self._p0, range(after + 1, self.case.looks.done + 1))

    def alarmed(self) -> tuple[str, ...]:
        """The tenants whose own dispatches, beside their own control, reached the threshold of a fail at some look."""
        tenants = self._counts.tenants
        return tuple(tenant for tenant in tenants if len(tenants) > 1 and self._has_alarmed(tenant))

    def fewest(self) -> int:
        """The clusters of the candidate below which nothing could pass, even if all of them were faster than all."""
        control = self._last.control.clusters if self._at_looks else 0.0
        doubt = log_e_fail({(1, 0): control}, self._p0)
        low, high = 0, FEWEST_CLUSTERS
        while log_e_pass({(1, 0): high}, self._p0) + doubt < -math.log(self.case.levels.to_pass):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            enough = log_e_pass({(1, 0): middle}, self._p0) + doubt >= -math.log(self.case.levels.to_pass)
            low, high = (low, middle) if enough else (middle, high)
        return max(high, FEWEST_CLUSTERS)

    def contradicts_weights(self) -> bool:
        """Never: both arms are drawn from the same tenants, or the baseline is of the rows that it names."""
        return False

    def forecast(self) -> Forecast | None:
        """When it could be decided if what comes is like what is seen."""
        return alike_forecast(self.case, self._decides) if self._at_looks else None

    def is_out_of_reach(self) -> bool:
        """Whether a month like this leads to no decision by the last look; of nothing to compare with nobody knows."""
        known = self.case.looks.done >= LOOKS_TO_KNOW_TRAFFIC and has_both_sides(self.case, self.criterion)
        return known and self.forecast() is None

    def _decides(self, factor: Fraction) -> bool:
        sides = {
            side: Arms(arms.candidate.scaled(float(factor)), self._grown(arms, factor))
            for side, arms in self._at_looks[-1].items()
        }
        return (
            sides[Side.PASS].log_e_pass(self._p0) >= -math.log(self.case.levels.to_pass)
            or sides[Side.FAIL].log_e_fail(self._p0) >= -math.log(self.case.levels.to_fail)
        )  # fmt: skip

    def _grown(self, arms: Arms, factor: Fraction) -> Tail:
        return arms.control if self._counts.sample is not None else arms.control.scaled(float(factor))

    def _has_alarmed(self, tenant: str) -> bool:
        threshold = -math.log(self.case.levels.per_tenant)
        return any(
            sides[Side.FAIL].log_e_fail(self._p0) >= threshold
            for sides in self._counts.at_looks(self.case.looks.done, tenant)
        )

    @property
    def _last(self) -> Arms:
        return self._at_looks[-1][Side.PASS]

    @cached_property
    def _at_looks(self) -> list[dict[Side, Arms]]:
        return [dict(sides) for sides in self._counts.at_looks(self.case.looks.done)]

    @property
    def _counts(self) -> GridCounts:
        return self.case.measurement.grids[self.criterion.id]

    @cached_property
    def _p0(self) -> float:
        return allowed_share(self.criterion)
