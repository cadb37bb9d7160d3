"""The columns of the log that an import may fill, as the table and the record declare them."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from typing import Any, get_args, get_type_hints

import sqlalchemy as sa

from dispatcher.action.decision import PathName
from dispatcher.action.observation import Status
from dispatcher.audit.moment import UtcDateTime
from dispatcher.audit.record import AttemptEnding, AttemptOpening
from dispatcher.audit.tables import logs

_OURS = frozenset(
    {
        *("log_id", "origin", "time_scale", "owner", "recorded_at", "landed_at", "swept_at"),
        *("deadline_at", "idempotency_key", "reserved_nanousd", "usage_unavailable_reason"),
        *("variant_hash", "reason", "flag", "flag_version", "flag_stale", "assignment_key", "assignment_share"),
        "timing_schema",
    }
)
"""What no other program can say: how a row came here, what binds live dispatches, our decisions, our timing markers."""


class Kind(Enum):
    """What a column holds. The suffix of its name is its unit: `_ms` a duration, `_nanousd` money."""

    TEXT = "a text"
    MOMENT = "a moment"
    DURATION = "a duration"
    MONEY = "an amount of money"
    COUNT = "a count"
    TRUTH = "a truth value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One importable column: `required` where the table has it NOT NULL, `largest` the largest integer it holds.

    `words` is its closed vocabulary; None where any text goes.
    """

    name: str
    kind: Kind
    required: bool
    longest: int | None
    largest: int
    words: tuple[str, ...] | None


@cache
def targets() -> Mapping[str, Target]:
    """All importable columns by name, in the table's order."""
    declared = get_type_hints(AttemptOpening) | get_type_hints(AttemptEnding) | {"path": PathName}
    return {
        column.name: Target(
            name=column.name,
            kind=_kind(column),
            required=not column.nullable,
            longest=getattr(column.type, "length", None),
            largest=2**63 - 1 if isinstance(column.type, sa.BigInteger) else 2**31 - 1,
            words=_words(declared[column.name]),
        )
        for column in logs.columns
        if column.name not in _OURS
    }


def _kind(column: sa.Column[Any]) -> Kind:
    if isinstance(column.type, UtcDateTime):
        return Kind.MOMENT
    if isinstance(column.type, sa.Boolean):
        return Kind.TRUTH
    if isinstance(column.type, sa.Integer):
        suffixes = {"_ms": Kind.DURATION, "_nanousd": Kind.MONEY}
        return next((kind for suffix, kind in suffixes.items() if column.name.endswith(suffix)), Kind.COUNT)
    return Kind.TEXT


def _words(hint: Any) -> tuple[str, ...] | None:
    alternatives = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for alternative in alternatives:
        if isinstance(alternative, type) and issubclass(alternative, StrEnum):
            # A row that is still going on belongs to the process that carries it out; an imported one has ended.
            return tuple(word for word in alternative if word is not Status.STARTED)
    return None
