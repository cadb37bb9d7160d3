"""How a criterion stands: which thresholds its evidence has crossed, and why it hasn't. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.figures import clusters_about
from dispatcher.verdict.finding import Levels, Reason, State
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


def settled(case: Case, criterion: Criterion, found: Standing, missing: Iterable[Reason]) -> Standing:
    """The standing after what voids it, with every reason; `missing` is what the criterion still lacks."""
    reasons = set(found.reasons)
    voiding = set(_voiding(case, criterion))
    if found.state is State.INCONCLUSIVE and not reasons:
        reasons |= set(missing)
        reasons |= set() if reasons or case.looks.start is None else {Reason.NEAR_MARGIN}
    state = State.INCONCLUSIVE if voiding else found.state
    reasons |= voiding
    if state is State.INCONCLUSIVE and case.looks.start is not None and case.looks.at_horizon:
        reasons.add(Reason.UNDECIDED_AT_HORIZON)
    return Standing(state, frozenset(reasons), found.failed_once and not voiding)


def _voiding(case: Case, criterion: Criterion) -> Iterable[Reason]:
    if case.looks.start is None:
        yield Reason.NOT_REGISTERED
    if criterion.measure.is_duration and is_scaled(case):
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


def is_scaled(case: Case) -> bool:
    """Whether any of the candidate's waits was scaled, in what the looks took in or, where that is nothing, at all."""
    cells = case.measurement.of(Arm.CANDIDATE, up_to=case.looks.done) or case.measurement.of(Arm.CANDIDATE)
    return any(cell.scaled for cell in cells)


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
