"""Clusters counted in one grouping of the rows, and which of them that is right for: nearly all.

A simple cluster has dispatches of one attempt each, all of them begun in its window and ended in the database before
its look, on one side, drawn alike, all barred or none, and at costs that nobody adjusted. That a turn of a conversation
is one dispatch is what the unique key of the log says. All others are looked at attempt by attempt.

What can be said of a row alone is said of a simple cluster's rows as well: whether they count, and whether a look has
taken them in. So the values of all rows are counted without asking for the cluster of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.audit.tables import logs
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measurement.dispatches import values_of
from dispatcher.verdict.measurement.integers import Bytewise, EpochMs, Exact, computed_once
from dispatcher.verdict.measurement.population import NUMBERS_OF_FIRST, TEXTS_OF_FIRST, Population, named, unit_of
from dispatcher.verdict.measurement.tallies import MOST_AT_ONCE, SUMMED, Tallies, part, sum_of

KEYS = ("tenant", "conversation", "lone")
_NO_SHARE, _NO_VERSION = -1, ""
"""In place of NULL, which is neither the least nor the greatest; a row that has this itself isn't simple."""
_ARMS = (Arm.CANDIDATE, Arm.CONTROL, Arm.OTHER)
_ALIKE = ("dispatch_id", "share", "version")
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
        c = logs.c
        names = (*_RAW, *TEXTS_OF_FIRST, *NUMBERS_OF_FIRST, *(["log_id"] if self.population.adjusted else []))
        read = {name: c[name] for name in names} | self.population.values_read(c)
        p = select(*named(read)).where(*self.population.seen(c)).subquery("seen").c
        landed_last = p.landed_at >= p.recorded_at
        columns: dict[str, sa.ColumnElement[Any]] = {
            "tenant": p.tenant,
            "conversation": Exact(p.conversation_id),
            "lone": case((p.conversation_id.is_(None), p.dispatch_id)),
            "unit": Bytewise(unit_of(p)),
            "dispatch_id": Bytewise(p.dispatch_id),
            "created_at": p.created_at,
            "settled_at": case((landed_last, p.landed_at), else_=p.recorded_at),
            "version": func.coalesce(Bytewise(p.flag_version), _NO_VERSION),
            "share": func.coalesce(p.assignment_share, _NO_SHARE),
            "turnless": case((p.turn.is_(None), 1), else_=0),
            "odd": case((self._odd(p), 1), else_=0),
            "aside": sa.cast(sa.null(), sa.String),
            **values_of(self.population, p, ended=sa.true(), single=True),
        }
        query = select(*named(columns))
        if not self.one_by_one:
            return query.cte("row_by_row")
        # Of a union PostgreSQL computes the columns once for each row, however often they are used, and unlike behind
        # OFFSET 0 it has several processes do so. Read more than once, it would rather write all of it down.
        rows = sa.union_all(query, query.where(sa.false())).cte("row_by_row")
        return rows.prefix_with("NOT MATERIALIZED", dialect="postgresql")

    @cached_property
    def grouped(self) -> sa.Subquery:
        """The rows by their clusters."""
        d = self.rows.c
        sides = [case(((d.arm == arm.value) & (d.odd == 0), 1), else_=0) for arm in _ARMS]
        columns: dict[str, sa.ColumnElement[Any]] = {
            "size": func.count(),
            "first_ms": EpochMs(func.min(d.created_at)),
            "last_ms": EpochMs(func.max(d.created_at)),
            "settled_ms": EpochMs(func.max(d.settled_at)),
            **{f"{end}_{name}": of(d[name]) for name in _ALIKE for end, of in (("low", func.min), ("high", func.max))},
            "barred": func.min(Bytewise(d.barred)),
            "sides": sum_of([*sides, case((d.barred.is_not(None), 1), else_=0)]),
            "became": sum_of(d[name] for name in (*SUMMED, "turnless")),
            **self.tallies.packed(d),
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
            "share": func.nullif(g.low_share, _NO_SHARE),
            "version": func.nullif(g.low_version, _NO_VERSION),
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

    def _odd(self, p: Any) -> sa.ColumnElement[bool]:
        """Whether one row alone tells that its cluster isn't simple."""
        odd: sa.ColumnElement[bool] = (p.attempt != 1) | p.landed_at.is_(None)
        odd |= (p.flag_version == _NO_VERSION) | (p.assignment_share == _NO_SHARE)
        return odd | self.population.changed(p.log_id) if self.population.adjusted else odd

    def _is_simple(self, g: Any) -> list[sa.ColumnElement[bool]]:
        population, size = self.population, g.size
        barred, turnless = part(g.sides, len(_ARMS)), part(g.became, len(SUMMED))
        conditions = [
            size <= MOST_AT_ONCE,
            sa.or_(*(part(g.sides, place) == size for place in range(len(_ARMS)))),
            (barred == 0) | (barred == size),
            (size == 1) | ((turnless == 0) & (g.low_dispatch_id != g.high_dispatch_id)),
            g.settled_ms <= g.until_ms,
            g.last_ms <= g.first_ms + population.window_ms,
            g.low_share == g.high_share,
            g.low_version == g.high_version,
        ]
        borders = (population.start_ms, population.waiting_since_ms)
        return conditions + [sa.not_(astride(g, border)) for border in borders if border is not None]


def astride(g: Any, border_ms: Any) -> sa.ColumnElement[bool]:
    """Whether a cluster began before a moment and had another dispatch from then on."""
    begun: sa.ColumnElement[bool] = g.first_ms < border_ms
    went_on: sa.ColumnElement[bool] = g.last_ms >= border_ms
    return begun & went_on
