"""Which dispatches count, when, and on which side: the first half of the statement, from attempts to dispatches.

Nothing that arrives after a look can change what the look saw. A conversation begins with its first dispatch that had
reached the database by the look that it belongs to, and what is known of it is what had landed by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.action.observation import EndedBy, Status
from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import adjustments, logs
from dispatcher.verdict.looks import WEEK, Looks
from dispatcher.verdict.measured import LeftOut
from dispatcher.verdict.measurement.integers import Bytewise, EpochMs, Quotient, epoch_ms
from dispatcher.verdict.measurement.pricing import priced
from dispatcher.verdict.measurement.sides import Sides, ran_as_routed
from dispatcher.verdict.measurement.values import AT_THE_END, OF_ALL_ATTEMPTS, columns_of, later_turns

_MS = dt.timedelta(milliseconds=1)
WEEK_MS = WEEK // _MS
_TEXTS_OF_FIRST = ("routed_variant", "variant", "variant_hash", "reason", "flag_version", "status", "ended_by")
_NUMBERS_OF_FIRST = ("assignment_share", "time_scale", "response_time_ms")
_DERIVED = ("valid", "created_ms", "recorded_ms", "landed_ms")
_TOKENS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


@dataclass(frozen=True)
class Population:
    """The rows of one record and origin, seen at the looks up to a moment.

    `candidate_hash` is the definition of the candidate whose evidence counts; None counts every definition.
    `tenants_in` are the moments, in milliseconds, from which tenants are known to be in the assignment; of the others
    the rows say it. `against_itself` splits the control's own conversations into two sides. `adjusted` says that some
    costs may have been adjusted, and `repricing` asks for nothing but what that changed at later looks. `within` are
    clusters, of which those that aren't `simple` are looked at and no others.
    """

    block: Acceptance
    origin: Origin
    looks: Looks
    candidate_hash: str | None
    tenants_in: Mapping[str, int] = field(default_factory=dict)
    against_itself: bool = False
    adjusted: bool = False
    repricing: bool = False
    within: sa.CTE | None = None

    @cached_property
    def start_ms(self) -> int | None:
        """The first millisecond of the epoch; None where the record isn't registered."""
        return None if self.looks.start is None else epoch_ms(self.looks.start + dt.timedelta(microseconds=999))

    @property
    def window_ms(self) -> int:
        """How long a cluster lasts."""
        return self.looks.window // _MS

    @cached_property
    def unit(self) -> list[str]:
        """The columns that tell one cluster from another."""
        return ["tenant", "unit", *(["at_look"] if self.repricing else [])]

    @cached_property
    def attempts(self) -> sa.CTE:
        """The attempts of the clusters that are looked at."""
        if self.within is None:
            return self._seen.cte("attempts")
        seen, odd = self._seen.subquery("seen"), self.within.c
        at = (seen.c.tenant == odd.tenant) & (seen.c.unit == odd.unit) & (odd.simple == 0)
        return select(*seen.c).select_from(seen.join(self.within, at)).cte("attempts")

    @cached_property
    def singles(self) -> sa.Subquery:
        """The attempts as if each were a dispatch that began its cluster's window and had ended before its look.

        They have the columns of `dispatches`, and what tells whether that is so.
        """
        p = self._seen.subquery("seen").c
        values = self._values(p, ended=sa.true(), single=True)
        kept = [p[name] for name in ("tenant", "unit", "created_ms", "recorded_ms", "landed_ms", "attempt", "turn")]
        changed = case((p.log_id.in_(select(adjustments.c.log_id)), 1), else_=0) if self.adjusted else sa.literal(0)
        others = {"aside": sa.cast(sa.null(), sa.String), "changed": changed}
        return select(*kept, p.dispatch_id, p.flag_version, *_named(values | others)).subquery("singles")

    @cached_property
    def _seen(self) -> sa.Select[Any]:
        """The attempts of the feature and origin that had reached the database, with moments in milliseconds."""
        c = logs.c
        # The last letter keeps the two kinds apart, and blanks at the end of an id, which MariaDB wouldn't see.
        unit = case((c.conversation_id.is_(None), c.dispatch_id + "/d"), else_=c.conversation_id + "/c")
        # Free, though tokens were used or none are known, is suspicious: the cost isn't known.
        tokens = [c[name] for name in _TOKENS]
        unused = sa.and_(*(func.coalesce(each, 0) == 0 for each in tokens))
        free = unused & sa.or_(*(each.is_not(None) for each in tokens))
        texts = ("tenant", "dispatch_id", *_TEXTS_OF_FIRST, *(["log_id"] if self.adjusted else []))
        columns: dict[str, sa.ColumnElement[Any]] = {
            **{name: Bytewise(c[name]) for name in texts},
            "unit": Bytewise(unit),
            "attempt": c.attempt,
            **{name: c[name] for name in (*_NUMBERS_OF_FIRST, "turn")},
            "valid": case((c.output_valid.is_(True), 1), (c.output_valid.is_(False), 0)),
            "cost": case(((c.cost_nanousd != 0) | free, c.cost_nanousd)),
            **{name: column(c) for name, column in self._extra.items()},
            **{f"{name}_ms": EpochMs(c[f"{name}_at"]) for name in ("created", "recorded", "landed")},
        }
        return select(*_named(columns)).where(
            c.feature == self.block.feature,
            c.origin == self.origin.value,
            c.role != Role.SHADOW.value,
            EpochMs(c.recorded_at) <= epoch_ms(self.looks.as_of),
        )

    @cached_property
    def placed(self) -> sa.CTE:
        """Each attempt with the beginning of its conversation, the look that took it in, and until when it was seen.

        A window and no join, since an engine without statistics would join in quadratic time.
        """
        a = self.attempts.c
        on_time = a.attempt == 1
        if self.start_ms is not None:
            on_time &= a.recorded_ms <= self.look_ms(self.look_of(a.created_ms))
        first = func.min(case((on_time, a.created_ms))).over(partition_by=[a.tenant, a.unit])
        begun = select(*a, first.label("first_ms")).cte("begun")
        as_of = sa.literal(epoch_ms(self.looks.as_of), sa.BigInteger)
        if self.start_ms is None:
            nothing = sa.cast(sa.null(), sa.BigInteger)
            placed = select(*begun.c, nothing.label("look"), as_of.label("until_ms")).cte("placed")
        else:
            look = self.look_of(begun.c.first_ms)
            entered = look <= self.looks.done
            times = {"look": case((entered, look)), "until_ms": case((entered, self.look_ms(look)), else_=as_of)}
            placed = select(*begun.c, *_named(times)).cte("placed")
        return priced(self, placed) if self.adjusted else placed

    @cached_property
    def wholes(self) -> sa.CTE:
        """One row per dispatch: its first attempt, and what later ones added to its wait and to its sums by then."""
        p = self.placed.c
        first = p.attempt == 1
        known = first & (p.recorded_ms <= p.until_ms)
        names = [
            *_TEXTS_OF_FIRST,
            *_NUMBERS_OF_FIRST,
            *_DERIVED,
            *self._extra,
            *(["turn"] if self._later_turns else []),
        ]
        own: dict[str, sa.ColumnElement[Any]] = {name: func.max(case((known, p[name]))) for name in ["cost", *names]}
        firsts = func.count(case((known, 1)))
        # What arrived too late is counted on its side all the same.
        own["routed_variant"] = case(
            (firsts > 0, own["routed_variant"]), else_=func.max(case((first, p.routed_variant)))
        )
        later = (p.attempt > 1) & (p.recorded_ms <= p.until_ms)
        landed = later & (p.landed_ms <= p.until_ms)
        more: dict[str, sa.ColumnElement[Any]] = {
            "firsts": firsts,
            "later": func.count(case((later, 1))),
            "later_accepted_ms": func.max(case((landed, p.created_ms + p.response_time_ms))),
        }
        for name in self._summed:
            more[f"later_{name}_known"] = func.count(case((landed, p[name])))
            # A sum is of a wider type on some engines, which would be another kind of number outside of them.
            more[f"later_{name}"] = sa.cast(func.sum(case((landed, p[name]))), sa.BigInteger)
        place: dict[str, sa.ColumnElement[Any]] = {name: func.min(p[name]) for name in ("first_ms", "look", "until_ms")}
        return (
            select(*(p[name] for name in self.unit), *_named(place | own | more))
            .group_by(*(p[name] for name in self.unit), p.dispatch_id)
            .cte("wholes")
        )  # fmt: skip

    @cached_property
    def dispatches(self) -> sa.CTE:
        """The same with its side, why it may be left out, and its values under the variant that was routed.

        Of two first attempts nobody can tell which is true: such a dispatch has failed, at an unknown cost.
        """
        p = self.wholes.c
        ended = p.landed_ms <= p.until_ms
        values = self._values(p, ended=ended, single=False) | {"aside": self._aside(p, ended)}
        kept = (*(p[name] for name in self.unit), p.look, p.first_ms, p.created_ms, p.flag_version)
        return select(*kept, *_named(values)).cte("dispatches")

    def _values(self, p: Any, *, ended: sa.ColumnElement[bool], single: bool) -> dict[str, sa.ColumnElement[Any]]:
        cancelled = ended & (p.status == Status.CANCELLED.value)
        cancelled &= func.coalesce(p.ended_by, EndedBy.CANCEL.value) == EndedBy.CANCEL.value
        succeeded = ended & (p.status == Status.SUCCESS.value)
        wall = p.response_time_ms
        unclear = []
        if not single:
            wall = case((p.later == 0, wall), else_=p.later_accepted_ms - p.created_ms)
            unclear = [p.firsts > 1]
        sides = Sides(self.block, self.candidate_hash, against_itself=self.against_itself)
        values: dict[str, sa.ColumnElement[Any]] = {
            "arm": sides.arm(p),
            "barred": sides.barred(p),
            "failed": case(*((each, 1) for each in unclear), (succeeded | cancelled, 0), else_=1),
            "cancelled": case((cancelled, 1), else_=0),
            "wall_ms": case((ended, wall)),
            "valid": case((ended, p.valid)),
            "scaled": case((p.time_scale != 1, 1), else_=0),
            "astray": case((ran_as_routed(p), 0), else_=1),
            "assignment_share": sides.share(p),
        }
        for name in (*self._extra, "cost"):
            value = self._whole(p, name) if name in OF_ALL_ATTEMPTS and not single else p[name]
            at_the_end = AT_THE_END.get(name)
            values[name] = case(*((each, at_the_end) for each in unclear), (ended, value), else_=at_the_end)
        if self._later_turns:
            values["later_turn"] = case((p.turn > 1, 1), else_=0)
        return values

    def _whole(self, p: Any, name: str) -> sa.ColumnElement[Any]:
        own = p[name]
        return case((p.later == 0, own), (p[f"later_{name}_known"] == p.later, own + p[f"later_{name}"]))

    def _aside(self, p: Any, ended: sa.ColumnElement[bool]) -> sa.ColumnElement[str]:
        """Why a dispatch alone is left aside."""
        return case(
            (
                sa.not_(func.coalesce(p.recorded_ms <= p.until_ms, sa.false())) | p.first_ms.is_(None),
                LeftOut.LATE.value,
            ),
            (p.created_ms > p.first_ms + self.window_ms, LeftOut.AFTER_WINDOW.value),
            (p.look.is_(None) & sa.not_(func.coalesce(ended, sa.false())), LeftOut.RUNNING.value),
        )

    def look_of(self, first_ms: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The first look later than the first dispatch + window + settle, as `Looks.entry`."""
        assert self.start_ms is not None
        waited = first_ms + ((self.looks.window + self.looks.settle) // _MS - self.start_ms)
        return case((waited < 0, 1), else_=Quotient(waited, sa.literal(WEEK_MS, sa.BigInteger)) + 1)

    def look_ms(self, look: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The moment of a look."""
        return look * WEEK_MS + sa.literal(self.start_ms, sa.BigInteger)

    @cached_property
    def _extra(self) -> dict[str, Callable[[Any], sa.ColumnElement[Any]]]:
        return columns_of(each.measure for each in self.block.criteria)

    @cached_property
    def _summed(self) -> list[str]:
        return [name for name in ("cost", *self._extra) if name in OF_ALL_ATTEMPTS]

    @cached_property
    def _later_turns(self) -> bool:
        return later_turns(each.measure for each in self.block.criteria)


def _named(columns: Mapping[str, sa.ColumnElement[Any]]) -> Iterator[sa.Label[Any]]:
    return (column.label(name) for name, column in columns.items())
