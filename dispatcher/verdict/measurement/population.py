"""Which dispatches count, when, and on which side: the first half of the statement, from attempts to dispatches.

Nothing that arrives after a look can change what the look saw. A conversation begins with its first dispatch that had
reached the database by the look that it belongs to, and what is known of it is what had landed by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.action.decision import Reason
from dispatcher.action.observation import EndedBy, Status
from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.verdict.looks import WEEK, Looks
from dispatcher.verdict.measured import Arm, LeftOut
from dispatcher.verdict.measurement.integers import EpochMs, Quotient, epoch_ms

_MS = dt.timedelta(milliseconds=1)
_WEEK_MS = WEEK // _MS
_OF_FIRST = (
    *("routed_variant", "variant", "variant_hash", "reason", "assignment_share", "flag_version"),
    *("time_scale", "status", "ended_by", "response_time_ms"),
)
_DERIVED = ("valid", "cost", "created_ms", "recorded_ms", "landed_ms")
_TOKENS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


@dataclass(frozen=True)
class Population:
    """The rows of one record and origin, seen at the looks up to a moment.

    `candidate_hash` is the definition of the candidate whose evidence counts; None counts every definition.
    """

    block: Acceptance
    origin: Origin
    looks: Looks
    candidate_hash: str | None

    @cached_property
    def start_ms(self) -> int | None:
        """The first millisecond of the epoch; None where the record isn't registered."""
        return None if self.looks.start is None else epoch_ms(self.looks.start + dt.timedelta(microseconds=999))

    @cached_property
    def attempts(self) -> sa.CTE:
        """The attempts of the feature and origin that had reached the database, with moments in milliseconds."""
        c = logs.c
        unit = case(
            (c.conversation_id.is_(None), sa.literal("dispatch ") + c.dispatch_id),
            else_=sa.literal("conversation ") + c.conversation_id,
        )
        # Free, though tokens were used or none are known, is suspicious: the cost isn't known.
        tokens = [c[name] for name in _TOKENS]
        unused = sa.and_(*(func.coalesce(each, 0) == 0 for each in tokens))
        free = unused & sa.or_(*(each.is_not(None) for each in tokens))
        derived = {
            "unit": unit,
            "valid": case((c.output_valid.is_(True), 1), (c.output_valid.is_(False), 0)),
            "cost": case(((c.cost_nanousd != 0) | free, c.cost_nanousd)),
        } | {f"{name}_ms": EpochMs(c[f"{name}_at"]) for name in ("created", "recorded", "landed")}
        return (
            select(*(c[name] for name in ("tenant", "dispatch_id", "attempt", *_OF_FIRST)), *_named(derived))
            .where(
                c.feature == self.block.feature,
                c.origin == self.origin.value,
                c.role != Role.SHADOW.value,
                EpochMs(c.recorded_at) <= epoch_ms(self.looks.as_of),
            )
            .cte("attempts")
        )

    @cached_property
    def placed(self) -> sa.CTE:
        """Each attempt with the beginning of its conversation, the look that took it in, and until when it was seen.

        A window and no join, since an engine without statistics would join in quadratic time.
        """
        a = self.attempts.c
        on_time = a.attempt == 1
        if self.start_ms is not None:
            on_time &= a.recorded_ms <= self._look_ms(self._look_of(a.created_ms))
        first = func.min(case((on_time, a.created_ms))).over(partition_by=[a.tenant, a.unit])
        begun = select(*a, first.label("first_ms")).cte("begun")
        as_of = sa.literal(epoch_ms(self.looks.as_of), sa.BigInteger)
        if self.start_ms is None:
            nothing = sa.cast(sa.null(), sa.BigInteger)
            return select(*begun.c, nothing.label("look"), as_of.label("until_ms")).cte("placed")
        look = self._look_of(begun.c.first_ms)
        entered = look <= self.looks.done
        times = {"look": case((entered, look)), "until_ms": case((entered, self._look_ms(look)), else_=as_of)}
        return select(*begun.c, *_named(times)).cte("placed")

    @cached_property
    def wholes(self) -> sa.CTE:
        """One row per dispatch: its first attempt, and what later ones added to its wait and its cost by then."""
        p = self.placed.c
        first = p.attempt == 1
        known = first & (p.recorded_ms <= p.until_ms)
        own: dict[str, sa.ColumnElement[Any]] = {
            name: func.max(case((known, p[name]))) for name in (*_OF_FIRST, *_DERIVED)
        }
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
            "later_known": func.count(case((landed, p.cost))),
            "later_cost": func.sum(case((landed, p.cost))),
            "later_accepted_ms": func.max(case((landed, p.created_ms + p.response_time_ms))),
        }
        place: dict[str, sa.ColumnElement[Any]] = {name: func.min(p[name]) for name in ("first_ms", "look", "until_ms")}
        return (
            select(p.tenant, p.unit, *_named(place | own | more))
            .group_by(p.tenant, p.unit, p.dispatch_id)
            .cte("wholes")
        )  # fmt: skip

    @cached_property
    def dispatches(self) -> sa.CTE:
        """The same with its side, why it may be left out, and its values under the variant that was routed.

        Of two first attempts nobody can tell which is true: such a dispatch has failed, at an unknown cost.
        """
        p = self.wholes.c
        ended = p.landed_ms <= p.until_ms
        cancelled = ended & (p.status == Status.CANCELLED.value)
        cancelled &= func.coalesce(p.ended_by, EndedBy.CANCEL.value) == EndedBy.CANCEL.value
        succeeded = ended & (p.status == Status.SUCCESS.value)
        wall = case((p.later == 0, p.response_time_ms), else_=p.later_accepted_ms - p.created_ms)
        cost = case((p.firsts > 1, None), (p.later == 0, p.cost), (p.later_known == p.later, p.cost + p.later_cost))
        values = {
            "arm": self._arm(p),
            "barred": self._barred(p),
            "aside": self._aside(p, ended),
            "failed": case((p.firsts > 1, 1), (succeeded | cancelled, 0), else_=1),
            "cancelled": case((cancelled, 1), else_=0),
            "wall_ms": case((ended, wall)),
            "valid": case((ended, p.valid)),
            "cost": case((ended, cost)),
            "scaled": case((p.time_scale != 1, 1), else_=0),
            "astray": case((_ran_as_routed(p), 0), else_=1),
        }
        kept = (p.tenant, p.unit, p.look, p.first_ms, p.created_ms, p.assignment_share, p.flag_version)
        return select(*kept, *_named(values)).cte("dispatches")

    def _arm(self, p: Any) -> sa.ColumnElement[str]:
        sides = {self.block.candidate.variant: Arm.CANDIDATE.value, self.block.control.variant: Arm.CONTROL.value}
        return case(sides, value=p.routed_variant, else_=Arm.OTHER.value)

    def _barred(self, p: Any) -> sa.ColumnElement[str]:
        """Why a dispatch keeps its whole conversation out."""
        variants = (self.block.candidate.variant, self.block.control.variant)
        drawn = self.block.assignment.kind == "sticky_share"
        reasons = (Reason.SHARE.value, Reason.STICKY.value) if drawn else (Reason.FLAG.value, Reason.DEFAULT.value)
        known = p.routed_variant.is_not(None) & p.routed_variant.in_(variants)
        rules = [
            (sa.not_(known), LeftOut.OTHER_VARIANT.value),
            (p.reason.is_(None), LeftOut.NO_REASON.value),
            (p.reason.not_in(reasons), p.reason),
        ]
        if drawn:
            share = func.coalesce(p.assignment_share, 0)
            rules.append(((share <= 0) | (share >= 1), LeftOut.NOT_DRAWN.value))
        if self.candidate_hash is not None:
            other = func.coalesce(p.variant_hash, "") != self.candidate_hash
            candidate = (p.routed_variant == self.block.candidate.variant) & _ran_as_routed(p)
            rules.append((candidate & other, LeftOut.OTHER_CANDIDATE.value))
        return case(*rules)

    def _aside(self, p: Any, ended: sa.ColumnElement[bool]) -> sa.ColumnElement[str]:
        """Why a dispatch alone is left aside."""
        window_ms = self.looks.window // _MS
        return case(
            (
                sa.not_(func.coalesce(p.recorded_ms <= p.until_ms, sa.false())) | p.first_ms.is_(None),
                LeftOut.LATE.value,
            ),
            (p.created_ms > p.first_ms + window_ms, LeftOut.AFTER_WINDOW.value),
            (p.look.is_(None) & sa.not_(func.coalesce(ended, sa.false())), LeftOut.RUNNING.value),
        )

    def _look_of(self, first_ms: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The first look later than the first dispatch + window + settle, as `Looks.entry`."""
        assert self.start_ms is not None
        waited = first_ms + ((self.looks.window + self.looks.settle) // _MS - self.start_ms)
        return case((waited < 0, 1), else_=Quotient(waited, sa.literal(_WEEK_MS, sa.BigInteger)) + 1)

    def _look_ms(self, look: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return look * _WEEK_MS + sa.literal(self.start_ms, sa.BigInteger)


def _ran_as_routed(p: Any) -> sa.ColumnElement[bool]:
    """Whether the first attempt ran what was routed; its definition is that of what ran."""
    ran: sa.ColumnElement[bool] = func.coalesce(p.variant, "") == p.routed_variant
    return ran


def _named(columns: Mapping[str, sa.ColumnElement[Any]]) -> Iterator[sa.Label[Any]]:
    return (column.label(name) for name, column in columns.items())
