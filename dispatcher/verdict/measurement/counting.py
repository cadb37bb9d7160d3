"""Clusters, and those that can't be told apart: the second half of the statement, and what its rows mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.measured import Arm, Cell, Counted, Distribution, Draw, LeftOut, Valued
from dispatcher.verdict.measurement.integers import Quotient
from dispatcher.verdict.measurement.population import Population
from dispatcher.verdict.measures import counts_exceedances, exceedance, is_judgeable

LIMB = 1 << 20
"""The square of nano-dollars, summed, overflows 64 bits, so a value is squared as high · LIMB + low."""

_SHARE_DIGITS = 9
_ASIDE = (LeftOut.LATE, LeftOut.AFTER_WINDOW, LeftOut.RUNNING)


@dataclass(frozen=True)
class Counting:
    """The clusters of a population, counted for the criteria of its record."""

    population: Population

    @cached_property
    def counted(self) -> Mapping[str, Criterion]:
        """The criteria about a share of the dispatches, by the prefix of their columns."""
        criteria = enumerate(self.population.block.criteria, start=1)
        return {f"c{i}": each for i, each in criteria if is_judgeable(each) and counts_exceedances(each)}

    @cached_property
    def clusters(self) -> sa.CTE:
        """One row per cluster: its side, why it is left out whole, its size and its counts."""
        d = self.population.dispatches.c
        inside = self._inside
        arms = func.min(case((inside, d.arm))), func.max(case((inside, d.arm)))
        arm = case((arms[0] != arms[1], Arm.BOTH.value), else_=func.coalesce(arms[0], func.min(d.arm)))
        aside = [_count(d.aside == reason.value).label(reason.value) for reason in _ASIDE]
        sums = [_count(d.aside.is_(None) & (d[name] == 1)).label(name) for name in ("failed", "scaled", "astray")]
        return (
            select(
                d.tenant,
                d.unit,
                func.min(d.look).label("look"),
                arm.label("arm"),
                func.max(case((inside & (d.created_ms == d.first_ms), d.assignment_share))).label("share"),
                func.max(case((inside & (d.created_ms == d.first_ms), d.flag_version))).label("version"),
                self._left_out(arms).label("left_out"),
                _count(d.aside.is_(None)).label("size"),
                *(*aside, *sums, *self._criteria_columns()),
            )
            .group_by(d.tenant, d.unit)
            .cte("clusters")
        )

    @cached_property
    def cells(self) -> sa.Select[Any]:
        """How many clusters there are of each kind: the statement that a verdict is computed from."""
        c = self.clusters.c
        high = Quotient(c.cost_total, sa.literal(LIMB, sa.BigInteger))
        low = c.cost_total - high * LIMB
        keys = [c[name] for name in ("left_out", "arm", "look", "tenant", "share", "version", "size", "cost_known")]
        keys += [c[f"{prefix}_{side}"] for prefix in self.counted for side in ("over", "proven")]
        sums = [*(reason.value for reason in _ASIDE), "failed", "scaled", "astray", "cost_total"]
        sums += [f"{prefix}_unknown" for prefix in self.counted]
        squares = {"high_high": high * high, "high_low": high * low, "low_low": low * low}
        return select(
            *keys,
            func.count().label("clusters"),
            *(func.sum(c[name]).label(name) for name in sums),
            *(func.sum(square).label(name) for name, square in squares.items()),
        ).group_by(*keys)

    @cached_property
    def distribution(self) -> sa.Select[Any]:
        """How often each wall time was seen: exact for every rank at once, and the same statement on every engine."""
        d, c = self.population.dispatches, self.clusters
        times = (
            select(
                case((d.c.look.is_not(None), 1), else_=0).label("entered"),
                d.c.arm,
                case(((d.c.failed == 0) & (d.c.cancelled == 0), d.c.wall_ms)).label("success_ms"),
            )
            .select_from(d.join(c, (d.c.tenant == c.c.tenant) & (d.c.unit == c.c.unit)))
            .where(c.c.left_out.is_(None), d.c.aside.is_(None))
            .cte("times")
        )
        return select(*times.c, func.count().label("dispatches")).group_by(*times.c)

    @property
    def _inside(self) -> sa.ColumnElement[bool]:
        """Whether a dispatch may say anything about its conversation.

        One after the window may be what somebody did about an outcome inside of it: were that to leave the conversation
        out, a failure would be gone as soon as somebody reacted to it.
        """
        outside = (LeftOut.LATE.value, LeftOut.AFTER_WINDOW.value)
        return sa.func.coalesce(self.population.dispatches.c.aside, "").not_in(outside)

    def _left_out(self, arms: tuple[Any, Any]) -> sa.ColumnElement[str]:
        d, block = self.population.dispatches.c, self.population.block
        rules: list[tuple[Any, Any]] = [(d.tenant.not_in(sorted(block.tenants)), LeftOut.OTHER_TENANT.value)]
        if self.population.start_ms is not None:
            rules.append((func.min(d.first_ms) < self.population.start_ms, LeftOut.BEFORE_START.value))
        barred = func.min(case((self._inside, d.barred)))
        rules += [(barred.is_not(None), barred), (arms[0] != arms[1], LeftOut.SWITCHED_VARIANT.value)]
        if self.population.start_ms is not None and len(block.tenants) > 1:
            complete = func.min(d.first_ms) >= self._all_tenants_in()
            rules.append((sa.not_(func.coalesce(complete, sa.false())), LeftOut.BEFORE_ALL_TENANTS.value))
        return case(*rules)

    def _all_tenants_in(self) -> sa.ScalarSelect[Any]:
        """When the last of the registered tenants first took part: easy tenants first proves nothing."""
        population = self.population
        d, tenants = population.dispatches.c, sorted(population.block.tenants)
        takes_part = d.barred.is_(None) & self._inside & (d.created_ms >= population.start_ms) & d.tenant.in_(tenants)
        if population.block.assignment.kind == "tenant_flag":
            takes_part &= d.arm == Arm.CANDIDATE.value
        first = select(d.tenant, func.min(d.created_ms).label("first_ms")).where(takes_part).group_by(d.tenant)
        each = first.cte("tenants_first")
        return select(case((func.count() == len(tenants), func.max(each.c.first_ms)))).scalar_subquery()

    def _criteria_columns(self) -> Iterable[sa.ColumnElement[int]]:
        d = self.population.dispatches.c
        yield _count(d.aside.is_(None) & d.cost.is_not(None)).label("cost_known")
        # A sum is of a wider type on some engines, where `/` would then leave a fraction in the limbs.
        total = func.coalesce(func.sum(case((d.aside.is_(None), d.cost))), 0)
        yield sa.cast(total, sa.BigInteger).label("cost_total")
        for prefix, criterion in self.counted.items():
            sides = exceedance(criterion, d)
            for name, condition in (("over", sides.over), ("proven", sides.proven), ("unknown", sides.unknown)):
                yield _count(d.aside.is_(None) & condition).label(f"{prefix}_{name}")

    def read_cells(self, rows: Iterable[Mapping[str, Any]]) -> tuple[tuple[Cell, ...], dict[str, dict[str, int]]]:
        """What the rows of `cells` mean: the cells that count, and the dispatches left out by arm and reason."""
        cells: list[Cell] = []
        excluded: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in rows:
            counts = {key: int(value or 0) for key, value in row.items() if key not in _TEXTS}
            aside = {reason: counts[reason.value] for reason in _ASIDE}
            dispatches = counts["size"] * counts["clusters"]
            reasons = aside
            if row["left_out"] is not None:
                whole = dispatches + aside[LeftOut.AFTER_WINDOW] + aside[LeftOut.RUNNING]
                reasons = {row["left_out"]: whole, LeftOut.LATE: aside[LeftOut.LATE]}
            elif dispatches:
                cells.append(self._cell(row, counts))
            for reason, count in reasons.items():
                if count:
                    excluded[row["arm"]][str(reason)] += count
        return tuple(cells), {arm: dict(reasons) for arm, reasons in excluded.items()}

    def read_draws(self, rows: Iterable[Mapping[str, Any]]) -> frozenset[Draw]:
        """The draws that the rows of `cells` that count came from, as far as the flag's version is known."""
        if self.population.block.assignment.kind != "sticky_share":
            return frozenset()
        return frozenset(
            Draw(row["tenant"], row["version"], Arm(row["arm"]), row["share"])
            for row in rows
            if row["left_out"] is None and row["size"] and None not in (row["version"], row["share"])
        )

    def _cell(self, row: Mapping[str, Any], counts: Mapping[str, int]) -> Cell:
        arm = Arm(row["arm"])
        squared = counts["high_high"] * LIMB**2 + 2 * counts["high_low"] * LIMB + counts["low_low"]
        return Cell(
            look=row["look"],
            tenant=row["tenant"],
            share=self._candidate_share(arm, row["share"]),
            arm=arm,
            size=counts["size"],
            clusters=counts["clusters"],
            failed=counts["failed"],
            scaled=counts["scaled"],
            astray=counts["astray"],
            counted={
                criterion.id: Counted(*(counts[f"{prefix}_{name}"] for name in ("over", "proven", "unknown")))
                for prefix, criterion in self.counted.items()
            },
            cost=Valued(counts["cost_known"], counts["cost_total"], squared),
        )

    def _candidate_share(self, arm: Arm, share: float | None) -> float | None:
        """The candidate's share in the draw; a row holds that of the side it was drawn to."""
        if self.population.block.assignment.kind != "sticky_share" or share is None:
            return None
        return round(share if arm is Arm.CANDIDATE else 1 - share, _SHARE_DIGITS)


_TEXTS = {"left_out", "arm", "tenant", "share", "version", "look"}


def read_distribution(rows: Sequence[tuple[int, str, int | None, int]]) -> dict[tuple[bool, Arm], Distribution]:
    """What the rows of `distribution` mean."""
    times: dict[tuple[bool, Arm], dict[int | None, int]] = defaultdict(dict)
    for entered, arm, success_ms, count in rows:
        times[bool(entered), Arm(arm)][success_ms] = int(count)
    return {
        key: Distribution({ms: count for ms, count in seen.items() if ms is not None}, seen.get(None, 0))
        for key, seen in times.items()
    }


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
