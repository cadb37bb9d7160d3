"""What is added to the cost of ended rows by repricing and by reconciling with the platform."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects import mysql

from dispatcher.audit.moment import DatabaseNow, UtcDateTime

revision = "0004"
down_revision = "0003"


def _exact(length: int) -> sa.types.TypeEngine[str]:
    """A text in which letters of either case are different ones, as MySQL and MariaDB by themselves don't have it."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


_ADJUSTMENTS = (
    Column("tenant", _exact(120), primary_key=True),
    Column("log_id", sa.String(36), primary_key=True),
    Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    Column("kind", sa.String(16), nullable=False),
    Column("reason", sa.String(40), nullable=False),
    Column("amount_nanousd", sa.BigInteger, nullable=False),
    Column("cost_nanousd", sa.BigInteger, nullable=False),
    Column("price_version", sa.String(64)),
    Column("platform_list_cost_nanousd", sa.BigInteger),
    Column("adjusted_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
)


def upgrade() -> None:
    """Add the table."""
    op.create_table("ai_outbound_adjustments", *_ADJUSTMENTS)
    op.create_index("ix_ai_outbound_adjustments_log_id", "ai_outbound_adjustments", ["log_id"])
