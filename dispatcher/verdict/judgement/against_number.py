"""The evidence of a share against a number: one process over all clusters of the candidate. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.evidence.e_process import (
    clean_clusters_needed,
    fail_reaches,
    log_detectors,
    log_e_fail,
    log_e_pass,
)
from dispatcher.verdict.judgement.figures import exceedances
from dispatcher.verdict.judgement.finding import Forecast, Look
from dispatcher.verdict.judgement.forecast import forecast_of, is_out_of_reach
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS, Case
from dispatcher.verdict.measured import Arm, Cell
from dispatcher.verdict.measures import allowed_share


@dataclass(frozen=True)
class AgainstNumber:
    """A percentile or a rate against a number."""

    case: Case
    criterion: Criterion

    def looks(self) -> Iterator[Look]:
        """The evidence at every look."""
        over: Counter[tuple[int, int]] = Counter()
        proven: Counter[tuple[int, int]] = Counter()
        for number in range(1, self.case.looks.done + 1):
            over += self._entering(number, "over")
            proven += self._entering(number, "proven")
            yield Look(
                at=self.case.looks.at(number),
                n=sum(size * count for (size, _), count in over.items()),
                k=sum(above * count for (_, above), count in over.items()),
                clusters=over.total(),
                log_e_pass=log_e_pass(over, self._p0),
                log_e_fail=log_e_fail(proven, self._p0),
            )

    def detectors(self, after: int) -> Iterator[float]:
        """What a detector says at each look after one, as a logarithm, of what came in since."""
        looks = range(after + 1, self.case.looks.done + 1)
        return log_detectors((self._entering(number, "proven") for number in looks), self._p0)

    def alarmed(self) -> tuple[str, ...]:
        """The tenants whose own fail process reached its threshold at some look: a good mean may hide a bad tenant."""
        alarmed: set[str] = set()
        by_tenant: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        for number in range(1, self.case.looks.done + 1):
            cells: dict[str, list[Cell]] = defaultdict(list)
            for cell in self.case.measurement.entering(Arm.CANDIDATE, number):
                cells[cell.tenant].append(cell)
            for tenant in sorted(set(cells) - alarmed):
                by_tenant[tenant] += exceedances(cells[tenant], self.criterion, "proven")
                if fail_reaches(by_tenant[tenant], self._p0, self.case.levels.per_tenant):
                    alarmed.add(tenant)
        return tuple(sorted(alarmed))

    def fewest(self) -> int:
        """The clusters of the candidate below which nothing could pass."""
        return clean_clusters_needed({}, self._p0, self.case.levels.to_pass, FEWEST_CLUSTERS) or FEWEST_CLUSTERS

    def contradicts_weights(self) -> bool:
        """Whether the share of all dispatches and the share by the tenants' weights lie on two sides of the limit.

        Then the mix of tenants decides, and not the candidate.
        """
        above: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for cell in self.case.measurement.of(Arm.CANDIDATE, up_to=self.case.looks.done):
            for (size, over), count in exceedances([cell], self.criterion, "over").items():
                above[cell.tenant][0] += over * count
                above[cell.tenant][1] += size * count
        weights = {tenant: Fraction(self.case.block.tenants[tenant]) for tenant in above}
        crude = Fraction(sum(over for over, _ in above.values()), sum(n for _, n in above.values()))
        by_tenant = sum((weights[tenant] * Fraction(over, n) for tenant, (over, n) in above.items()), Fraction(0))
        return (crude > self._p0) != (by_tenant / sum(weights.values()) > self._p0)

    def forecast(self) -> Forecast | None:
        """Clean clusters from what is seen to a pass; None where not even a million would do."""
        return None if self._clean is None else forecast_of(self.case, {Arm.CANDIDATE: self._clean})

    def is_out_of_reach(self) -> bool:
        """Whether there won't be that many of them by the last look."""
        return self._clean is None or is_out_of_reach(self.case, {Arm.CANDIDATE: self._clean})

    @cached_property
    def _clean(self) -> int | None:
        seen = exceedances(self.case.measurement.of(Arm.CANDIDATE), self.criterion, "over")
        return clean_clusters_needed(seen, self._p0, self.case.levels.to_pass, FEWEST_CLUSTERS)

    @cached_property
    def _p0(self) -> float:
        return allowed_share(self.criterion)

    def _entering(self, number: int, side: str) -> Counter[tuple[int, int]]:
        return exceedances(self.case.measurement.entering(Arm.CANDIDATE, number), self.criterion, side)
