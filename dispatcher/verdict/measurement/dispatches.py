"""From attempts to dispatches: what each had come to by the look that its conversation belongs to.

Nothing that arrives after a look can change what the look saw. A conversation begins with its first dispatch that had
reached the database by the look that it belongs to, and what is known of it is what had landed by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.action.observation import EndedBy, Status
from dispatcher.verdict.measured import LeftOut
from dispatcher.verdict.measurement.population import NUMBERS_OF_FIRST, TEXTS_OF_FIRST, Population, named
from dispatcher.verdict.measurement.pricing import priced
from dispatcher.verdict.measurement.sides import Sides, ran_as_routed
from dispatcher.verdict.measurement.values import AT_THE_END, OF_ALL_ATTEMPTS

_DERIVED = ("valid", "created_ms", "recorded_ms", "landed_ms")


@dataclass(frozen=True)
class Dispatches:
    """The dispatches of a population, made of `attempts`: all of its own, or those of some clusters."""

    population: Population
    attempts: sa.CTE

    @cached_property
    def placed(self) -> sa.CTE:
        """Each attempt with the beginning of its conversation, the look that took it in, and until when it was seen.

        A window and no join, since an engine without statistics would join in quadratic time.
        """
        a, population = self.attempts.c, self.population
        on_time = a.attempt == 1
        if population.start_ms is not None:
            on_time &= a.recorded_ms <= population.look_ms(population.look_of(a.created_ms))
        first = func.min(case((on_time, a.created_ms))).over(partition_by=[a.tenant, a.unit])
        begun = select(*a, first.label("first_ms")).cte("begun")
        placed = select(*begun.c, *named(population.entered(begun.c.first_ms))).cte("placed")
        return priced(population, placed) if population.adjusted else placed

    @cached_property
    def wholes(self) -> sa.CTE:
        """One row per dispatch: its first attempt, and what later ones added to its wait and to its sums by then."""
        p = self.placed.c
        first = p.attempt == 1
        known = first & (p.recorded_ms <= p.until_ms)
        names = [*TEXTS_OF_FIRST, *NUMBERS_OF_FIRST, *_DERIVED, *self.population.extra]
        names += ["turn"] if self.population.later_turns else []
        own: dict[str, sa.ColumnElement[Any]] = {name: func.max(case((known, p[name]))) for name in ["cost", *names]}
        firsts = func.count(case((known, 1)))
        # What arrived too late is counted on its side all the same.
        own["routed_variant"] = case(
            (firsts > 0, own["routed_variant"]), else_=func.max(case((first, p.routed_variant)))
        )
        place: dict[str, sa.ColumnElement[Any]] = {name: func.min(p[name]) for name in ("first_ms", "look", "until_ms")}
        columns = place | own | {"firsts": firsts} | self._later(p)
        keys = [p[name] for name in self.population.unit]
        return select(*keys, *named(columns)).group_by(*keys, p.dispatch_id).cte("wholes")

    @cached_property
    def rows(self) -> sa.CTE:
        """The same with its side, why it may be left out, and its values under the variant that was routed.

        Of two first attempts nobody can tell which is true: such a dispatch has failed, at an unknown cost.
        """
        p = self.wholes.c
        ended = p.landed_ms <= p.until_ms
        values = values_of(self.population, p, ended=ended, single=False) | {"aside": self._aside(p, ended)}
        kept = (*(p[name] for name in self.population.unit), p.look, p.first_ms, p.created_ms, p.flag_version)
        return select(*kept, *named(values)).cte("dispatches")

    def _later(self, p: Any) -> dict[str, sa.ColumnElement[Any]]:
        later = (p.attempt > 1) & (p.recorded_ms <= p.until_ms)
        landed = later & (p.landed_ms <= p.until_ms)
        more: dict[str, sa.ColumnElement[Any]] = {
            "later": func.count(case((later, 1))),
            "later_accepted_ms": func.max(case((landed, p.created_ms + p.response_time_ms))),
        }
        for name in (name for name in ("cost", *self.population.extra) if name in OF_ALL_ATTEMPTS):
            more[f"later_{name}_known"] = func.count(case((landed, p[name])))
            # A sum is of a wider type on some engines, which would be another kind of number outside of them.
            more[f"later_{name}"] = sa.cast(func.sum(case((landed, p[name]))), sa.BigInteger)
        return more

    def _aside(self, p: Any, ended: sa.ColumnElement[bool]) -> sa.ColumnElement[str]:
        """Why a dispatch alone is left aside."""
        in_time = func.coalesce(p.recorded_ms <= p.until_ms, sa.false())
        return case(
            (sa.not_(in_time) | p.first_ms.is_(None), LeftOut.LATE.value),
            (p.created_ms > p.first_ms + self.population.window_ms, LeftOut.AFTER_WINDOW.value),
            (p.look.is_(None) & sa.not_(func.coalesce(ended, sa.false())), LeftOut.RUNNING.value),
        )


def values_of(
    population: Population, p: Any, *, ended: sa.ColumnElement[bool], single: bool
) -> dict[str, sa.ColumnElement[Any]]:
    """The side of a dispatch, what bars its conversation, and its values; `single` where it has one attempt only."""
    cancelled = ended & (p.status == Status.CANCELLED.value)
    cancelled &= func.coalesce(p.ended_by, EndedBy.CANCEL.value) == EndedBy.CANCEL.value
    succeeded = ended & (p.status == Status.SUCCESS.value)
    wall = p.response_time_ms
    unclear = []
    if not single:
        wall = case((p.later == 0, wall), else_=p.later_accepted_ms - p.created_ms)
        unclear = [p.firsts > 1]
    sides = Sides(population.block, population.candidate_hash, against_itself=population.against_itself)
    values: dict[str, sa.ColumnElement[Any]] = {
        "arm": sides.arm(p),
        "barred": sides.barred(p),
        "failed": case(*((each, 1) for each in unclear), (succeeded | cancelled, 0), else_=1),
        "cancelled": case((cancelled, 1), else_=0),
        "wall_ms": _where(ended, wall),
        "valid": _where(ended, p.valid),
        "scaled": case((p.time_scale != 1, 1), else_=0),
        "astray": case((ran_as_routed(p), 0), else_=1),
        "assignment_share": sides.share(p),
    }
    for name in (*population.extra, "cost"):
        value = _whole(p, name) if name in OF_ALL_ATTEMPTS and not single else p[name]
        at_the_end = AT_THE_END.get(name)
        rules = [*((each, at_the_end) for each in unclear), (ended, value)]
        values[name] = value if single else case(*rules, else_=at_the_end)
    if population.later_turns:
        values["later_turn"] = case((p.turn > 1, 1), else_=0)
    return values


def _where(ended: sa.ColumnElement[bool], value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return value if isinstance(ended, sa.True_) else case((ended, value))


def _whole(p: Any, name: str) -> sa.ColumnElement[Any]:
    own = p[name]
    return case((p.later == 0, own), (p[f"later_{name}_known"] == p.later, own + p[f"later_{name}"]))
