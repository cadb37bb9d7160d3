"""How a criterion stands: which thresholds its evidence has crossed, and why it hasn't. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.evidence.e_process import MEAN_LOOKS_TO_ALARM
from dispatcher.verdict.judgement.figures import arms_of, clusters_about, figures_of, limit_of
from dispatcher.verdict.judgement.finding import Drift, Figures, Finding, Forecast, Levels, Look, Reason, State
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Arm, LeftOut, Measurement, clusters_of

FEWEST_CLUSTERS = 20
"""Clusters from which a share may pass, whatever its evidence."""
COMPARED = (Arm.CANDIDATE, Arm.CONTROL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a criterion is judged on."""

    block: Acceptance
    looks: Looks
    measurement: Measurement
    levels: Levels


@dataclass(frozen=True, slots=True)
class Standing:
    """A state, its reasons, and whether the fail side ever reached its threshold."""

    state: State
    reasons: frozenset[Reason] = frozenset()
    failed_once: bool = False


def standing_of(passed: Sequence[bool], failed: Sequence[bool]) -> Standing:
    """From what each look saw of the two thresholds; a crossing stays one, and the later of two stands.

    A fail after a pass is a fail. A pass after a fail, or with it, is neither: the limit was kept and broken.
    """
    first_pass = passed.index(True) if True in passed else None
    first_fail = failed.index(True) if True in failed else None
    if first_fail is None:
        return Standing(State.INCONCLUSIVE if first_pass is None else State.PASS)
    if first_pass is None or first_pass < first_fail:
        return Standing(State.FAIL, failed_once=True)
    return Standing(State.INCONCLUSIVE, frozenset({Reason.NEAR_MARGIN}), failed_once=True)


def watched(standing: Standing, looks: Iterable[Look]) -> Standing:
    """The standing with the alarm of a detector that watched what came after a pass; a fail needs none."""
    alarm = math.log(MEAN_LOOKS_TO_ALARM)
    if standing.state is State.PASS and any((look.log_detector or 0.0) >= alarm for look in looks):
        return replace(standing, reasons=standing.reasons | {Reason.LATE_ALARM})
    return standing


def contradicted(standing: Standing, criterion: Criterion, entered: Mapping[Arm, Figures]) -> Standing:
    """The standing with an alarm where a pass stands although all that was counted since then lies beyond the limit."""
    counted, limit = entered[Arm.CANDIDATE], limit_of(criterion, entered)
    if standing.state is not State.PASS or limit is None:
        return standing
    if counted.figure is None:
        # A percentile that lies among the failures is beyond every value.
        beyond = criterion.quantile is not None and counted.failed + counted.unknown > 0
    else:
        beyond = counted.figure > limit if criterion.measure.lower_is_better else counted.figure < limit
    return replace(standing, reasons=standing.reasons | {Reason.LATE_ALARM}) if beyond else standing


def found_of(
    case: Case,
    criterion: Criterion,
    standing: Standing,
    entered: Mapping[Arm, Figures],
    looks: Iterable[Look],
    *,
    tenants: tuple[str, ...] = (),
    forecast: Forecast | None,
    drift: tuple[Drift, ...],
) -> Finding:
    """The finding, with the figures of all that there is beside those that the looks took in."""
    preview = figures_of(criterion, case.measurement, case.block.tenants, up_to=None)
    return Finding(
        criterion=criterion,
        state=standing.state,
        reasons=ordered(standing.reasons),
        limit=limit_of(criterion, entered) or limit_of(criterion, preview),
        levels=case.levels,
        failed_once=standing.failed_once,
        entered=entered,
        preview=preview,
        looks=tuple(looks),
        tenants=tenants,
        forecast=forecast,
        drift=drift,
    )


def settled(case: Case, criterion: Criterion, found: Standing, missing: Iterable[Reason]) -> Standing:
    """The standing after what voids it, with every reason; `missing` is what the criterion still lacks."""
    reasons = set(found.reasons)
    voiding = set(_voiding(case, criterion))
    if found.state is State.INCONCLUSIVE and not reasons:
        reasons |= set(missing)
        reasons |= set() if reasons or case.looks.start is None else {Reason.NEAR_MARGIN}
    state = State.INCONCLUSIVE if voiding else found.state
    reasons |= voiding
    # Of an arm without a row there is nothing that a look could still take in.
    reasons -= {Reason.NEEDS_TIME} if Reason.NO_DATA in reasons else set()
    if state is State.INCONCLUSIVE and case.looks.start is not None and case.looks.at_horizon:
        reasons.add(Reason.UNDECIDED_AT_HORIZON)
    return Standing(state, frozenset(reasons), found.failed_once and not voiding)


def _voiding(case: Case, criterion: Criterion) -> Iterable[Reason]:
    if case.looks.start is None:
        yield Reason.NOT_REGISTERED
    if is_scaled(case, criterion):
        yield Reason.TIME_SCALED
    if is_uncomparable(case, criterion):
        yield Reason.ASSIGNMENT_NOT_COMPARABLE


def is_uncomparable(case: Case, criterion: Criterion) -> bool:
    """Whether it is about a control that nobody drew or, unless it is a mean, that was drawn at more than one share.

    A mean compares stratum by stratum. A share has one process over all clusters, and where the draw's share changed
    the two arms are of other weeks, or of other tenants.
    """
    if criterion.bound.times_control is None:
        return False
    if case.block.assignment.kind == "tenant_flag":
        return True
    entered = (cell for arm in COMPARED for cell in case.measurement.of(arm, up_to=case.looks.done))
    return claim_of(criterion) is not Claim.MEAN and len({cell.share for cell in entered}) > 1


def is_scaled(case: Case, criterion: Criterion) -> bool:
    """Whether any wait that it is about was scaled, in what the looks took in or, where that is nothing, at all."""
    if not criterion.measure.is_duration:
        return False
    arms = [case.measurement.of(arm, up_to=case.looks.done) or case.measurement.of(arm) for arm in arms_of(criterion)]
    return any(cell.scaled for cells in arms for cell in cells)


def missing_data(case: Case, criterion: Criterion, arm: Arm, fewest: int) -> set[Reason]:
    """What an arm lacks before `fewest` of the clusters that a criterion is about can be looked at."""
    seen = case.measurement.of(arm, up_to=case.looks.done)
    entered = clusters_about(seen, criterion)
    if entered:
        return {Reason.THIN_DATA} if entered < fewest else set()
    left_out = case.measurement.excluded.get(arm, {})
    if not clusters_of(seen) and (case.measurement.of(arm) or left_out.get(LeftOut.RUNNING)):
        # Without a registration there is no look that they could wait for.
        return set() if case.looks.start is None else {Reason.NEEDS_TIME}
    if left_out.get(LeftOut.BEFORE_ALL_TENANTS):
        return {Reason.ASSIGNMENT_NOT_COMPARABLE}
    return {Reason.NO_DATA}


def ordered(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Reasons in the order of reports, each once."""
    return tuple(sorted(set(reasons), key=list(Reason).index))
