"""The buckets of the dispatches of each cluster by rank, where a percentile is held against another one."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.adr.criterion import Criterion, Measure
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, STEPS, GridRow, Side
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measurement.counting import Counting
from dispatcher.verdict.measurement.integers import Bytewise, Quotient
from dispatcher.verdict.measurement.rough import KEYS
from dispatcher.verdict.measurement.values import is_about, value_of

MOST_TENANTS_APART = 20
"""Tenants up to which a grid tells them apart; beyond it, its rows would be too many."""
_SIDES = tuple(Side)


@dataclass(frozen=True)
class Ranks:
    """The order statistics of the clusters that a counting counts."""

    counting: Counting

    def compared_with(self, pinned: Container[str]) -> list[Criterion]:
        """The criteria about a percentile against another one: a control's, or one whose pinned sample is known."""
        criteria = [each for each in self.counting.population.block.criteria if claim_of(each) is Claim.PERCENTILE]
        return [each for each in criteria if each.id in pinned or each.bound.times_control is not None]

    def grid(self, criterion: Criterion) -> sa.Select[Any]:
        """How many clusters have which bucket at which rank, on both sides of the claim."""
        held = self._counted(partial(self._held, criterion=criterion)).cte("held")
        h, side = held.c, _one_of(len(_SIDES))
        bucket = _against(h, side.c.number, waits=criterion.measure is Measure.RESPONSE_TIME_MS)
        of_cluster = [h.cluster_tenant, h.cluster_unit, side.c.number]
        ranked = (
            select(
                *(h.look, h.tenant, h.arm, side.c.number.label("side"), bucket.label("bucket")),
                func.count().over(partition_by=of_cluster).label("size"),
                func.row_number().over(partition_by=of_cluster, order_by=bucket.desc()).label("rank"),
            )
            .select_from(held.join(side, side.c.number >= h.least))
            .cte("ranked")
        )
        keys = [ranked.c[name] for name in ("look", "tenant", "arm", "side", "size", "rank", "bucket")]
        return select(*keys, func.count().label("clusters")).group_by(*keys)

    def read_grid(self, rows: Iterable[Mapping[str, Any]]) -> tuple[GridRow, ...]:
        """What the rows of `grid` mean, in one order."""
        read = (
            GridRow(
                row["look"],
                row["tenant"],
                Arm(row["arm"]),
                _SIDES[row["side"]],
                int(row["size"]),
                int(row["rank"]),
                int(row["bucket"]),
                int(row["clusters"]),
            )
            for row in rows
        )
        return tuple(
            sorted(read, key=lambda r: (r.look, r.tenant, r.arm.value, r.side.value, r.size, r.rank, r.bucket))
        )

    def _held(self, d: Any, c: Any, criterion: Criterion) -> sa.Select[Any]:
        apart = len(self.counting.population.block.tenants) <= MOST_TENANTS_APART
        value = value_of(criterion.measure, d)
        in_control = case(
            (c.arm == Arm.CANDIDATE.value, scaled_down(value, Fraction(criterion.bound.number))), else_=value
        )
        columns = {
            "look": c.look,
            "tenant": Bytewise(c.tenant) if apart else sa.literal(""),
            "arm": c.arm,
            "cluster_tenant": Bytewise(d.tenant),
            "cluster_unit": d.unit,
            "failed": d.failed,
            "cancelled": d.cancelled,
            "bucket": rounded_up(in_control),
        }
        return _selected(columns).where(c.look.is_not(None), _about(criterion.measure, d))

    def _counted(self, columns: Callable[[Any, Any], sa.Select[Any]]) -> Any:
        """Columns of the dispatches that count, each with its cluster."""
        counting = self.counting
        dispatches, clusters = counting.dispatches.rows, counting.closely
        at = (dispatches.c.tenant == clusters.c.tenant) & (dispatches.c.unit == clusters.c.unit)
        counted = [clusters.c.left_out.is_(None), dispatches.c.aside.is_(None)]
        closely = columns(dispatches.c, clusters.c).select_from(dispatches.join(clusters, at)).where(*counted)
        if counting.rough is None or counting.simple_by_key is None:
            return closely
        rows, simple = counting.rough.rows, counting.simple_by_key
        by_key = sa.and_(*(func.coalesce(rows.c[name], "") == func.coalesce(simple.c[name], "") for name in KEYS))
        found = columns(rows.c, simple.c).select_from(rows.join(simple, by_key)).where(simple.c.left_out.is_(None))
        return sa.union_all(found, closely)


def _selected(columns: Mapping[str, Any]) -> sa.Select[Any]:
    """The columns by their names; `least` is the least number that their rows are joined with."""
    return select(*(column.label(name) for name, column in columns.items()), sa.literal(0, sa.Integer).label("least"))


def _about(measure: Measure, dispatch: Any) -> sa.ColumnElement[bool]:
    about = is_about(measure, dispatch)
    return sa.true() if about is None else about


def _one_of(count: int) -> sa.CTE:
    """A table of the numbers below a count."""
    rows = [select(sa.literal(number, sa.Integer).label("number")) for number in range(count)]
    return sa.union_all(*rows).cte("numbers")


def _against(held: Any, side: sa.ColumnElement[int], *, waits: bool) -> sa.ColumnElement[int]:
    """The bucket of a dispatch on one side of the claim.

    What isn't known is against the claim, and so is a failure of the control, which would otherwise make the limit lax.
    Who cancels a wait has waited at least so long.
    """
    never, always = (sa.literal(end, sa.BigInteger) for end in (NEVER, ALWAYS))
    for_pass, for_candidate = side == _SIDES.index(Side.PASS), held.arm == Arm.CANDIDATE.value
    opposed = (for_pass & for_candidate) | (sa.not_(for_pass) & sa.not_(for_candidate))
    waited = func.coalesce(held.bucket, never) if waits else never
    return case(
        ((held.failed == 1) & for_pass & sa.not_(for_candidate), never),
        (held.failed == 1, always),
        ((held.cancelled == 1) & opposed, always),
        (held.cancelled == 1, waited),
        (held.bucket.is_(None) & opposed, always),
        (held.bucket.is_(None), never),
        else_=held.bucket,
    )


def scaled_down(value: sa.ColumnElement[int], ratio: Fraction) -> sa.ColumnElement[int]:
    """The smallest whole number that is at least the value over the ratio."""
    numerator, denominator = (sa.literal(part, sa.BigInteger) for part in (ratio.numerator, ratio.denominator))
    return Quotient(value * denominator + (ratio.numerator - 1), numerator)


def rounded_up(value: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """The bucket of a value, as `grid.bucket_of` has it: rounded up."""
    rules: list[tuple[Any, Any]] = [(value <= STEPS, value)]
    step = 10
    while step * STEPS < ALWAYS:
        literal = sa.literal(step, sa.BigInteger)
        rules.append((value <= step * STEPS, Quotient(value + (step - 1), literal) * literal))
        step *= 10
    return case((value.is_(None), None), *rules, else_=sa.literal(ALWAYS, sa.BigInteger))
