"""The figures that people read beside the evidence, and the sums that a mean is judged from. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from dispatcher.adr.criterion import Criterion, Measure
from dispatcher.verdict.contrast import Stratum, Sums
from dispatcher.verdict.finding import Figures
from dispatcher.verdict.measured import Arm, Cell, Measurement, clusters_of, dispatches_of
from dispatcher.verdict.measures import counts_exceedances, is_judgeable

NANO = 10**9
ARMS = (Arm.CANDIDATE, Arm.CONTROL)


def figures_of(
    criterion: Criterion, measurement: Measurement, tenants: Mapping[str, Decimal], *, up_to: int | None
) -> dict[Arm, Figures]:
    """Both arms in numbers: what the looks up to one took in, or everything."""
    if counts_exceedances(criterion):
        return {arm: _figures(criterion, measurement, arm, up_to, None) for arm in ARMS}
    means = _mean_costs(criterion, {arm: measurement.of(arm, up_to=up_to) for arm in ARMS}, tenants)
    return {arm: _figures(criterion, measurement, arm, up_to, means[arm]) for arm in ARMS}


def _figures(
    criterion: Criterion, measurement: Measurement, arm: Arm, up_to: int | None, figure: Fraction | None
) -> Figures:
    cells = measurement.of(arm, up_to=up_to)
    n = dispatches_of(cells)
    k, successes = None, None
    if counts_exceedances(criterion):
        counted = [(cell, cell.counted[criterion.id]) for cell in cells] if is_judgeable(criterion) else []
        k = sum(counts.over * cell.clusters for cell, counts in counted) if is_judgeable(criterion) else None
        unknown = sum(counts.unknown for _, counts in counted)
        if criterion.measure is Measure.RESPONSE_TIME_MS:
            times, share = measurement.times(arm, entered_only=up_to is not None), Fraction(criterion.quantile or 0)
            figure = _whole(times.nearest_rank(share))
            successes = _whole(times.nearest_rank(share, successes_only=True))
        elif k is not None and n:
            figure = Fraction(n - k, n)
    else:
        unknown = unknown_costs(cells)
    return Figures(
        n=n,
        clusters=clusters_of(cells),
        k=k,
        failed=sum(cell.failed for cell in cells),
        unknown=unknown,
        figure=figure,
        figure_successes=successes,
    )


def _whole(value: int | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def unknown_costs(cells: Iterable[Cell]) -> int:
    """How many dispatches have no known cost."""
    return sum(cell.dispatches - cell.cost.known * cell.clusters for cell in cells)


def arms_of(criterion: Criterion) -> tuple[Arm, ...]:
    """The arms that a criterion is judged on."""
    return ARMS if criterion.bound.times_control is not None else (Arm.CANDIDATE,)


def _mean_costs(
    criterion: Criterion, cells: Mapping[Arm, Sequence[Cell]], tenants: Mapping[str, Decimal]
) -> dict[Arm, Fraction | None]:
    """Mean costs in US dollars, weighted as the judgement weighs them; each arm by itself where nothing compares."""
    means = {arm: mean_cost(cells[arm], tenants) for arm in ARMS}
    strata = compared([add_to({}, cells[arm]) for arm in arms_of(criterion)], tenants)
    if strata is not None:
        means[Arm.CANDIDATE] = sum((each.weight * each.candidate.mean for each in strata), Fraction(0)) / NANO
        controls = [each.weight * each.control.mean for each in strata if each.control is not None]
        if controls:
            means[Arm.CONTROL] = sum(controls, Fraction(0)) / NANO
    return means


def mean_cost(cells: Iterable[Cell], tenants: Mapping[str, Decimal]) -> Fraction | None:
    """The mean cost of a dispatch in US dollars, weighted by tenant; of the tenants there are, None without any."""
    by_tenant: dict[str, Sums] = {}
    for cell in cells:
        by_tenant[cell.tenant] = by_tenant.get(cell.tenant, Sums()) + sums_of(cell)
    known = {tenant: sums for tenant, sums in by_tenant.items() if sums.size}
    weight = sum((Fraction(tenants[tenant]) for tenant in known), Fraction(0))
    total = sum((Fraction(tenants[tenant]) * sums.mean for tenant, sums in known.items()), Fraction(0))
    return total / weight / NANO if known else None


def sums_of(cell: Cell) -> Sums:
    """The five sums over a cell's clusters; those without a known cost have none."""
    known, cost = cell.cost.known, cell.cost
    if not known:
        return Sums()
    return Sums(
        clusters=cell.clusters,
        size=known * cell.clusters,
        size_squared=known**2 * cell.clusters,
        total=cost.total,
        cross=known * cost.total,
        total_squared=cost.total_squared,
    )


Strata = dict[tuple[str, float | None], Sums]
"""The sums of one arm by (tenant, candidate's share of the draw)."""


def add_to(strata: Strata, cells: Iterable[Cell]) -> Strata:
    """The sums with those of more cells."""
    added = dict(strata)
    for cell in cells:
        key = (cell.tenant, cell.share)
        added[key] = added.get(key, Sums()) + sums_of(cell)
    return added


def compared(arms: Sequence[Strata], tenants: Mapping[str, Decimal]) -> list[Stratum] | None:
    """The strata that can be compared between the arms, with their weights; None where a tenant has none.

    A tenant keeps its registered weight, split over its strata by their dispatches. A stratum needs two clusters in
    every arm, since one alone shows no variance.
    """
    usable = _usable(arms)
    sizes = {key: sum(arm[key].size for arm in arms) for key in usable}
    of_tenant: Counter[str] = Counter()
    for (tenant, _), size in sizes.items():
        of_tenant[tenant] += size
    if set(of_tenant) != set(tenants):
        return None
    return [
        Stratum(Fraction(tenants[key[0]]) * Fraction(sizes[key], of_tenant[key[0]]), *(arm[key] for arm in arms))
        for key in usable
    ]


def compared_clusters(arms: Sequence[Strata]) -> tuple[int, ...]:
    """How many clusters of each arm are in strata that can be compared."""
    usable = _usable(arms)
    return tuple(sum(arm[key].clusters for key in usable) for arm in arms)


def _usable(arms: Sequence[Strata]) -> list[tuple[str, float | None]]:
    return [key for key in arms[0] if all(key in arm and arm[key].clusters > 1 for arm in arms)]


def exceedances(cells: Iterable[Cell], criterion: Criterion, side: str) -> Counter[tuple[int, int]]:
    """Clusters by (size, dispatches above the limit), as the pass side, "over", or the fail, "proven", has it."""
    clusters: Counter[tuple[int, int]] = Counter()
    for cell in cells:
        clusters[cell.size, getattr(cell.counted[criterion.id], side)] += cell.clusters
    return clusters
