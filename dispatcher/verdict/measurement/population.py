"""Which rows count, and at which look: those of one record and origin, as they had reached the database by a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import adjustments, logs
from dispatcher.verdict.looks import WEEK, Looks
from dispatcher.verdict.measurement.integers import Bytewise, EpochMs, Quotient, epoch_ms, moment_of
from dispatcher.verdict.measurement.values import columns_of, later_turns

_MS = dt.timedelta(milliseconds=1)
WEEK_MS = WEEK // _MS
TEXTS_OF_FIRST = ("routed_variant", "variant", "variant_hash", "reason", "flag_version", "status", "ended_by")
NUMBERS_OF_FIRST = ("assignment_share", "time_scale", "response_time_ms")
_TOKENS = ("input_tokens", "output_tokens")
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(frozen=True)
class Population:
    """The rows of one record and origin, seen at the looks up to a moment.

    `candidate_hash` is the definition of the candidate whose evidence counts; None counts every definition.
    `tenants_in` are the moments, in milliseconds, from which tenants are known to be in the assignment; of the others
    the rows say it. `against_itself` splits the control's own conversations into two sides. `adjusted` says that some
    costs may have been adjusted, and `repricing` asks for nothing but what that changed at later looks.
    """

    block: Acceptance
    origin: Origin
    looks: Looks
    candidate_hash: str | None
    tenants_in: Mapping[str, int] = field(default_factory=dict)
    against_itself: bool = False
    adjusted: bool = False
    repricing: bool = False

    @cached_property
    def start_ms(self) -> int | None:
        """The first millisecond of the epoch; None where the record isn't registered."""
        return None if self.looks.start is None else epoch_ms(self.looks.start + dt.timedelta(microseconds=999))

    @property
    def window_ms(self) -> int:
        """How long a cluster lasts."""
        return self.looks.window // _MS

    @property
    def waiting_since_ms(self) -> int | None:
        """The first millisecond of which no look has taken in the clusters that began; None without any look."""
        if self.start_ms is None or not self.looks.done:
            return None
        return self.start_ms + self.looks.done * WEEK_MS - (self.looks.window + self.looks.settle) // _MS

    @cached_property
    def unit(self) -> list[str]:
        """The columns that tell one cluster from another."""
        return ["tenant", "unit", *(["at_look"] if self.repricing else [])]

    @cached_property
    def extra(self) -> dict[str, Callable[[Any], sa.ColumnElement[Any]]]:
        """What the measures need of an attempt beside what every statement reads."""
        return columns_of(each.measure for each in self.block.criteria)

    @cached_property
    def later_turns(self) -> bool:
        """Whether a criterion is about second and later turns only."""
        return later_turns(each.measure for each in self.block.criteria)

    def seen(self, c: Any) -> tuple[sa.ColumnElement[bool], ...]:
        """The conditions on a row: of the feature and origin, and in the database by the moment."""
        return (
            c.feature == self.block.feature,
            c.origin == self.origin.value,
            c.role != Role.SHADOW.value,
            c.recorded_at < moment_of(epoch_ms(self.looks.as_of) + 1),
        )

    def values_read(self, c: Any) -> dict[str, sa.ColumnElement[Any]]:
        """What is computed of one row alone."""
        # Free, though tokens were used or aren't known, is suspicious: the cost isn't known. Where a log has no columns
        # for what was cached, nothing was.
        free = sa.and_(*(c[name] == 0 for name in _TOKENS), *(func.coalesce(c[name], 0) == 0 for name in _CACHED))
        return {
            "valid": case((c.output_valid.is_(True), 1), (c.output_valid.is_(False), 0)),
            "cost": case((c.cost_nanousd != 0, c.cost_nanousd), (free, c.cost_nanousd)),
            **{name: column(c) for name, column in self.extra.items()},
        }

    @cached_property
    def attempts(self) -> sa.Select[Any]:
        """The attempts that are seen, with moments in milliseconds."""
        c = logs.c
        texts = ("tenant", "dispatch_id", *TEXTS_OF_FIRST, *(["log_id"] if self.adjusted else []))
        columns: dict[str, sa.ColumnElement[Any]] = {
            **{name: Bytewise(c[name]) for name in texts},
            "unit": Bytewise(unit_of(c)),
            "attempt": c.attempt,
            **{name: c[name] for name in (*NUMBERS_OF_FIRST, "turn")},
            **self.values_read(c),
            **{f"{name}_ms": EpochMs(c[f"{name}_at"]) for name in ("created", "recorded", "landed")},
        }
        return select(*named(columns)).where(*self.seen(c))

    def changed(self, log_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Whether the cost of a row may have been adjusted."""
        return log_id.in_(select(adjustments.c.log_id)) if self.adjusted else sa.false()

    def look_of(self, first_ms: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The first look later than the first dispatch + window + settle, as `Looks.entry`."""
        assert self.start_ms is not None
        waited = first_ms + ((self.looks.window + self.looks.settle) // _MS - self.start_ms)
        return case((waited < 0, 1), else_=Quotient(waited, sa.literal(WEEK_MS, sa.BigInteger)) + 1)

    def look_ms(self, look: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The moment of a look."""
        return look * WEEK_MS + sa.literal(self.start_ms, sa.BigInteger)

    def entered(self, first_ms: sa.ColumnElement[int]) -> dict[str, sa.ColumnElement[Any]]:
        """`look`: the one that took in a cluster that began then, NULL where none has; `until_ms`: when it is seen."""
        as_of = sa.literal(epoch_ms(self.looks.as_of), sa.BigInteger)
        if self.start_ms is None:
            return {"look": sa.cast(sa.null(), sa.BigInteger), "until_ms": as_of}
        look = self.look_of(first_ms)
        entered = look <= self.looks.done
        return {"look": case((entered, look)), "until_ms": case((entered, self.look_ms(look)), else_=as_of)}


def unit_of(c: Any) -> sa.ColumnElement[str]:
    """The cluster of a row among those of its tenant.

    The last letter keeps the two kinds apart, and blanks at the end of an id, which MariaDB wouldn't see.
    """
    return case((c.conversation_id.is_(None), c.dispatch_id + "/d"), else_=c.conversation_id + "/c")


def named(columns: Mapping[str, sa.ColumnElement[Any]]) -> list[sa.Label[Any]]:
    """The columns under their names."""
    return [column.label(name) for name, column in columns.items()]
