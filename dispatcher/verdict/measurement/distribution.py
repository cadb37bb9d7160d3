"""How often each value was seen: exact for every rank at once.

Whether a row counts, on which side and whether a look has taken it in, is read from the row alone, which is right for
all clusters but a few. Those are taken off again and counted as they are, so that no row has to look for its cluster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.adr.criterion import Measure
from dispatcher.verdict.measured import Arm, Distribution
from dispatcher.verdict.measurement.counting import Counting
from dispatcher.verdict.measurement.dispatches import values_of
from dispatcher.verdict.measurement.integers import Moment, moment_of
from dispatcher.verdict.measurement.population import named
from dispatcher.verdict.measurement.rough import Rough, astride
from dispatcher.verdict.measurement.values import is_about, value_of

VALUE = ("measure", "entered", "arm", "value", "dispatches")


@dataclass(frozen=True)
class Values:
    """The values of the measures that a criterion is about a percentile of."""

    counting: Counting

    @property
    def measures(self) -> list[Measure]:
        """The measures, in the order of their numbers in `seen`."""
        criteria = self.counting.population.block.criteria
        return sorted({each.measure for each in criteria if each.quantile is not None})

    @cached_property
    def seen(self) -> sa.Select[Any]:
        """How many dispatches had each value; the same statement on every engine."""
        every = sa.union_all(*(part for number in range(len(self.measures)) for part in self._parts(number)))
        e = every.subquery("every").c
        keys, dispatches = [e.measure, e.entered, e.arm, e.value], func.sum(e.dispatches)
        return select(*keys, dispatches.label("dispatches")).group_by(*keys).having(dispatches != 0)

    def read(
        self, rows: Iterable[tuple[int, int, str, int | None, int]]
    ) -> dict[tuple[Measure, bool, Arm], Distribution]:
        """What the rows of `seen` mean."""
        measures = self.measures
        values: dict[tuple[Measure, bool, Arm], dict[int | None, int]] = defaultdict(dict)
        for number, entered, arm, value, count in rows:
            values[measures[number], bool(entered), Arm(arm)][value] = int(count)
        return {
            key: Distribution(
                {value: seen[value] for value in sorted(v for v in seen if v is not None)}, seen.get(None, 0)
            )
            for key, seen in sorted(values.items(), key=lambda item: (item[0][0], item[0][1], item[0][2]))
        }

    def _parts(self, number: int) -> list[sa.Select[Any]]:
        closely = self._of_dispatches(number)
        rough, counts_from_ms = self.counting.rough, self.counting.counts_from_ms
        if rough is None:
            return [closely]
        parts = [self._of_rows(number, rough), self._taken_off(number, self.counting.dispatches.attempts), closely]
        if counts_from_ms is not None:
            parts.append(self._taken_off(number, self._astride))
        return parts

    @cached_property
    def _astride(self) -> sa.CTE:
        """The rows of simple clusters that don't count since they began too early, though not all of their rows did."""
        rough = self.counting.rough
        assert rough is not None
        c = rough.clusters.c
        which = (c.simple > 0) & astride(c, self.counting.counts_from_ms)
        return rough.attempts_of(rough.clusters, which).cte("begun_too_early")

    def _of_rows(self, number: int, rough: Rough) -> sa.Select[Any]:
        """All rows, as if each were a dispatch of a simple cluster."""
        d, begins = rough.one_at_a_time, self.counting.counts_from_ms
        in_place = None if begins is None else select(Moment(begins)).scalar_subquery()
        conditions, entered = self._of_row_alone(d, d.created_at, in_place, moment_of)
        return self._counted(number, d, entered, d.arm, conditions)

    def _taken_off(self, number: int, attempts: sa.CTE) -> sa.Select[Any]:
        """What `_of_rows` says of clusters that it isn't right for."""
        a = attempts.c
        values = values_of(self.counting.population, a, ended=sa.true(), single=True)
        d = select(a.tenant, a.created_ms, *named(values)).subquery("rows_of_some").c
        conditions, entered = self._of_row_alone(d, d.created_ms, self.counting.counts_from_ms, int)
        return self._counted(number, d, entered, d.arm, conditions, sign=-1)

    def _of_row_alone(
        self, d: Any, created: sa.ColumnElement[Any], begins: Any, moment: Callable[[int], Any]
    ) -> tuple[list[sa.ColumnElement[bool]], sa.ColumnElement[int] | None]:
        """Whether a row counts, and whether a look has taken it in, by the row alone; None where none can have."""
        population = self.counting.population
        conditions = [d.barred.is_(None), d.tenant.in_(sorted(population.block.tenants))]
        if population.start_ms is not None:
            conditions.append(created >= moment(population.start_ms))
        if begins is not None:
            conditions.append(created >= begins)
        waiting = population.waiting_since_ms
        entered = None if waiting is None else case((created < moment(waiting), 1), else_=0)
        return conditions, entered

    def _of_dispatches(self, number: int) -> sa.Select[Any]:
        """The dispatches that were looked at closely, each with its cluster."""
        dispatches, clusters = self.counting.dispatches.rows, self.counting.closely
        d, c = dispatches.c, clusters.c
        joined = dispatches.join(clusters, (d.tenant == c.tenant) & (d.unit == c.unit))
        entered = case((c.look.is_not(None), 1), else_=0)
        conditions: list[sa.ColumnElement[bool]] = [c.left_out.is_(None), d.aside.is_(None)]
        return self._counted(number, d, entered, c.arm, conditions).select_from(joined)

    def _counted(
        self, number: int, d: Any, entered: Any, arm: Any, conditions: list[sa.ColumnElement[bool]], *, sign: int = 1
    ) -> sa.Select[Any]:
        """The dispatches that meet the conditions by value, those without a success having none."""
        measure = self.measures[number]
        about = is_about(measure, d)
        value = case(((d.failed == 0) & (d.cancelled == 0), value_of(measure, d)))
        keys = [arm.label("arm"), value.label("value")]
        # A constant can't be grouped by everywhere.
        taken_in = sa.literal(0, sa.Integer).label("entered") if entered is None else entered.label("entered")
        dispatches = (func.count() * sign).label("dispatches")
        query = select(sa.literal(number, sa.Integer).label("measure"), taken_in, *keys, dispatches)
        keys += [] if entered is None else [taken_in]
        return query.where(*conditions, *([] if about is None else [about])).group_by(*keys)
