"""Clusters, and those that can't be told apart: how many there are of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.verdict.measured import Arm, LeftOut
from dispatcher.verdict.measurement.dispatches import Dispatches
from dispatcher.verdict.measurement.integers import Bytewise
from dispatcher.verdict.measurement.population import Population, named
from dispatcher.verdict.measurement.rough import KEYS as ROUGH_KEYS
from dispatcher.verdict.measurement.rough import Rough
from dispatcher.verdict.measurement.tallies import SUMMED, Tallies, count_of, part, tallies_of

ASIDE = (LeftOut.LATE, LeftOut.AFTER_WINDOW, LeftOut.RUNNING)
KEYS = ("left_out", "arm", "look", "tenant", "share", "version", "size")

Statement = sa.Select[Any] | sa.CompoundSelect[Any]


@dataclass(frozen=True)
class Counting:
    """The clusters of a population, counted for the criteria of its record; `one_by_one` is that of `Rough`."""

    population: Population
    one_by_one: bool = False

    @cached_property
    def tallies(self) -> Tallies:
        """What is counted of a cluster."""
        return tallies_of(self.population)

    @cached_property
    def rough(self) -> Rough | None:
        """All clusters in one grouping; None where that is right for none of them."""
        return None if self.population.against_itself else Rough(self.population, self.tallies, self.one_by_one)

    @cached_property
    def dispatches(self) -> Dispatches:
        """The dispatches of the clusters that aren't simple, which are looked at attempt by attempt."""
        if self.rough is None:
            return Dispatches(self.population, self.population.attempts.cte("attempts"))
        clusters = self.rough.clusters
        return Dispatches(self.population, self.rough.attempts_of(clusters, clusters.c.simple == 0).cte("attempts"))

    @cached_property
    def bare(self) -> sa.CTE:
        """One row per cluster that isn't simple: what is counted of it, before anything is left out."""
        d = self.dispatches.rows.c
        keys = [d[name] for name in self.population.unit]
        inside = self._inside(d)
        drawn = inside & (d.created_ms == d.first_ms)
        took_part = d.barred.is_(None) & inside & self._takes_part(d, d.created_ms)
        barred = func.min(case((inside, d.barred)))
        overridden = barred.is_not(None) & (func.count(case((drawn & d.barred.is_(None), 1))) > 0)
        columns: dict[str, sa.ColumnElement[Any]] = {
            "look": func.min(d.look),
            "first_ms": func.min(d.first_ms),
            "arm_low": func.min(case((inside, d.arm))),
            "arm_high": func.max(case((inside, d.arm))),
            "arm_any": func.min(d.arm),
            "arm_drawn": func.max(case((drawn, d.arm))),
            "barred": case((overridden, LeftOut.OVERRIDDEN.value), else_=barred),
            "share": func.max(case((drawn, d.assignment_share))),
            "version": func.max(case((drawn, d.flag_version))),
            "took_part_ms": func.min(case((took_part, d.created_ms))),
            "size": count_of(d.aside.is_(None)),
            **{reason.value: count_of(d.aside == reason.value) for reason in ASIDE},
            **self.tallies.of_dispatches(d),
        }
        return select(*keys, *named(columns)).group_by(*keys).cte("bare")

    @cached_property
    def closely(self) -> sa.CTE:
        """The same with its side, and why it is left out whole."""
        b = self.bare.c
        both = b.arm_low != b.arm_high
        columns: dict[str, sa.ColumnElement[Any]] = {
            "arm": case(
                (b.barred == LeftOut.OVERRIDDEN.value, b.arm_drawn),
                (both, Arm.BOTH.value),
                else_=func.coalesce(b.arm_low, b.arm_any),
            ),
            "left_out": self._left_out(b, b.tenant, (both, LeftOut.SWITCHED_VARIANT.value)),
        }
        kept = [each for each in b if not each.name.startswith(("arm_", "barred", "first_", "took_part"))]
        return select(*kept, *named(columns)).cte("closely")

    @cached_property
    def simple(self) -> sa.Select[Any]:
        """How many simple clusters there are of each kind, with the columns of `cells`."""
        assert self.rough is not None
        g, tallies = self.rough.clusters.c, self.tallies
        tenant = Bytewise(g.tenant)
        keys = {"left_out": self._left_out(g, tenant), "tenant": tenant}
        keys |= {name: g[name] for name in ("arm", "look", "share", "version", "size", "became", *tallies.packed_names)}
        query = select(*named(keys), *self._summed(g, tallies.totals)).where(g.simple > 0).group_by(*keys.values())
        k = query.subquery("kinds").c
        counts = {name: part(k.became, place) for place, name in enumerate(SUMMED)} | tallies.unpacked(k)
        times = {name: counts[name] * k.clusters for name in counts if name in tallies.sums}
        counts |= times | {reason.value: sa.literal(0, sa.Integer) for reason in ASIDE}
        return select(*(counts[name].label(name) if name in counts else k[name] for name in self.columns))

    @cached_property
    def simple_by_key(self) -> sa.Subquery | None:
        """The simple clusters with what their rows tell them by."""
        if self.rough is None:
            return None
        g = self.rough.clusters.c
        left_out = self._left_out(g, Bytewise(g.tenant)).label("left_out")
        return select(*(g[name] for name in ROUGH_KEYS), g.look, g.arm, left_out).where(g.simple > 0).subquery("simple")

    @property
    def columns(self) -> list[str]:
        """The columns of `cells`."""
        sums = [*(each.value for each in ASIDE), *self.tallies.sums, *self.tallies.square_names]
        return [*KEYS, *self.tallies.keys, "clusters", *sums]

    @cached_property
    def cells(self) -> Statement:
        """How many clusters there are of each kind: the statement that a verdict is computed from."""
        c = self.closely.c
        keys = [c[name] for name in [*KEYS, *self.tallies.keys]]
        sums = [*(each.value for each in ASIDE), *self.tallies.sums]
        closely = select(*keys, *self._summed(c, sums)).group_by(*keys)
        return closely if self.rough is None else sa.union_all(self.simple, closely)

    def _summed(self, c: Any, names: Sequence[str]) -> list[sa.ColumnElement[Any]]:
        sums = (func.sum(c[name]).label(name) for name in names)
        return [func.count().label("clusters"), *sums, *self.tallies.squares(c)]

    def with_values(self, values: sa.Select[Any]) -> sa.CompoundSelect[Any]:
        """`cells`, and beside them the rows of another statement on the same clusters, so that both read the log once.

        What one of the two doesn't have is NULL.
        """
        cells, v = self.cells.subquery("cells"), values.subquery("values_seen").c
        names = [*self.columns, *(each.name for each in v if each.name not in cells.c)]
        return sa.union_all(
            *(select(*(c[name] if name in c else sa.null().label(name) for name in names)) for c in (cells.c, v))
        )

    @property
    def of_changes(self) -> Counting | None:
        """The same of what adjustments changed at later looks; None where they can't have changed a mean."""
        population = self.population
        money = any(measure.is_money for measure in self.tallies.averaged.values())
        if not (population.adjusted and population.looks.done and money):
            return None
        return replace(self, population=replace(population, repricing=True))

    @cached_property
    def repriced(self) -> sa.Select[Any]:
        """What adjustments changed: the clusters as a later look sees them, until the look from which they differ."""
        c = self.closely.c
        following = func.lead(c.at_look).over(partition_by=[c.tenant, c.unit], order_by=c.at_look)
        names = ["arm", "look", "tenant", "share", *self.tallies.keys]
        sums = [*(f"{prefix}_unknown" for prefix in self.tallies.averaged), *self.tallies.totals]
        columns = [c[name] for name in [*names, *sums, "at_look"]]
        states = select(*columns, following.label("until_look")).where(c.left_out.is_(None)).cte("states_of_clusters")
        s = states.c
        keys = [s[name] for name in [*names, "at_look", "until_look"]]
        return select(*keys, *self._summed(s, sums)).group_by(*keys)

    @cached_property
    def counts_from_ms(self) -> sa.ColumnElement[Any] | None:
        """From when on clusters count, where other tenants had to be in the assignment; NULL where one isn't yet."""
        if self.population.start_ms is None or len(self.population.block.tenants) == 1:
            return None
        return self._all_tenants_in()

    def _inside(self, d: Any) -> sa.ColumnElement[bool]:
        """Whether a dispatch may say anything about its conversation.

        One after the window may be what somebody did about an outcome inside of it: were that to leave the conversation
        out, a failure would be gone as soon as somebody reacted to it.
        """
        outside = (LeftOut.LATE.value, LeftOut.AFTER_WINDOW.value)
        return func.coalesce(d.aside, "").not_in(outside)

    def _left_out(self, b: Any, tenant: sa.ColumnElement[str], *more: tuple[Any, Any]) -> sa.ColumnElement[str]:
        population = self.population
        rules: list[tuple[Any, Any]] = [(tenant.not_in(sorted(population.block.tenants)), LeftOut.OTHER_TENANT.value)]
        if population.start_ms is not None:
            rules.append((b.first_ms < population.start_ms, LeftOut.BEFORE_START.value))
        rules += [(b.barred.is_not(None), b.barred), *more]
        if self.counts_from_ms is not None:
            complete = b.first_ms >= self.counts_from_ms
            rules.append((sa.not_(func.coalesce(complete, sa.false())), LeftOut.BEFORE_ALL_TENANTS.value))
        return case(*rules)

    def _all_tenants_in(self) -> sa.ColumnElement[Any]:
        """When the last of the registered tenants was in the assignment: easy tenants first proves nothing.

        By the changes of the flag where they say so of a tenant, else by the first dispatch of it that took part.
        """
        population = self.population
        tenants = sorted(set(population.block.tenants) - set(population.tenants_in))
        known = sa.literal(max(population.tenants_in.values(), default=0), sa.BigInteger)
        if not tenants:
            return known
        b = self.bare.c
        took_part = select(b.tenant, b.took_part_ms).where(b.took_part_ms.is_not(None))
        every: Statement = took_part
        if self.rough is not None:
            g = self.rough.clusters.c
            tenant, first_ms = Bytewise(g.tenant).label("tenant"), g.first_ms.label("took_part_ms")
            simple = (g.simple > 0) & g.barred.is_(None) & self._takes_part(g, g.first_ms)
            every = sa.union_all(select(tenant, first_ms).where(simple), took_part)
        t = every.subquery("took_part").c
        first = select(t.tenant, func.min(t.took_part_ms).label("first_ms"))
        each = first.group_by(t.tenant).cte("tenants_first")
        latest: sa.ColumnElement[Any] = func.max(each.c.first_ms)
        latest = case((latest > known, latest), else_=known)
        complete = select(case((func.count() == len(tenants), latest))).where(each.c.tenant.in_(tenants))
        return complete.scalar_subquery()

    def _takes_part(self, d: Any, created_ms: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        population = self.population
        takes_part: sa.ColumnElement[bool] = sa.true()
        if population.start_ms is not None:
            takes_part &= created_ms >= population.start_ms
        if population.block.assignment.kind == "tenant_flag":
            takes_part &= d.arm == Arm.CANDIDATE.value
        return takes_part
