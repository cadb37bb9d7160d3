"""What is kept of content, written in the transaction that ends the row it belongs to."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.record import Kept
from dispatcher.audit.tables import conversations, logs, results
from dispatcher.audit.tables import idempotency_keys as keys

logger = logging.getLogger(__name__)

MOST_DELETED = 100
"""How many rows of expired content are deleted from a table when content is written."""

_OF_THE_ROW = ("log_id", "tenant", "feature", "dispatch_id", "conversation_id", "turn", "idempotency_key")


def keep(connection: sa.Connection, log_id: str, kept: Kept, ended_at: dt.datetime) -> None:
    """Write the content under the keys that the row itself has; what has none there, or doesn't fit, isn't kept.

    Belongs to the transaction that ends the row. A row ends once, so nobody else writes under its keys meanwhile; where
    it was given up for lost and another dispatch took its idempotency key, the result is that one's. What else of the
    tenant and feature has expired is deleted, at most `MOST_DELETED` rows of each table.
    """
    columns = (logs.c[name] for name in _OF_THE_ROW)
    row = dict(connection.execute(sa.select(*columns).where(logs.c.log_id == log_id)).mappings().one())
    if kept.turn is not None and row["turn"] is not None and _fits(connection, row, kept, ended_at):
        _put(connection, conversations, row, kept.turn, ended_at, kept.turn_expires_at)
    if kept.result is not None and _holds_key(connection, row) and _size(kept.result, log_id) is not None:
        _put(connection, results, row, kept.result, ended_at, kept.result_expires_at)
    # After the row's own content, because an insert after another's row was found gone can deadlock on MariaDB.
    for table in (conversations, results):
        _delete_expired(connection, table, row, ended_at)


def _holds_key(connection: sa.Connection, row: dict[str, Any]) -> bool:
    if row["idempotency_key"] is None:
        return False
    its_own = (keys.c[name] == row[name] for name in ("tenant", "feature", "idempotency_key", "dispatch_id"))
    return connection.execute(sa.select(keys.c.log_id).where(*its_own)).first() is not None


def _delete_expired(connection: sa.Connection, table: sa.Table, row: dict[str, Any], now: dt.datetime) -> None:
    of_tenant = (table.c[name] == row[name] for name in ("tenant", "feature"))
    key = list(table.primary_key)
    named = (column.label(f"of_{column.name}") for column in key)
    expired = sa.select(*named).where(*of_tenant, table.c.expires_at <= now)
    # In one order, so that two that delete the same rows wait for each other and no more.
    found = connection.execute(expired.order_by(table.c.expires_at, *key).limit(MOST_DELETED)).mappings().all()
    if found:
        its_own = (column == sa.bindparam(f"of_{column.name}", type_=column.type) for column in key)
        gone = sa.delete(table).where(*its_own, table.c.expires_at <= now)
        connection.execute(gone, [dict(one) for one in found])


def _fits(connection: sa.Connection, row: dict[str, Any], kept: Kept, now: dt.datetime) -> bool:
    size = _size(str(kept.turn), row["log_id"])
    if size is None:
        return False
    of_conversation = (conversations.c[name] == row[name] for name in ("tenant", "feature", "conversation_id"))
    others = sa.and_(*of_conversation, conversations.c.turn != row["turn"], conversations.c.expires_at > now)
    before = int(connection.execute(sa.select(sa.func.sum(conversations.c.bytes)).where(others)).scalar() or 0)
    if before + size <= kept.max_conversation_bytes:
        return True
    logger.warning(
        "row %s: its turn of %d bytes isn't kept: %d bytes of the conversation are, and it may have %d in all",
        *(row["log_id"], size, before, kept.max_conversation_bytes),
    )
    return False


def _size(content: str, log_id: str) -> int | None:
    """How many bytes the content has; None where no database can hold it, which must not keep a row from ending."""
    try:
        return len(content.encode())
    except UnicodeEncodeError:
        logger.warning("row %s: its content isn't kept: it holds half a surrogate pair", log_id)
        return None


def _put(
    connection: sa.Connection,
    table: sa.Table,
    row: dict[str, Any],
    content: str,
    now: dt.datetime,
    expires_at: dt.datetime | None,
) -> None:
    named = {column.name: row[column.name] for column in table.columns if column.name in row}
    values = named | {"content": content, "bytes": len(content.encode()), "created_at": now, "expires_at": expires_at}
    its_own = [column == row[column.name] for column in table.primary_key]
    # Looked for first: an UPDATE that meets no row would lock the gap around it on MariaDB.
    there = connection.execute(sa.select(table.c.log_id).where(*its_own)).first() is not None
    connection.execute(sa.update(table).where(*its_own).values(values) if there else sa.insert(table).values(values))
