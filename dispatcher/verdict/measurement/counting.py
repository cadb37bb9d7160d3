"""Clusters, and those that can't be told apart: the second half of the statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.adr.criterion import Criterion, Measure
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.measured import Arm, LeftOut
from dispatcher.verdict.measurement.integers import Quotient, epoch_ms
from dispatcher.verdict.measurement.population import Population
from dispatcher.verdict.measurement.values import averaged, exceedance, is_about
from dispatcher.verdict.measures import counts_cells

LIMB = 1 << 20
"""The square of nano-dollars, summed, overflows 64 bits, so a value is squared as high · LIMB + low."""
ASIDE = (LeftOut.LATE, LeftOut.AFTER_WINDOW, LeftOut.RUNNING)
KEYS = ("left_out", "arm", "look", "tenant", "share", "version", "size")
SUMMED = ("failed", "scaled", "astray")


@dataclass(frozen=True)
class Counting:
    """The clusters of a population, counted for the criteria of its record."""

    population: Population

    @cached_property
    def counted(self) -> Mapping[str, Criterion]:
        """The criteria about a share of the dispatches, by the prefix of their columns."""
        if self.population.repricing:
            return {}
        criteria = enumerate(self.population.block.criteria, start=1)
        return {f"c{number}": each for number, each in criteria if counts_cells(each)}

    @cached_property
    def averaged(self) -> Mapping[str, Measure]:
        """The measures that a criterion is about the mean of, by the prefix of their columns."""
        means = {each.measure for each in self.population.block.criteria if claim_of(each) is Claim.MEAN}
        if self.population.repricing:
            means = {measure for measure in means if measure.is_money}
        return {f"m{list(Measure).index(measure)}": measure for measure in sorted(means)}

    @cached_property
    def rough(self) -> sa.CTE | None:
        """One row per cluster, counted as if it were a simple one, and whether it is; None where none may be.

        A simple cluster has dispatches of one attempt each, all of them begun in its window and ended in the database
        before its look, drawn alike and at costs that nobody adjusted. Nearly all are, and one grouping counts them.
        That a turn of a conversation is one dispatch is what the unique key of the log says.
        """
        if self.population.against_itself:
            return None
        d = self.population.singles.c
        first, n = func.min(d.created_ms), func.count()
        columns = [column for column in self._bare(d, first) if column.name != "look"]
        look, until = self._seen_at(first)
        conditions = [
            func.max(d.attempt) == 1,
            (n == 1) | ((func.count(d.turn) == n) & (func.min(d.dispatch_id) != func.max(d.dispatch_id))),
            func.max(d.recorded_ms) <= until,
            func.count(d.landed_ms) == n,
            func.max(d.landed_ms) <= until,
            func.max(d.created_ms) <= first + self.population.window_ms,
            _alike(d.assignment_share, n),
            _alike(d.flag_version, n),
            func.max(d.changed) == 0,
        ]
        simple = case((sa.and_(*conditions), 1), else_=0)
        return (
            select(d.tenant, d.unit, look.label("look"), *columns, simple.label("simple"))
            .group_by(d.tenant, d.unit)
            .cte("rough")
        )

    @cached_property
    def closely(self) -> Population:
        """The clusters that aren't simple, which are looked at attempt by attempt."""
        return replace(self.population, within=self.rough)

    @cached_property
    def bare(self) -> sa.CTE:
        """One row per cluster: what is counted of it, before anything is left out."""
        d = self.closely.dispatches.c
        keys = [d[name] for name in self.population.unit]
        not_simple = sa.literal(0, sa.Integer).label("simple")
        closely = select(*keys, *self._bare(d, func.min(d.first_ms)), not_simple).group_by(*keys)
        if self.rough is None or self.population.repricing:
            return closely.cte("bare")
        names = [column.name for column in closely.selected_columns]
        simple = select(*(self.rough.c[name] for name in names)).where(self.rough.c.simple == 1)
        return sa.union_all(simple, closely).cte("bare")

    @cached_property
    def clusters(self) -> sa.CTE:
        """The same with its side, and why it is left out whole."""
        b = self.bare.c
        arm = case((b.arm_low != b.arm_high, Arm.BOTH.value), else_=func.coalesce(b.arm_low, b.arm_any))
        kept = [column for column in b if not column.name.startswith(("arm_", "barred", "first_", "took_part"))]
        return select(*kept, arm.label("arm"), self._left_out().label("left_out")).cte("clusters")

    def _bare(self, d: Any, first: sa.ColumnElement[int]) -> list[sa.ColumnElement[Any]]:
        inside = self._inside(d)
        drawn = inside & (d.created_ms == d.first_ms) if "first_ms" in d else inside
        columns: dict[str, sa.ColumnElement[Any]] = {
            "look": func.min(d.look) if "look" in d else sa.null(),
            "first_ms": first,
            "arm_low": func.min(case((inside, d.arm))),
            "arm_high": func.max(case((inside, d.arm))),
            "arm_any": func.min(d.arm),
            "barred": func.min(case((inside, d.barred))),
            "share": func.max(case((drawn, d.assignment_share))),
            "version": func.max(case((drawn, d.flag_version))),
            "took_part_ms": func.min(case((self._takes_part(d), d.created_ms))),
            "size": _count(d.aside.is_(None)),
            **{reason.value: _count(d.aside == reason.value) for reason in ASIDE},
            **{name: _count(d.aside.is_(None) & (d[name] == 1)) for name in SUMMED},
        }
        named = [column.label(name) for name, column in columns.items()]
        return [*named, *self._shares(d), *self._means(d)]

    def _seen_at(self, first: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
        """The look that takes a cluster in, NULL where none does yet, and until when it is seen."""
        population = self.population
        as_of = sa.literal(epoch_ms(population.looks.as_of), sa.BigInteger)
        if population.start_ms is None:
            return sa.cast(sa.null(), sa.BigInteger), as_of
        look = population.look_of(first)
        entered = look <= population.looks.done
        return case((entered, look)), case((entered, population.look_ms(look)), else_=as_of)

    @cached_property
    def cells(self) -> sa.Select[Any]:
        """How many clusters there are of each kind: the statement that a verdict is computed from."""
        c = self.clusters.c
        keys = [c[name] for name in [*KEYS, *self.keys]]
        sums = [c[name] for name in self.sums if name in c]
        return select(
            *keys,
            func.count().label("clusters"),
            *(func.sum(column).label(column.name) for column in sums),
            *self._squares(c),
        ).group_by(*keys)

    @cached_property
    def repriced(self) -> sa.Select[Any]:
        """What adjustments changed: the clusters as a later look sees them, until the look from which they differ."""
        c = self.clusters.c
        following = func.lead(c.at_look).over(partition_by=[c.tenant, c.unit], order_by=c.at_look)
        names = ["arm", "look", "tenant", "share", *self.keys]
        unknown = [f"{prefix}_unknown" for prefix in self.averaged]
        totals = [f"{prefix}_total" for prefix in self.averaged]
        columns = [c[name] for name in [*names, *unknown, *totals, "at_look"]]
        states = select(*columns, following.label("until_look")).where(c.left_out.is_(None)).cte("states_of_clusters")
        s = states.c
        keys = [s[name] for name in [*names, "at_look", "until_look"]]
        return select(
            *keys,
            func.count().label("clusters"),
            *(func.sum(s[name]).label(name) for name in [*unknown, *totals]),
            *self._squares(s),
        ).group_by(*keys)

    @cached_property
    def keys(self) -> list[str]:
        """The columns of `cells` that tell its rows apart, beside KEYS: the counts of a cluster."""
        names = [f"{prefix}_{side}" for prefix in self.counted for side in ("over", "proven")]
        names += [f"{prefix}_n" for prefix, each in self.counted.items() if each.measure.later_turns_only]
        return names + [f"{prefix}_{name}" for prefix in self.averaged for name in ("known", "n")]

    @cached_property
    def sums(self) -> list[str]:
        """The columns of `cells` that are sums over its clusters, squares apart."""
        return [
            *(reason.value for reason in ASIDE),
            *SUMMED,
            *(f"{prefix}_unknown" for prefix in [*self.counted, *self.averaged]),
            *(f"{prefix}_total" for prefix in self.averaged),
        ]

    def _inside(self, d: Any) -> sa.ColumnElement[bool]:
        """Whether a dispatch may say anything about its conversation.

        One after the window may be what somebody did about an outcome inside of it: were that to leave the conversation
        out, a failure would be gone as soon as somebody reacted to it.
        """
        outside = (LeftOut.LATE.value, LeftOut.AFTER_WINDOW.value)
        return sa.func.coalesce(d.aside, "").not_in(outside)

    def _left_out(self) -> sa.ColumnElement[str]:
        b, block = self.bare.c, self.population.block
        rules: list[tuple[Any, Any]] = [(b.tenant.not_in(sorted(block.tenants)), LeftOut.OTHER_TENANT.value)]
        if self.population.start_ms is not None:
            rules.append((b.first_ms < self.population.start_ms, LeftOut.BEFORE_START.value))
        rules += [(b.barred.is_not(None), b.barred), (b.arm_low != b.arm_high, LeftOut.SWITCHED_VARIANT.value)]
        if self.population.start_ms is not None and len(block.tenants) > 1:
            complete = b.first_ms >= self._all_tenants_in()
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
        first = select(b.tenant, func.min(b.took_part_ms).label("first_ms"))
        each = first.where(b.took_part_ms.is_not(None), b.tenant.in_(tenants)).group_by(b.tenant).cte("tenants_first")
        latest: sa.ColumnElement[Any] = func.max(each.c.first_ms)
        latest = case((latest > known, latest), else_=known)
        return select(case((func.count() == len(tenants), latest))).scalar_subquery()

    def _takes_part(self, d: Any) -> sa.ColumnElement[bool]:
        takes_part: sa.ColumnElement[bool] = d.barred.is_(None) & self._inside(d)
        if self.population.start_ms is not None:
            takes_part &= d.created_ms >= self.population.start_ms
        if self.population.block.assignment.kind == "tenant_flag":
            takes_part &= d.arm == Arm.CANDIDATE.value
        return takes_part

    def _shares(self, d: Any) -> Iterable[sa.ColumnElement[int]]:
        for prefix, criterion in self.counted.items():
            about = is_about(criterion.measure, d)
            counting = d.aside.is_(None) if about is None else d.aside.is_(None) & about
            sides = exceedance(criterion, d)
            for name, condition in (("over", sides.over), ("proven", sides.proven), ("unknown", sides.unknown)):
                yield _count(counting & condition).label(f"{prefix}_{name}")
            if about is not None:
                yield _count(counting).label(f"{prefix}_n")

    def _means(self, d: Any) -> Iterable[sa.ColumnElement[int]]:
        for prefix, measure in self.averaged.items():
            about = is_about(measure, d)
            counting = d.aside.is_(None) if about is None else d.aside.is_(None) & about
            mean = averaged(measure, d)
            yield case((_count(counting & mean.known) > 0, 1), else_=0).label(f"{prefix}_known")
            yield _count(counting & mean.divides).label(f"{prefix}_n")
            yield _count(counting & mean.unknown).label(f"{prefix}_unknown")
            # A sum is of a wider type on some engines, where `/` would then leave a fraction in the limbs.
            total = func.coalesce(func.sum(case((counting, mean.value))), 0)
            yield sa.cast(total, sa.BigInteger).label(f"{prefix}_total")

    def _squares(self, c: Any) -> Iterable[sa.ColumnElement[int]]:
        for prefix in self.averaged:
            total = c[f"{prefix}_total"]
            high = Quotient(total, sa.literal(LIMB, sa.BigInteger))
            low = total - high * LIMB
            for name, square in {"hh": high * high, "hl": high * low, "ll": low * low}.items():
                yield func.sum(square).label(f"{prefix}_{name}")


def _alike(column: sa.ColumnElement[Any], n: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether all rows of a group have the same value, or none has any."""
    known = func.count(column)
    alike: sa.ColumnElement[bool] = (known == 0) | ((known == n) & (func.min(column) == func.max(column)))
    return alike


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
