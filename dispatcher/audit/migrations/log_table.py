"""How a migration changes `ai_outbound_logs`, which may be another application's table that was adopted.

Of such a table nothing is changed: it gets the columns that it lacks, each of which may be unknown, and indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateColumn

LOG = "ai_outbound_logs"


def is_adopted() -> bool:
    """Whether the table is another application's."""
    return _attribute("adopted") is True


def create_log(columns: Sequence[sa.Column[Any]], claim: str, of: Sequence[str]) -> None:
    """Make the table, whose primary key is `log_id`; in an adopted one that is a unique column beside the others.

    `claim` names the further unique key, `of` its columns.
    """
    if is_adopted():
        add_to_log(columns)
        index_log("uq_ai_outbound_logs_log_id", ["log_id"], unique=True)
        index_log(claim, of, unique=True)
    else:
        op.create_table(LOG, *columns, sa.UniqueConstraint(*of, name=claim))


def add_to_log(columns: Sequence[sa.Column[Any]]) -> None:
    """Add columns that may be unknown, where they aren't there yet."""
    dialect, there = op.get_context().dialect, _there()
    lacking = [
        CreateColumn(sa.Column(column.name, _exact(column.type, dialect.name) if is_adopted() else column.type))
        for column in columns
        if column.name not in there
    ]
    added = [f"ADD COLUMN {str(column.compile(dialect=dialect)).strip()}" for column in lacking]
    # Together, as an engine may copy the table for each statement; SQLite takes one column at a time.
    statements = added if dialect.name == "sqlite" else [", ".join(added)] if added else []
    for statement in statements:
        op.execute(f"ALTER TABLE {LOG} {statement}")


def index_log(name: str, columns: Sequence[str], *, unique: bool = False) -> None:
    """Make an index, where it isn't there yet."""
    if name not in _there():
        op.create_index(name, LOG, list(columns), unique=unique)


def _there() -> frozenset[str]:
    """The columns and indexes that were there before; an interrupted migration left some behind on MariaDB, too."""
    there: frozenset[str] | None = _attribute("there")
    return there or frozenset()


def _attribute(name: str) -> Any:
    config = op.get_context().config
    return None if config is None else config.attributes.get(name)


def _exact(kind: sa.types.TypeEngine[Any], dialect: str) -> sa.types.TypeEngine[Any]:
    """The type with our own character set and collation, as the table's may be any."""
    if dialect not in {"mysql", "mariadb"} or not isinstance(kind, sa.String):
        return kind
    if isinstance(kind, sa.Text):
        return mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return mysql.VARCHAR(kind.length, charset="utf8mb4", collation="utf8mb4_bin")
