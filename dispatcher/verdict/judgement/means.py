"""A mean, judged: a difference that must not be positive. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from dispatcher.adr.criterion import Criterion, Severity
from dispatcher.verdict.evidence.contrast import FEWEST_CLUSTERS, Contrast, contrast
from dispatcher.verdict.judgement.drift import attributed, drift_of
from dispatcher.verdict.judgement.figures import (
    Strata,
    add_to,
    arms_of,
    compared,
    compared_clusters,
    effective_clusters,
    figures_of,
    unit_of,
    unknown_values,
    values_of,
)
from dispatcher.verdict.judgement.finding import Finding, Forecast, Look, Reason, State
from dispatcher.verdict.judgement.forecast import LOOKS_TO_KNOW_TRAFFIC, alike_forecast, clusters_per_week, forecast_of
from dispatcher.verdict.judgement.mean_detector import log_mean_detectors, taken_in
from dispatcher.verdict.judgement.standing import (
    Case,
    Standing,
    contradicted,
    found_of,
    is_uncomparable,
    missing_data,
    settled,
    standing_of,
    watched,
)
from dispatcher.verdict.measured import Arm, Cell, clusters_of, dispatches_of


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look saw: the difference, None where too little can be compared, and the share of unknown costs."""

    look: Look
    difference: Contrast | None
    unknown: Fraction


def judge_mean(case: Case, criterion: Criterion) -> Finding:
    """The finding of a criterion about a mean cost, against the control in the same weeks or against a number.

    A crossing counts only where no more costs were unknown at that look than the record bears, and none stands where
    more are unknown in the end.
    """
    seen = _watched(case, criterion, _evidence(case, criterion))
    standing = settled(case, criterion, _found(case, criterion, seen), _missing(case, criterion, seen))
    drift = drift_of(case, criterion)
    standing = attributed(case, watched(standing, (each.look for each in seen)), drift)
    entered = figures_of(criterion, case.measurement, case.block.tenants, up_to=case.looks.done)
    standing = contradicted(standing, criterion, entered)
    if standing.state is State.PASS and seen[-1].difference is None:
        # What could be compared once can't be any more: the candidate got nothing for what it spent.
        standing = replace(standing, reasons=standing.reasons | {Reason.LATE_ALARM})
    waits = standing.state is State.INCONCLUSIVE and criterion.severity is not Severity.GUARD
    waits = waits and not standing.failed_once and not is_uncomparable(case, criterion)
    forecast = _forecast(case, criterion, seen) if waits else None
    if waits and forecast is None and _is_out_of_reach(case, seen):
        standing = replace(standing, reasons=standing.reasons | {Reason.UNDECIDABLE_AT_TRAFFIC})
    looks = (each.look for each in seen)
    return found_of(case, criterion, standing, entered, looks, forecast=forecast, drift=drift)


def _evidence(case: Case, criterion: Criterion) -> list[_Seen]:
    seen = []
    cells: dict[Arm, list[Cell]] = {arm: [] for arm in arms_of(criterion)}
    arms: list[Strata] = [{} for _ in cells]
    for number in range(1, case.looks.done + 1):
        entering = {arm: case.measurement.entering(arm, number) for arm in cells}
        arms = [add_to(sums, entering[arm], criterion) for arm, sums in zip(cells, arms, strict=True)]
        for arm, counted in cells.items():
            counted.extend(entering[arm])
        found = _difference(criterion, arms, case.block.tenants)
        unknown = max(_unknown_share(counted, criterion) for counted in cells.values())
        seen.append(_Seen(_look(case, criterion, number, cells[Arm.CANDIDATE], found), found, unknown))
    return seen


def _look(case: Case, criterion: Criterion, number: int, cells: Sequence[Cell], found: Contrast | None) -> Look:
    t_star, unit = _expected_clusters(case, criterion), unit_of(criterion)
    varies = _varies(found)
    return Look(
        at=case.looks.at(number),
        n=dispatches_of(cells),
        k=None,
        clusters=clusters_of(cells),
        difference=None if found is None else found.difference / unit,
        half_width_pass=found.half_width(case.levels.to_pass, t_star) / unit if found and varies else None,
        half_width_fail=found.half_width(case.levels.to_fail, t_star) / unit if found and varies else None,
    )


def _difference(criterion: Criterion, arms: Sequence[Strata], tenants: Mapping[str, Decimal]) -> Contrast | None:
    """D in what is counted, nano-dollars for money; None where it would rest on too few clusters of an arm, or on none
    of a tenant.
    """
    strata = compared(arms, tenants)
    if strata is None or min(effective_clusters(strata)) < FEWEST_CLUSTERS:
        return None
    ratio = Fraction(criterion.bound.times_control or 0)
    limit = Fraction(0) if criterion.limit is None else Fraction(criterion.limit) * unit_of(criterion)
    return contrast(strata, ratio=ratio, limit=limit)


def _varies(found: Contrast | None) -> bool:
    """Whether there is an interval: costs that never vary tell nothing of those that will come."""
    return found is not None and found.standard_error > 0


def _watched(case: Case, criterion: Criterion, seen: Sequence[_Seen]) -> list[_Seen]:
    """The looks, those after the first pass with what the detector says of what came since."""
    t_star = _expected_clusters(case, criterion)
    may_pass = seen[: case.looks.max_weeks]
    passes = (_kept(_counting(case, each), case.levels.to_pass, t_star) for each in may_pass)
    passed = next((number for number, kept in enumerate(passes, start=1) if kept), None)
    if passed is None:
        return [*seen]
    looks = [
        [taken_in(case.measurement.entering(arm, number), criterion) for arm in arms_of(criterion)]
        for number in range(passed + 1, case.looks.done + 1)
    ]
    said = log_mean_detectors(looks, lambda arms: _difference(criterion, arms, case.block.tenants), t_star)
    after = (replace(each, look=replace(each.look, log_detector=next(said))) for each in seen[passed:])
    return [*seen[:passed], *after]


def _counting(case: Case, seen: _Seen) -> Contrast | None:
    """The difference at a look, None where too much was unknown or nothing varied."""
    return None if _too_unknown(case, seen) or not _varies(seen.difference) else seen.difference


def _found(case: Case, criterion: Criterion, seen: Sequence[_Seen]) -> Standing:
    t_star = _expected_clusters(case, criterion)
    counting = [_counting(case, each) for each in seen]
    found = standing_of(
        [_kept(each, case.levels.to_pass, t_star) for each in counting[: case.looks.max_weeks]],
        [_broken(each, case.levels.to_fail, t_star) for each in counting],
    )
    if not seen or not _too_unknown(case, seen[-1]):
        return found
    lacking = _missing(case, criterion, seen) if found.state is State.INCONCLUSIVE else set()
    return Standing(State.INCONCLUSIVE, found.reasons | lacking | {Reason.UNKNOWN_SHARE}, found.failed_once)


def _kept(found: Contrast | None, alpha: float, t_star: float) -> bool:
    return found is not None and found.difference + found.half_width(alpha, t_star) <= 0


def _broken(found: Contrast | None, alpha: float, t_star: float) -> bool:
    return found is not None and found.difference - found.half_width(alpha, t_star) > 0


def _too_unknown(case: Case, seen: _Seen) -> bool:
    return seen.unknown > Fraction(case.block.max_unknown_share)


def _unknown_share(cells: Sequence[Cell], criterion: Criterion) -> Fraction:
    values = values_of(cells, criterion)
    return Fraction(unknown_values(cells, criterion), values) if values else Fraction(0)


def _expected_clusters(case: Case, criterion: Criterion) -> float:
    """Where the half-width is tightest: as registered, else at the clusters expected at half of the horizon."""
    if case.block.looks.t_star is not None:
        return float(case.block.looks.t_star)
    weekly = sum(clusters_per_week(case.block, arm) for arm in arms_of(criterion))
    return float(weekly * case.looks.max_weeks / 2)


def _missing(case: Case, criterion: Criterion, seen: Sequence[_Seen]) -> set[Reason]:
    reasons: set[Reason] = set()
    for arm in arms_of(criterion):
        reasons |= missing_data(case, criterion, arm, FEWEST_CLUSTERS)
    if not reasons and seen and not _varies(seen[-1].difference):
        reasons.add(Reason.THIN_DATA)
    return reasons


def _forecast(case: Case, criterion: Criterion, seen: Sequence[_Seen]) -> Forecast | None:
    """Clusters up to the fewest that are compared and, from there on, so many more like those so far."""
    missing = _still_missing(case, criterion)
    if missing:
        return forecast_of(case, missing)
    found = seen[-1].difference if seen else None
    if found is None or not _varies(found):
        return None
    t_star = _expected_clusters(case, criterion)

    def decides(factor: Fraction) -> bool:
        grown = found.grown(factor)
        return _kept(grown, case.levels.to_pass, t_star) or _broken(grown, case.levels.to_fail, t_star)

    return alike_forecast(case, decides)


def _still_missing(case: Case, criterion: Criterion) -> dict[Arm, int]:
    """The clusters up to the fewest that a mean may rest on, of the arms that have fewer, in the same mix of strata."""
    arms = arms_of(criterion)
    sums = [add_to({}, case.measurement.of(arm), criterion) for arm in arms]
    counts, strata = compared_clusters(sums), compared(sums, case.block.tenants)
    effective = tuple(map(Fraction, counts)) if strata is None else effective_clusters(strata)
    return {
        arm: math.ceil(count * (FEWEST_CLUSTERS / kept - 1)) if count else FEWEST_CLUSTERS
        for arm, count, kept in zip(arms, counts, effective, strict=True)
        if kept < FEWEST_CLUSTERS
    }


def _is_out_of_reach(case: Case, seen: Sequence[_Seen]) -> bool:
    """Whether a month of comparisons leads to no decision by the last look."""
    looks = case.looks
    return looks.done >= LOOKS_TO_KNOW_TRAFFIC and not looks.at_horizon and _varies(seen[-1].difference)
