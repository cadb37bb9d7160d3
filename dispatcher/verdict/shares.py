"""A percentile or a rate, judged: at most so many dispatches above the limit. Pure."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

from dispatcher.adr.criterion import Criterion, Severity
from dispatcher.verdict.evidence import clean_clusters_needed, log_e_fail, log_e_pass
from dispatcher.verdict.figures import exceedances, figures_of
from dispatcher.verdict.finding import Finding, Forecast, Look, Reason, State
from dispatcher.verdict.forecast import forecast_of
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measures import allowed_share
from dispatcher.verdict.standing import (
    FEWEST_CLUSTERS,
    Case,
    Standing,
    is_scaled,
    missing_data,
    ordered,
    settled,
    standing_of,
)


def judge_share(case: Case, criterion: Criterion) -> Finding:
    """The finding of a criterion about a share, from one process over all clusters of the candidate."""
    looks = _evidence(case, criterion)
    figures = figures_of(criterion, case.measurement, case.block.tenants, up_to=case.looks.done)
    found = standing_of(
        [_reached(look.log_e_pass, case.levels.to_pass) and look.clusters >= FEWEST_CLUSTERS for look in looks],
        [_reached(look.log_e_fail, case.levels.to_fail) for look in looks],
    )
    standing = settled(case, criterion, found, _missing(case, criterion))
    candidate = figures[Arm.CANDIDATE]
    reasons, state = set(standing.reasons), standing.state
    if candidate.n and Fraction(candidate.unknown, candidate.n) > Fraction(case.block.max_unknown_share):
        # An unknown is no breach, so a fail that was shown in spite of it stands.
        state = State.INCONCLUSIVE if state is State.PASS else state
        reasons |= set() if state is State.FAIL else {Reason.UNKNOWN_SHARE}
    tenants = _alarmed(case, criterion)
    if tenants and state is not State.FAIL:
        reasons.add(Reason.TENANT_ALARM)
    assert criterion.limit is not None
    return Finding(
        criterion=criterion,
        state=state,
        reasons=ordered(reasons),
        limit=Fraction(criterion.limit),
        levels=case.levels,
        failed_once=standing.failed_once,
        entered=figures,
        preview=figures_of(criterion, case.measurement, case.block.tenants, up_to=None),
        looks=looks,
        tenants=tenants,
        forecast=_forecast(case, criterion, Standing(state, frozenset(reasons), standing.failed_once)),
    )


def _evidence(case: Case, criterion: Criterion) -> tuple[Look, ...]:
    p0 = allowed_share(criterion)
    over: Counter[tuple[int, int]] = Counter()
    proven: Counter[tuple[int, int]] = Counter()
    looks = []
    for number in range(1, case.looks.done + 1):
        entering = case.measurement.entering(Arm.CANDIDATE, number)
        over += exceedances(entering, criterion, "over")
        proven += exceedances(entering, criterion, "proven")
        looks.append(
            Look(
                at=case.looks.at(number),
                n=sum(size * count for (size, _), count in over.items()),
                k=sum(above * count for (_, above), count in over.items()),
                clusters=over.total(),
                log_e_pass=log_e_pass(over, p0),
                log_e_fail=log_e_fail(proven, p0),
            )
        )
    return tuple(looks)


def _reached(log_e: float | None, alpha: float) -> bool:
    return log_e is not None and log_e >= -math.log(alpha)


def _missing(case: Case, criterion: Criterion) -> set[Reason]:
    needed = clean_clusters_needed({}, allowed_share(criterion), case.levels.to_pass, FEWEST_CLUSTERS)
    return missing_data(case, Arm.CANDIDATE, needed or FEWEST_CLUSTERS)


def _alarmed(case: Case, criterion: Criterion) -> tuple[str, ...]:
    """The tenants whose own fail process reached its threshold at some look: a good mean may hide a bad tenant."""
    p0 = allowed_share(criterion)
    alarmed: set[str] = set()
    if case.looks.start is None or (criterion.quantile is not None and is_scaled(case)):
        return ()
    by_tenant: dict[str, Counter[tuple[int, int]]] = {}
    for number in range(1, case.looks.done + 1):
        entering = case.measurement.entering(Arm.CANDIDATE, number)
        for tenant in sorted({cell.tenant for cell in entering} - alarmed):
            proven = by_tenant.setdefault(tenant, Counter())
            proven += exceedances([cell for cell in entering if cell.tenant == tenant], criterion, "proven")
            if _reached(log_e_fail(proven, p0), case.levels.per_tenant):
                alarmed.add(tenant)
    return tuple(sorted(alarmed))


def _forecast(case: Case, criterion: Criterion, standing: Standing) -> Forecast | None:
    """Clean clusters from what is seen to a pass; None of a guard, which needn't pass, and where none can follow."""
    waits = standing.state is State.INCONCLUSIVE and criterion.severity is not Severity.GUARD
    if not waits or standing.failed_once or Reason.TIME_SCALED in standing.reasons:
        return None
    seen = exceedances(case.measurement.of(Arm.CANDIDATE), criterion, "over")
    more = clean_clusters_needed(seen, allowed_share(criterion), case.levels.to_pass, FEWEST_CLUSTERS)
    return None if more is None else forecast_of(case, {Arm.CANDIDATE: more})
