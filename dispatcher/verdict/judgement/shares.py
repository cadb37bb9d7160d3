"""A percentile or a rate, judged: at most so many dispatches above the limit. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from dispatcher.adr.criterion import Criterion, Severity
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.judgement.against_number import AgainstNumber
from dispatcher.verdict.judgement.against_percentile import AgainstPercentile
from dispatcher.verdict.judgement.against_rate import AgainstRate
from dispatcher.verdict.judgement.drift import attributed, drift_of
from dispatcher.verdict.judgement.figures import arms_of, figures_of
from dispatcher.verdict.judgement.finding import Figures, Finding, Forecast, Look, Reason, State
from dispatcher.verdict.judgement.standing import (
    FEWEST_CLUSTERS,
    Case,
    Standing,
    contradicted,
    found_of,
    is_scaled,
    missing_data,
    settled,
    standing_of,
    watched,
)
from dispatcher.verdict.measured import Arm


class Evidence(Protocol):
    """What a share is judged from, of whatever kind its limit is."""

    def looks(self) -> Iterable[Look]:
        """The evidence at every look."""

    def detectors(self, after: int) -> Iterator[float]:
        """Ln S of each look after one."""

    def alarmed(self) -> tuple[str, ...]:
        """The tenants that break the limit for themselves."""

    def fewest(self) -> int:
        """The clusters of the candidate below which nothing could pass."""

    def contradicts_weights(self) -> bool:
        """Whether the mix of tenants decides, and not the candidate."""

    def forecast(self) -> Forecast | None:
        """What would decide."""

    def is_out_of_reach(self) -> bool:
        """Whether nothing is decided by the last look at this traffic."""


def judge_share(case: Case, criterion: Criterion) -> Finding:
    """The finding of a criterion about a share."""
    evidence = _evidence(case, criterion)
    looks = _watched(case, evidence, list(evidence.looks()))
    figures = figures_of(criterion, case.measurement, case.block.tenants, up_to=case.looks.done)
    found = standing_of(
        [_passes(look, case.levels.to_pass) for look in looks[: case.looks.max_weeks]],
        [_reached(look.log_e_fail, case.levels.to_fail) for look in looks],
    )
    standing = settled(case, criterion, found, _missing(case, criterion, evidence))
    alarmed = () if _has_no_evidence(case, criterion) else evidence.alarmed()
    drift = drift_of(case, criterion)
    standing = attributed(case, _doubted(case, criterion, evidence, standing, figures), drift)
    standing = _alarmed(standing, looks, alarmed)
    standing = contradicted(standing, criterion, figures)
    awaited = _is_awaited(criterion, standing)
    if awaited and _is_out_of_reach(case, evidence):
        standing = replace(standing, reasons=standing.reasons | {Reason.UNDECIDABLE_AT_TRAFFIC})
    forecast = evidence.forecast() if awaited else None
    return found_of(case, criterion, standing, figures, looks, tenants=alarmed, forecast=forecast, drift=drift)


def _evidence(case: Case, criterion: Criterion) -> Evidence:
    claim = claim_of(criterion)
    if claim is Claim.PERCENTILE:
        return AgainstPercentile(case, criterion)
    return AgainstRate(case, criterion) if claim is Claim.RATE else AgainstNumber(case, criterion)


def _watched(case: Case, evidence: Evidence, looks: list[Look]) -> list[Look]:
    """The looks, those after the first pass with what the detector says of what came since."""
    may_pass = enumerate(looks[: case.looks.max_weeks], start=1)
    passed = next((number for number, look in may_pass if _passes(look, case.levels.to_pass)), None)
    if passed is None:
        return looks
    said = evidence.detectors(passed)
    return looks[:passed] + [replace(look, log_detector=next(said, None)) for look in looks[passed:]]


def _passes(look: Look, to_pass: float) -> bool:
    return _reached(look.log_e_pass, to_pass) and look.clusters >= FEWEST_CLUSTERS


def _reached(log_e: float | None, alpha: float) -> bool:
    return log_e is not None and log_e >= -math.log(alpha)


def _missing(case: Case, criterion: Criterion, evidence: Evidence) -> set[Reason]:
    reasons = missing_data(case, criterion, Arm.CANDIDATE, evidence.fewest())
    return reasons.union(*(missing_data(case, criterion, arm, 1) for arm in arms_of(criterion)))


def _has_no_evidence(case: Case, criterion: Criterion) -> bool:
    return case.looks.start is None or is_scaled(case, criterion)


def _doubted(
    case: Case, criterion: Criterion, evidence: Evidence, standing: Standing, figures: Mapping[Arm, Figures]
) -> Standing:
    """The standing after what may hide the truth: too many unknowns, or a mix of tenants."""
    state, reasons = standing.state, set(standing.reasons)
    bound = Fraction(case.block.max_unknown_share)
    if any(figures[arm].n and Fraction(figures[arm].unknown, figures[arm].n) > bound for arm in arms_of(criterion)):
        # An unknown is no breach, so a fail that was shown in spite of it stands.
        state = State.INCONCLUSIVE if state is State.PASS else state
        reasons |= set() if state is State.FAIL else {Reason.UNKNOWN_SHARE}
    by_flag = case.block.assignment.kind == "tenant_flag" and state in {State.PASS, State.FAIL}
    if by_flag and evidence.contradicts_weights():
        return Standing(State.INCONCLUSIVE, frozenset(reasons | {Reason.ASSIGNMENT_NOT_COMPARABLE}))
    return Standing(state, frozenset(reasons), standing.failed_once)


def _alarmed(standing: Standing, looks: Iterable[Look], tenants: tuple[str, ...]) -> Standing:
    """The standing with its alarms, which a fail doesn't need any more."""
    reasons = set(standing.reasons)
    if standing.state is not State.FAIL:
        reasons |= {Reason.TENANT_ALARM} if tenants else set()
    return watched(replace(standing, reasons=frozenset(reasons)), looks)


def _is_awaited(criterion: Criterion, standing: Standing) -> bool:
    """Whether a decision can still come; a guard needs none."""
    if standing.state is not State.INCONCLUSIVE or criterion.severity is Severity.GUARD or standing.failed_once:
        return False
    return not standing.reasons & {Reason.TIME_SCALED, Reason.UNDECIDED_AT_HORIZON}


def _is_out_of_reach(case: Case, evidence: Evidence) -> bool:
    return case.looks.start is not None and evidence.is_out_of_reach()
