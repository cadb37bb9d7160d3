"""What the log holds: how many rows, by where they come from and how they ended."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """`n` rows with the same origin, status, path and variant; `first` and `last` are their earliest and latest starts.

    Path and variant are None where they aren't known.
    """

    origin: str
    status: str
    path: str | None
    variant: str | None
    n: int
    first: dt.datetime
    last: dt.datetime


def summary(connection: sa.Connection, origin: Origin | None = None) -> tuple[SummaryRow, ...]:
    """All rows of the log, or those of one origin, counted."""
    rows = (SummaryRow(**row) for row in connection.execute(summary_statement(origin)).mappings())
    # Engines order texts and NULLs each in its own way.
    return tuple(sorted(rows, key=lambda row: (row.origin, row.status, row.path or "", row.variant or "")))


def summary_statement(origin: Origin | None) -> sa.Select[Any]:
    """The counts."""
    keys = (logs.c.origin, logs.c.status, logs.c.path, logs.c.variant)
    statement = sa.select(
        *keys,
        sa.func.count().label("n"),
        sa.func.min(logs.c.created_at).label("first"),
        sa.func.max(logs.c.created_at).label("last"),
    )
    # In an adopted table the other application's rows have no id of the log's.
    statement = statement.where(logs.c.log_id.is_not(None)).group_by(*keys)
    if origin is not None:
        statement = statement.where(logs.c.origin == origin.value)
    return statement
