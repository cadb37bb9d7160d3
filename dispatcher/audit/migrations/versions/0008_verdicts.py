"""The verdicts that were reached, with what they were reached from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects import mysql

from dispatcher.audit.moment import DatabaseNow, UtcDateTime

revision = "0008"
down_revision = "0007"

_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(collation="utf8mb4_bin"), "mysql", "mariadb")


def _exact(length: int) -> sa.types.TypeEngine[str]:
    """A text in which letters of either case are different ones, as MySQL and MariaDB by themselves don't have it."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


_VERDICTS = (
    Column("verdict_id", _exact(36), primary_key=True),
    Column("record", _exact(64), nullable=False),
    Column("origin", _exact(16), nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("epoch", sa.Integer),
    Column("verdict", _exact(16), nullable=False),
    Column("document", _LONG_TEXT, nullable=False),
    Column("record_hash", _exact(64), nullable=False),
    Column("sql_hash", _exact(64), nullable=False),
    Column("rows_hash", _exact(64), nullable=False),
    Column("result_hash", _exact(64), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
    sa.UniqueConstraint("record", "origin", "as_of", "result_hash", name="uq_verdicts_result"),
)


def upgrade() -> None:
    """Add the table."""
    op.create_table("verdicts", *_VERDICTS)
