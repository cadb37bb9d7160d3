"""All criteria of a record, judged: pure, without a clock."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from dispatcher.adr.criterion import Criterion, Severity
from dispatcher.adr.document import Acceptance, Record
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.audit.record import Origin
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.epoch import MOST_ASTRAY, Epoch
from dispatcher.verdict.evidence.e_process import epoch_alpha, log_balance
from dispatcher.verdict.judgement.figures import figures_of
from dispatcher.verdict.judgement.finding import Finding, Levels, Reason, State
from dispatcher.verdict.judgement.means import judge_mean
from dispatcher.verdict.judgement.mix import unheard
from dispatcher.verdict.judgement.shares import judge_share
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS, Case, ordered
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Arm, Measurement, dispatches_of
from dispatcher.verdict.measures import counts_exceedances, is_judgeable

IMBALANCE = 1000
"""The Bayes factor from which a draw is taken to be broken."""
_BLOCKS_AS_GUARD = frozenset(
    {
        Reason.NOT_REGISTERED,
        Reason.NO_DATA,
        Reason.NEEDS_TIME,
        Reason.UNKNOWN_SHARE,
        Reason.TENANT_ALARM,
        Reason.TIME_SCALED,
        Reason.ASSIGNMENT_NOT_COMPARABLE,
        Reason.LATE_ALARM,
        Reason.NOT_JUDGEABLE,
    }
)


class Outcome(StrEnum):
    """What a record's evidence says should be done."""

    SHIP = "SHIP"
    HOLD = "HOLD"
    ROLLBACK = "ROLLBACK"
    INVALID = "INVALID"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One record judged for one origin at one moment.

    `reasons` say why it is HOLD or INVALID. `log_balance` is the evidence against the draw, a natural logarithm, None
    where nothing was drawn. `epoch` is None where the record isn't registered. `pinned` are the baselines' order
    statistics that it was reached with, by criterion. `shown_for` says of a verdict for display what stands in the
    registered candidate's place, and `against_itself` that it is one half of the control. `unheard` are the tenants
    with far fewer of the candidate's clusters than their weight says. `contradictions` are what was stored otherwise.
    """

    record: Record
    block: Acceptance
    origin: Origin
    looks: Looks
    epoch: Epoch | None
    outcome: Outcome
    reasons: tuple[Reason, ...]
    findings: tuple[Finding, ...]
    measurement: Measurement
    log_balance: float | None
    pinned: Mapping[str, PinnedRanks] = field(default_factory=dict)
    shown_for: str | None = None
    against_itself: bool = False
    unheard: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()

    @property
    def as_of(self) -> dt.datetime:
        """The moment of the verdict."""
        return self.looks.as_of

    @property
    def names(self) -> Mapping[Arm, str]:
        """What the two sides are called."""
        candidate, control = self.block.candidate.variant, self.block.control.variant
        if self.against_itself:
            candidate, control = f"{control}, one half", f"{control}, the other half"
        return {Arm.CANDIDATE: candidate, Arm.CONTROL: control}


def judge(
    record: Record, block: Acceptance, origin: Origin, epoch: Epoch | None, looks: Looks, measurement: Measurement
) -> Verdict:
    """The verdict on a record; INVALID before ROLLBACK before SHIP before HOLD.

    A record that isn't registered is HOLD, whatever its figures. SHIP needs a gate, every gate passed, and no guard in
    the way; one failed gate is a ROLLBACK; a criterion for information changes nothing.
    """
    alpha = epoch_alpha(float(block.looks.alpha), 1 if epoch is None else epoch.number)
    findings = tuple(_find(each, block, looks, measurement, alpha) for each in block.criteria)
    balance = _balance(block, looks, measurement)
    silent = unheard(block.tenants, measurement, up_to=looks.done)
    holding = _holding(findings) | set(_of_the_record(block, epoch, measurement, silent))
    if epoch is None:
        invalid, outcome, holding = set(), Outcome.HOLD, holding | {Reason.NOT_REGISTERED}
    else:
        invalid = set(_invalidating(block, epoch, findings, measurement, balance))
        outcome = outcome_of(findings, invalid, holding)
    reasons = {Outcome.HOLD: holding, Outcome.INVALID: invalid}.get(outcome, set())
    return Verdict(
        record=record,
        block=block,
        origin=origin,
        looks=looks,
        epoch=epoch,
        outcome=outcome,
        reasons=ordered(reasons),
        findings=findings,
        measurement=measurement,
        log_balance=balance,
        unheard=silent,
    )


def invalidated(verdict: Verdict, reasons: Iterable[Reason]) -> Verdict:
    """The verdict after what was found of its past or its baselines: INVALID where there is any reason."""
    found = set(reasons)
    if not found or verdict.epoch is None:
        return verdict
    before = set(verdict.reasons) if verdict.outcome is Outcome.INVALID else set()
    return replace(verdict, outcome=Outcome.INVALID, reasons=ordered(before | found))


def outcome_of(findings: Iterable[Finding], invalid: set[Reason], holding: set[Reason]) -> Outcome:
    """What findings come to in a registered record; SHIP takes a pass of every gate, not only no reason against it."""
    gates = [finding.state for finding in findings if finding.criterion.severity is Severity.GATE]
    if invalid:
        return Outcome.INVALID
    if State.FAIL in gates:
        return Outcome.ROLLBACK
    passed = bool(gates) and all(state is State.PASS for state in gates)
    return Outcome.SHIP if passed and not holding else Outcome.HOLD


def _find(criterion: Criterion, block: Acceptance, looks: Looks, measurement: Measurement, alpha: float) -> Finding:
    alike = sum(each.severity is criterion.severity for each in block.criteria)
    may_fail = 1 if criterion.severity is Severity.INFO else alike
    levels = Levels(to_pass=alpha, to_fail=alpha / may_fail, per_tenant=alpha / len(block.tenants))
    case = Case(block=block, looks=looks, measurement=measurement, levels=levels)
    if not is_judgeable(criterion) or _lacks_grid(criterion, measurement):
        return _not_judgeable(case, criterion)
    return judge_share(case, criterion) if counts_exceedances(criterion) else judge_mean(case, criterion)


def _lacks_grid(criterion: Criterion, measurement: Measurement) -> bool:
    return claim_of(criterion) is Claim.PERCENTILE and criterion.id not in measurement.grids


def _not_judgeable(case: Case, criterion: Criterion) -> Finding:
    return Finding(
        criterion=criterion,
        state=State.INVALID,
        reasons=ordered({Reason.NOT_JUDGEABLE} | ({Reason.NOT_REGISTERED} if case.looks.start is None else set())),
        limit=None,
        levels=case.levels,
        entered=figures_of(criterion, case.measurement, case.block.tenants, up_to=case.looks.done),
        preview=figures_of(criterion, case.measurement, case.block.tenants, up_to=None),
    )


def _holding(findings: Iterable[Finding]) -> set[Reason]:
    """Everything that keeps the record from SHIP."""
    reasons: set[Reason] = set()
    gates = 0
    for finding in findings:
        if finding.criterion.severity is Severity.GATE:
            gates += 1
            reasons |= set(finding.reasons)
        elif finding.criterion.severity is Severity.GUARD:
            reasons |= _guarding(finding)
    return reasons if gates else reasons | {Reason.NO_GATES}


def _of_the_record(
    block: Acceptance, epoch: Epoch | None, measurement: Measurement, silent: Sequence[str]
) -> Iterable[Reason]:
    """What keeps every criterion of a record from being decided for the better."""
    compares = any(each.bound.times_control is not None for each in block.criteria)
    if measurement.other_arms or silent:
        yield Reason.ASSIGNMENT_NOT_COMPARABLE
    if compares and epoch is not None and epoch.control_mixed:
        yield Reason.CONTROL_CHANGED
    for arm in (Arm.CANDIDATE, Arm.CONTROL) if compares else (Arm.CANDIDATE,):
        # A conversation that changed sides may have left either.
        lost = sum(measurement.lost_to_counting.get(each, 0) for each in (arm, Arm.BOTH))
        if lost > Fraction(block.max_unknown_share) * (lost + dispatches_of(measurement.of(arm))):
            yield Reason.LEFT_OUT_SHARE


def _guarding(guard: Finding) -> set[Reason]:
    """Why a guard stands in the way: it needn't pass, but it must have been able to alarm, and not have done so."""
    reasons = set(guard.reasons) & _BLOCKS_AS_GUARD
    if guard.failed_once:
        reasons.add(Reason.GUARD_ALARM)
    # A share has evidence from the first cluster on; a mean that is thin had nothing that could have alarmed.
    could_alarm = counts_exceedances(guard.criterion) and guard.entered[Arm.CANDIDATE].clusters >= FEWEST_CLUSTERS
    if Reason.THIN_DATA in guard.reasons and not could_alarm:
        reasons.add(Reason.THIN_DATA)
    return reasons


def _invalidating(
    block: Acceptance, epoch: Epoch, findings: Iterable[Finding], measurement: Measurement, balance: float | None
) -> Iterable[Reason]:
    if block.hash != epoch.record_hash:
        yield Reason.RECORD_CHANGED
    if any(each.state is State.INVALID and each.criterion.severity is not Severity.INFO for each in findings):
        yield Reason.NOT_JUDGEABLE
    counted = [cell for arm in (Arm.CANDIDATE, Arm.CONTROL) for cell in measurement.of(arm)]
    if sum(cell.astray for cell in counted) > MOST_ASTRAY * dispatches_of(counted):
        yield Reason.VARIANT_NOT_AS_ROUTED
    if balance is not None and balance >= math.log(IMBALANCE):
        yield Reason.SAMPLE_RATIO_MISMATCH
    if measurement.gaps:
        yield Reason.LOG_GAP


def _balance(block: Acceptance, looks: Looks, measurement: Measurement) -> float | None:
    """The most that the units drawn up to any look said against the draw.

    None where nothing was drawn, or among more than the two sides: then a side's share isn't the rest of the other's.
    """
    if block.assignment.kind != "sticky_share" or measurement.other_arms:
        return None
    units: Mapping[float, list[int]] = defaultdict(lambda: [0, 0])
    worst = 0.0
    for number in range(1, looks.done + 1):
        # Who was drawn to the candidate was, under whatever definition it ran.
        for (look, share), clusters in measurement.otherwise_defined.items():
            units[share][0] += clusters if look == number else 0
        for side, arm in enumerate((Arm.CANDIDATE, Arm.CONTROL)):
            for cell in measurement.entering(arm, number):
                assert cell.share is not None
                units[cell.share][side] += cell.clusters
        worst = max(worst, log_balance((share, drawn, rest) for share, (drawn, rest) in units.items()))
    return worst
