"""Whether everything has become slower or faster, the candidate or not: tenants that stayed with the control. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.evidence.grid import GridCounts, Side
from dispatcher.verdict.judgement.finding import Drift, Reason, State
from dispatcher.verdict.judgement.standing import Case, Standing
from dispatcher.verdict.measures import allowed_share

_ALLOWED = 0.05
"""Of a mean: the 95th percentile stands for it."""


def drift_of(case: Case, criterion: Criterion) -> tuple[Drift, ...]:
    """What the weeks alone did to the tenants that stayed with the control; none without a look.

    A pass is earned over the weeks and stays one, so that they were fast counts whenever a look showed it, though later
    weeks water it down. A fail stands unless it is shown by now that they are slow: nothing shields it for good.

    Only where tenants were set by a flag is there anything, and only for times: the percentile that the criterion is
    about, against that tenant's own before.
    """
    stayed = case.measurement.drift.get(criterion.id, {})
    p0 = allowed_share(criterion) if criterion.quantile is not None else _ALLOWED
    return tuple(_drift(case, tenant, stayed[tenant], p0) for tenant in sorted(stayed) if case.looks.done)


def attributed(case: Case, standing: Standing, drift: Sequence[Drift]) -> Standing:
    """The standing where a fail, or a pass, may be that of the weeks and not of the candidate.

    So it is where any tenant that stayed with the control is shown to have become slower, or faster, at an equal part
    of alpha.
    """
    threshold = drift_threshold(case.levels.to_pass, drift)
    shown = {
        State.FAIL: any(each.log_e_slower >= threshold for each in drift),
        State.PASS: any(each.log_e_faster >= threshold for each in drift),
    }
    if not shown.get(standing.state, False):
        return standing
    return Standing(State.INCONCLUSIVE, standing.reasons | {Reason.ASSIGNMENT_NOT_COMPARABLE})


def drift_threshold(alpha: float, drift: Sequence[Drift]) -> float:
    """The logarithm of the evidence from which a tenant's drift is taken for shown."""
    return math.log(len(drift) or 1) - math.log(alpha)


def _drift(case: Case, tenant: str, counts: GridCounts, p0: float) -> Drift:
    at_looks = [*counts.at_looks(case.looks.done)]
    sides = at_looks[-1]
    since, before = sides[Side.FAIL].candidate, sides[Side.FAIL].control
    return Drift(
        tenant=tenant,
        n_before=round(before.dispatches),
        before=before.percentile(p0),
        n_since=round(since.dispatches),
        since=since.percentile(p0),
        log_e_slower=sides[Side.FAIL].log_e_fail(p0),
        log_e_faster=max(each[Side.PASS].log_e_pass(p0) for each in at_looks),
    )
