"""A mean, judged: a difference that must not be positive. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.contrast import FEWEST_CLUSTERS, Contrast, contrast
from dispatcher.verdict.figures import NANO, Strata, add_to, compared, figures_of
from dispatcher.verdict.finding import Figures, Finding, Forecast, Look, Reason, State
from dispatcher.verdict.forecast import clusters_per_week, forecast_of
from dispatcher.verdict.measured import Arm, clusters_of, dispatches_of
from dispatcher.verdict.standing import Case, missing_data, ordered, settled, standing_of


def judge_mean(case: Case, criterion: Criterion) -> Finding:
    """The finding of a criterion about a mean cost, against the control in the same weeks or against a number."""
    looks, differences = _evidence(case, criterion)
    t_star = _expected_clusters(case, criterion)
    found = standing_of(
        [_kept(each, case.levels.to_pass, t_star) for each in differences],
        [_broken(each, case.levels.to_fail, t_star) for each in differences],
    )
    standing = settled(case, criterion, found, _missing(case, criterion, differences))
    entered = figures_of(criterion, case.measurement, case.block.tenants, up_to=case.looks.done)
    preview = figures_of(criterion, case.measurement, case.block.tenants, up_to=None)
    state, reasons = standing.state, set(standing.reasons)
    if _unknown_share(entered, _arms(criterion)) > Fraction(case.block.max_unknown_share):
        state = State.INCONCLUSIVE
        reasons.add(Reason.UNKNOWN_SHARE)
    return Finding(
        criterion=criterion,
        state=state,
        reasons=ordered(reasons),
        limit=_limit(criterion, entered) or _limit(criterion, preview),
        levels=case.levels,
        failed_once=standing.failed_once,
        entered=entered,
        preview=preview,
        looks=looks,
        forecast=_forecast(case, criterion) if state is State.INCONCLUSIVE else None,
    )


def _arms(criterion: Criterion) -> tuple[Arm, ...]:
    return (Arm.CANDIDATE,) if criterion.bound.times_control is None else (Arm.CANDIDATE, Arm.CONTROL)


def _evidence(case: Case, criterion: Criterion) -> tuple[tuple[Look, ...], list[Contrast | None]]:
    looks, differences = [], []
    t_star = _expected_clusters(case, criterion)
    arms: list[Strata] = [{} for _ in _arms(criterion)]
    n = clusters = 0
    for number in range(1, case.looks.done + 1):
        arms = [
            add_to(sums, case.measurement.entering(arm, number))
            for arm, sums in zip(_arms(criterion), arms, strict=True)
        ]
        found = _difference(criterion, arms, case.block.tenants)
        differences.append(found)
        entering = case.measurement.entering(Arm.CANDIDATE, number)
        n, clusters = n + dispatches_of(entering), clusters + clusters_of(entering)
        look = Look(at=case.looks.at(number), n=n, k=None, clusters=clusters)
        if found is not None:
            look = replace(
                look,
                difference=found.difference / NANO,
                half_width_pass=found.half_width(case.levels.to_pass, t_star) / NANO,
                half_width_fail=found.half_width(case.levels.to_fail, t_star) / NANO,
            )
        looks.append(look)
    return tuple(looks), differences


def _difference(criterion: Criterion, arms: Sequence[Strata], tenants: Mapping[str, Decimal]) -> Contrast | None:
    """D in nano-dollars; None where an arm has too few clusters, or where nothing varies, which tells of no more."""
    if any(sum(sums.clusters for sums in arm.values()) < FEWEST_CLUSTERS for arm in arms):
        return None
    strata = compared(arms, tenants)
    if strata is None:
        return None
    ratio = Fraction(criterion.bound.times_control or 0)
    limit = Fraction(0) if criterion.limit is None else Fraction(criterion.limit) * NANO
    found = contrast(strata, ratio=ratio, limit=limit)
    return found if found.standard_error > 0 else None


def _kept(found: Contrast | None, alpha: float, t_star: float) -> bool:
    return found is not None and found.difference + found.half_width(alpha, t_star) <= 0


def _broken(found: Contrast | None, alpha: float, t_star: float) -> bool:
    return found is not None and found.difference - found.half_width(alpha, t_star) > 0


def _expected_clusters(case: Case, criterion: Criterion) -> float:
    """Where the half-width is tightest: the clusters expected at half of the horizon."""
    weekly = sum(clusters_per_week(case.block, arm) for arm in _arms(criterion))
    return float(weekly * case.looks.max_weeks / 2)


def _missing(case: Case, criterion: Criterion, differences: Sequence[Contrast | None]) -> set[Reason]:
    reasons: set[Reason] = set()
    for arm in _arms(criterion):
        reasons |= missing_data(case, arm, FEWEST_CLUSTERS)
    if not reasons and differences and differences[-1] is None:
        reasons.add(Reason.THIN_DATA)
    return reasons


def _unknown_share(figures: Mapping[Arm, Figures], arms: Iterable[Arm]) -> Fraction:
    return max(Fraction(figures[arm].unknown, figures[arm].n) if figures[arm].n else Fraction(0) for arm in arms)


def _limit(criterion: Criterion, figures: Mapping[Arm, Figures]) -> Fraction | None:
    if criterion.limit is not None:
        return Fraction(criterion.limit)
    control = figures[Arm.CONTROL].figure
    assert criterion.bound.times_control is not None
    return None if control is None else Fraction(criterion.bound.times_control) * control


def _forecast(case: Case, criterion: Criterion) -> Forecast | None:
    """Clusters up to the fewest that are looked at; what comes after depends on how much the costs vary."""
    more = {arm: FEWEST_CLUSTERS - clusters_of(case.measurement.of(arm)) for arm in _arms(criterion)}
    missing = {arm: count for arm, count in more.items() if count > 0}
    return forecast_of(case, missing) if missing else None
