"""Rows of the log page by page, in the order of a moment, so that no page is asked for by counting what came before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.tables import logs


def next_page(
    names: Iterable[str],
    wanted: sa.ColumnElement[bool],
    by: sa.Column[Any],
    after: tuple[dt.datetime, str] | None,
    size: int,
) -> sa.Select[Any]:
    """The next rows of those that are wanted, with some of their columns, after the moment and id of the last one."""
    if after is not None:
        at, log_id = after
        later = sa.or_(by > at, sa.and_(by == at, logs.c.log_id > log_id))
        wanted = sa.and_(wanted, by >= at, later)
    query = sa.select(*(logs.c[name] for name in names)).where(wanted)
    return query.order_by(by, logs.c.log_id).limit(size)
