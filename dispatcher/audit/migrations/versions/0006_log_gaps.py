"""Where attempts were made that no row tells of, because neither the database nor a spool could take them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects import mysql

from dispatcher.audit.moment import DatabaseNow, UtcDateTime

revision = "0006"
down_revision = "0005"


def _exact(length: int) -> sa.types.TypeEngine[str]:
    """A text in which letters of either case are different ones, as MySQL and MariaDB by themselves don't have it."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


_LOG_GAPS = (
    Column("gap_id", _exact(36), primary_key=True),
    Column("feature", _exact(120), nullable=False),
    Column("origin", _exact(16), nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("dispatches", sa.Integer, nullable=False),
    Column("owner", _exact(255), nullable=False),
    Column("reason", _exact(255), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
)


def upgrade() -> None:
    """Add the table."""
    op.create_table("ai_outbound_log_gaps", *_LOG_GAPS)
