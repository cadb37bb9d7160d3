"""Clusters counted in one grouping of the rows, and which of them that is right for: nearly all.

A simple cluster has dispatches of one attempt each, all of them begun in its window and ended in the database before
its look, on one side, drawn alike, all barred or none, and at costs that nobody adjusted. That a turn of a conversation
is one dispatch is what the unique key of the log says. All others are looked at attempt by attempt.

What can be said of a row alone is said of a simple cluster's rows as well: whether they count, and whether a look has
taken them in. So the values of all rows are counted without asking for the cluster of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.action.observation import Status
from dispatcher.audit.tables import logs
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measurement.dispatches import values_of
from dispatcher.verdict.measurement.integers import Bytewise, Code, EpochMs, Exact, Total, computed_once
from dispatcher.verdict.measurement.population import NUMBERS_OF_FIRST, TEXTS_OF_FIRST, Population, named, unit_of
from dispatcher.verdict.measurement.sides import Sides
from dispatcher.verdict.measurement.tallies import MOST_AT_ONCE, SUMMED, Tallies, pack, part

KEYS = ("tenant", "conversation", "lone")
_ARMS = (Arm.CANDIDATE, Arm.CONTROL, Arm.OTHER)
_ALIKE = ("dispatch_id", "share", "version")
_KNOWN_OR_NOT = ("share", "version")
"""What may be unknown of all rows of a simple cluster."""
_KEPT = ("look", "first_ms", "last_ms", "barred", "size", "became")
_RAW = ("tenant", "conversation_id", "dispatch_id", "attempt", "turn", "created_at", "recorded_at", "landed_at")


@dataclass(frozen=True)
class Rough:
    """The clusters of a population, each counted as if it were a simple one.

    `one_by_one` has the columns of each row computed once, and the attempts of a cluster looked up for each of some, as
    PostgreSQL has to be told.
    """

    population: Population
    tallies: Tallies
    one_by_one: bool

    @cached_property
    def rows(self) -> sa.CTE:
        """The attempts as if each were a dispatch that began its cluster's window and had ended before its look."""
        p = self._seen.c
        landed_last = p.landed_at >= p.recorded_at
        values = values_of(self.population, p, ended=sa.true(), single=True)
        columns: dict[str, sa.ColumnElement[Any]] = {
            "tenant": p.tenant,
            "conversation": Exact(p.conversation_id),
            "lone": case((p.conversation_id.is_(None), p.dispatch_id)),
            "unit": Bytewise(unit_of(p)),
            "dispatch_id": Code(p.dispatch_id),
            "created_at": p.created_at,
            "settled_at": case((landed_last, p.landed_at), else_=p.recorded_at),
            "version": Bytewise(p.flag_version),
            "share": p.assignment_share,
            "aside": sa.cast(sa.null(), sa.String),
            **values,
            "barred": self._usually(p, None, values["barred"]),
            "counted_as": self._counted_as(p, values),
            "became": self._became(p, values),
            **({"usual": p.usual} if self.one_by_one else {}),
        }
        rows = select(*named(columns)).cte("row_by_row")
        return rows.prefix_with("NOT MATERIALIZED", dialect="postgresql") if self.one_by_one else rows

    @cached_property
    def one_at_a_time(self) -> Any:
        """The columns of rows of which each is used once or twice; cheaper where they then needn't be put together."""
        if not self.one_by_one:
            return self.rows.c
        p = self._read.subquery("seen").c
        values = values_of(self.population, p, ended=sa.true(), single=True)
        values["barred"] = case((sa.and_(*self._sides.usual(p)), None), else_=values["barred"])
        return select(p.tenant, p.created_at, *named(values)).subquery("one_at_a_time").c

    @cached_property
    def _read(self) -> sa.Select[Any]:
        """What is read of the attempts that are seen."""
        c = logs.c
        names = (*_RAW, *TEXTS_OF_FIRST, *NUMBERS_OF_FIRST, *(["log_id"] if self.population.adjusted else []))
        read = {name: c[name] for name in names} | self.population.values_read(c)
        return select(*named(read)).where(*self.population.seen(c))

    @cached_property
    def _seen(self) -> sa.Subquery:
        """The attempts that are seen, and whether they are as nearly all are."""
        if not self.one_by_one:
            return self._read.subquery("seen")
        query = self._read.add_columns(case((sa.and_(*self._usual(logs.c)), 1), else_=0).label("usual"))
        # Of a union PostgreSQL computes the columns once for each row, however often they are used, and unlike behind
        # OFFSET 0 it has several processes do so.
        return sa.union_all(query, query.where(sa.false())).subquery("seen")

    @cached_property
    def grouped(self) -> sa.Subquery:
        """The rows by their clusters."""
        d = self.rows.c
        usual = d.usual == 1 if self.one_by_one else None
        columns: dict[str, sa.ColumnElement[Any]] = {
            "size": func.count(),
            "first_ms": EpochMs(func.min(d.created_at)),
            "last_ms": EpochMs(func.max(d.created_at)),
            "settled_ms": EpochMs(func.max(d.settled_at)),
            **{f"{end}_{name}": of(d[name]) for name in _ALIKE for end, of in (("low", func.min), ("high", func.max))},
            **{f"known_{name}": func.count(d[name]) for name in _KNOWN_OR_NOT},
            "barred": func.min(Bytewise(d.barred)),
            "sides": Total(d.counted_as),
            "became": Total(d.became),
            **self.tallies.packed(d, usual=usual),
        }
        keys = [d[name] for name in KEYS]
        return computed_once(select(*keys, *named(columns)).group_by(*keys)).subquery("grouped")

    @cached_property
    def clusters(self) -> sa.CTE:
        """One row per cluster, its counts still packed; `simple` is 1 where they are right."""
        population = self.population
        looked = computed_once(select(*self.grouped.c, *named(population.entered(self.grouped.c.first_ms))))
        g = looked.subquery("looked").c
        simple = case((sa.and_(*self._is_simple(g)), 1), else_=0)
        arm = case(*((part(g.sides, place) == g.size, arm.value) for place, arm in enumerate(_ARMS)))
        columns: dict[str, sa.ColumnElement[Any]] = {
            "simple": simple,
            "arm": arm,
            "share": g.low_share,
            "version": g.low_version,
            **{name: g[name] for name in (*_KEPT, *self.tallies.packs)},
        }
        return select(*(g[name] for name in KEYS), *named(columns)).cte("rough")

    def attempts_of(self, clusters: sa.CTE, which: sa.ColumnElement[bool]) -> sa.CompoundSelect[Any]:
        """The attempts of some clusters: those of conversations are found by the key of the log."""
        attempts, c, of = self.population.attempts, logs.c, clusters.c
        in_conversation = (c.tenant == of.tenant) & (Exact(c.conversation_id) == of.conversation)
        if self.one_by_one:
            found = computed_once(attempts.where(in_conversation).correlate(clusters)).lateral("found")
            in_conversations = select(*found.c).select_from(clusters.join(found, sa.true())).where(which)
        else:
            in_conversations = attempts.join_from(logs, clusters, in_conversation).where(which)
        # The name of a dispatch has no index, so all rows without a conversation are read, if any are wanted.
        alone = (Bytewise(c.tenant) == Bytewise(of.tenant)) & (Bytewise(c.dispatch_id) == Bytewise(of.lone))
        some = select(of.lone).where(which, of.lone.is_not(None)).exists()
        alone &= c.conversation_id.is_(None)
        return sa.union_all(in_conversations, attempts.join_from(logs, clusters, alone).where(which, some))

    def _usual(self, c: Any) -> list[sa.ColumnElement[bool]]:
        """The conditions that nearly all rows meet: whether a row is barred, or failed, is looked for in the others."""
        return [
            c.status == Status.SUCCESS.value,
            *self._sides.usual(c),
            c.time_scale == 1,
            c.turn.is_not(None),
            *self._even(c),
        ]

    def _even(self, p: Any) -> list[sa.ColumnElement[bool]]:
        """The conditions that all rows of a simple cluster meet."""
        even = [p.attempt == 1, p.landed_at.is_not(None)]
        return [*even, sa.not_(self.population.changed(p.log_id))] if self.population.adjusted else even

    def _counted_as(self, p: Any, values: Mapping[str, Any]) -> sa.ColumnElement[int]:
        """One for the side of a row, and one where it is barred; none where it tells that its cluster isn't simple."""
        side = self._sides.by_arm(p, {arm: pack([*[0] * place, 1]) for place, arm in enumerate(_ARMS)})
        barred = pack([*[0] * len(_ARMS), 1])
        told = case((values["barred"].is_not(None), side + barred), else_=side)
        return self._usually(p, side, case((sa.and_(*self._even(p)), told), else_=0))

    def _became(self, p: Any, values: Mapping[str, Any]) -> sa.ColumnElement[int]:
        turnless = case((p.turn.is_(None), 1), else_=0)
        return self._usually(p, sa.literal(0, sa.BigInteger), pack([*(values[name] for name in SUMMED), turnless]))

    def _usually(self, p: Any, value: Any, otherwise: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return case((p.usual == 1, value), else_=otherwise) if self.one_by_one else otherwise

    @property
    def _sides(self) -> Sides:
        return Sides(self.population.block, self.population.candidate_hash)

    def _is_simple(self, g: Any) -> list[sa.ColumnElement[bool]]:
        population, size = self.population, g.size
        barred, turnless = part(g.sides, len(_ARMS)), part(g.became, len(SUMMED))
        conditions = [
            size <= MOST_AT_ONCE,
            sa.or_(*(part(g.sides, place) == size for place in range(len(_ARMS)))),
            (barred == 0) | (barred == size),
            (size == 1) | ((turnless == 0) & (g.low_dispatch_id != g.high_dispatch_id)),
            *self.tallies.added_up(g),
            g.settled_ms <= g.until_ms,
            g.last_ms <= g.first_ms + population.window_ms,
            *(
                (g[f"known_{name}"] == 0) | ((g[f"known_{name}"] == size) & (g[f"low_{name}"] == g[f"high_{name}"]))
                for name in _KNOWN_OR_NOT
            ),
        ]
        borders = (population.start_ms, population.waiting_since_ms)
        return conditions + [sa.not_(astride(g, border)) for border in borders if border is not None]


def astride(g: Any, border_ms: Any) -> sa.ColumnElement[bool]:
    """Whether a cluster began before a moment and had another dispatch from then on."""
    begun: sa.ColumnElement[bool] = g.first_ms < border_ms
    went_on: sa.ColumnElement[bool] = g.last_ms >= border_ms
    return begun & went_on
