"""The figures that people read beside the evidence, and the sums that a mean is judged from. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.evidence.contrast import Stratum
from dispatcher.verdict.judgement.finding import Figures
from dispatcher.verdict.measured import Arm, Cell, Measurement, clusters_of, dispatches_of
from dispatcher.verdict.measures import counts_cells, counts_exceedances
from dispatcher.verdict.sums import Sums

NANO = 10**9
_MILLION = 10**6
ARMS = (Arm.CANDIDATE, Arm.CONTROL)


def figures_of(
    criterion: Criterion, measurement: Measurement, tenants: Mapping[str, Decimal], *, up_to: int | None
) -> dict[Arm, Figures]:
    """Both arms in numbers: what the looks up to one took in, or everything."""
    if counts_exceedances(criterion):
        return {arm: _of_share(criterion, measurement, arm, up_to) for arm in ARMS}
    cells = {arm: measurement.of(arm, up_to=up_to) for arm in ARMS}
    means = _means(criterion, cells, tenants)
    return {arm: _of_mean(criterion, cells[arm], means[arm]) for arm in ARMS}


def limit_of(criterion: Criterion, figures: Mapping[Arm, Figures]) -> Fraction | None:
    """The limit in the measure's unit: a number, or a multiple of the control's figure, None while that has none."""
    if criterion.limit is not None:
        return Fraction(criterion.limit)
    control = figures[Arm.CONTROL].figure
    assert criterion.bound.times_control is not None
    return None if control is None else Fraction(criterion.bound.times_control) * control


def _of_share(criterion: Criterion, measurement: Measurement, arm: Arm, up_to: int | None) -> Figures:
    cells = measurement.of(arm, up_to=up_to)
    k = sum(cell.counted[criterion.id].over for cell in cells) if counts_cells(criterion) else None
    n, figure, successes = dispatches_of(cells), None, None
    if counts_cells(criterion):
        n = values_of(cells, criterion)
    if criterion.quantile is not None:
        times = measurement.times(arm, entered_only=up_to is not None, measure=criterion.measure)
        share = Fraction(criterion.quantile)
        figure, successes = _whole(times.nearest_rank(share)), _whole(times.nearest_rank(share, successes_only=True))
    elif k is not None and n:
        figure = Fraction(k if criterion.measure.lower_is_better else n - k, n)
    return Figures(
        n=n,
        clusters=clusters_about(cells, criterion),
        k=k,
        failed=sum(cell.failed for cell in cells),
        unknown=unknown_values(cells, criterion),
        figure=figure,
        figure_successes=successes,
    )


def _of_mean(criterion: Criterion, cells: Sequence[Cell], mean: Fraction | None) -> Figures:
    return Figures(
        n=dispatches_of(cells),
        clusters=clusters_of(cells),
        k=None,
        failed=sum(cell.failed for cell in cells),
        unknown=unknown_values(cells, criterion),
        figure=None if mean is None else mean / unit_of(criterion),
    )


def _whole(value: int | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def unit_of(criterion: Criterion) -> int:
    """How many of what is counted make one of the measure's unit: nano-dollars in a dollar, else 1."""
    return NANO if criterion.measure.is_money else 1


def values_of(cells: Iterable[Cell], criterion: Criterion) -> int:
    """How many dispatches a criterion is about: of a measure of later turns fewer than there are."""
    if counts_cells(criterion):
        return sum(cell.counted[criterion.id].n for cell in cells)
    if criterion.measure.later_turns_only and not counts_exceedances(criterion):
        means = [cell.valued[criterion.id] for cell in cells]
        return sum(mean.sums.size + mean.unknown for mean in means)
    return dispatches_of(cells)


def clusters_about(cells: Iterable[Cell], criterion: Criterion) -> int:
    """How many clusters a criterion is about."""
    if not counts_cells(criterion):
        return clusters_of(cells)
    return sum(sum(cell.counted[criterion.id].clusters.values()) for cell in cells)


def unknown_values(cells: Iterable[Cell], criterion: Criterion) -> int:
    """How many dispatches have no known value."""
    if counts_cells(criterion):
        return sum(cell.counted[criterion.id].unknown for cell in cells)
    return sum(cell.valued[criterion.id].unknown for cell in cells if criterion.id in cell.valued)


def arms_of(criterion: Criterion) -> tuple[Arm, ...]:
    """The arms that a criterion is judged on."""
    return ARMS if criterion.bound.times_control is not None else (Arm.CANDIDATE,)


def _means(
    criterion: Criterion, cells: Mapping[Arm, Sequence[Cell]], tenants: Mapping[str, Decimal]
) -> dict[Arm, Fraction | None]:
    """Means weighted as the judgement weighs them; each arm by itself where nothing compares."""
    means = {arm: mean_of(cells[arm], tenants, criterion) for arm in ARMS}
    strata = compared([add_to({}, cells[arm], criterion) for arm in arms_of(criterion)], tenants)
    if strata is not None:
        means[Arm.CANDIDATE] = sum((each.weight * each.candidate.mean for each in strata), Fraction(0))
        controls = [each.weight * each.control.mean for each in strata if each.control is not None]
        if controls:
            means[Arm.CONTROL] = sum(controls, Fraction(0))
    return means


def mean_of(cells: Iterable[Cell], tenants: Mapping[str, Decimal], criterion: Criterion) -> Fraction | None:
    """The mean of a dispatch as it is counted, weighted by tenant; of the tenants there are, None without any."""
    by_tenant: dict[str, Sums] = {}
    for cell in cells:
        by_tenant[cell.tenant] = by_tenant.get(cell.tenant, Sums()) + cell.valued[criterion.id].sums
    known = {tenant: sums for tenant, sums in by_tenant.items() if sums.size}
    weight = sum((Fraction(tenants[tenant]) for tenant in known), Fraction(0))
    total = sum((Fraction(tenants[tenant]) * sums.mean for tenant, sums in known.items()), Fraction(0))
    return total / weight if known else None


Strata = dict[tuple[str, float | None], Sums]
"""The sums of one arm by (tenant, candidate's share of the draw)."""


def add_to(strata: Strata, cells: Iterable[Cell], criterion: Criterion) -> Strata:
    """The sums with those of more cells."""
    added = dict(strata)
    for cell in cells:
        key = (cell.tenant, cell.share)
        added[key] = added.get(key, Sums()) + cell.valued[criterion.id].sums
    return added


def compared(arms: Sequence[Strata], tenants: Mapping[str, Decimal]) -> list[Stratum] | None:
    """The strata that can be compared between the arms, with their weights; None where a tenant has none, and where the
    candidate got nothing at all for what it spent in one, which is beyond every mean.

    A tenant keeps its registered weight, split over its strata by their clusters: these were drawn, whereas how many
    dispatches there are, or how many of them count, may be the candidate's own doing. A stratum needs two clusters in
    every arm, since one alone shows no variance.
    """
    usable = _usable(arms)
    clusters = {key: sum(arm[key].clusters for arm in arms) for key in usable}
    of_tenant: Counter[str] = Counter()
    for (tenant, _), count in clusters.items():
        of_tenant[tenant] += count
    if set(of_tenant) != set(tenants) or any(sums.total and not sums.size for sums in arms[0].values()):
        return None
    return [
        Stratum(Fraction(tenants[key[0]]) * Fraction(clusters[key], of_tenant[key[0]]), *(arm[key] for arm in arms))
        for key in usable
    ]


def effective_clusters(strata: Sequence[Stratum]) -> tuple[Fraction, ...]:
    """How many clusters of each arm a weighted mean rests on: (Σ w)² / Σ w²/n (Kish 1965, Survey Sampling), w being the
    strata's weights or their parts of the mean, whichever leaves fewer.

    A tenant with most of the weight and two conversations leaves two, however many the others have; so does one of
    little weight that is so dear that most of the mean, and of its variance, comes from there.
    """
    arms = [[(each.weight, each.candidate) for each in strata]]
    if all(each.control is not None for each in strata):
        arms.append([(each.weight, each.control) for each in strata if each.control is not None])
    return tuple(min(_kish(arm), _kish([(_part(*each), each[1]) for each in arm])) for arm in arms)


def _part(weight: Fraction, sums: Sums) -> Fraction:
    """What a stratum adds to the mean, in whole millionths: exact fractions of many strata grow without bound."""
    return Fraction(round(weight * sums.mean * _MILLION))


def _kish(parts: Sequence[tuple[Fraction, Sums]]) -> Fraction:
    """All of the clusters where there is nothing to tell the strata apart by."""
    of_all = sum((part for part, _ in parts), Fraction(0))
    if not of_all:
        return Fraction(sum(sums.clusters for _, sums in parts))
    return of_all**2 / sum((part**2 / sums.clusters for part, sums in parts), Fraction(0))


def compared_clusters(arms: Sequence[Strata]) -> tuple[int, ...]:
    """How many clusters of each arm are in strata that can be compared."""
    usable = _usable(arms)
    return tuple(sum(arm[key].clusters for key in usable) for arm in arms)


def _usable(arms: Sequence[Strata]) -> list[tuple[str, float | None]]:
    return [key for key in arms[0] if all(key in arm and arm[key].clusters > 1 and arm[key].size for arm in arms)]


def exceedances(cells: Iterable[Cell], criterion: Criterion, side: str) -> Counter[tuple[int, int]]:
    """Clusters by (size, dispatches above the limit), as the pass side, "over", or the fail, "proven", has it."""
    clusters: Counter[tuple[int, int]] = Counter()
    for cell in cells:
        for (size, over, proven), count in cell.counted[criterion.id].clusters.items():
            clusters[size, over if side == "over" else proven] += count
    return clusters
