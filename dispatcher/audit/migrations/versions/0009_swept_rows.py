"""Why a swept row's usage isn't known, and the way to rows that are still `started` among millions that have ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0009"
down_revision = "0008"

_STARTED = sa.text("status = 'started'")


def upgrade() -> None:
    """Add a column and an index; where an engine has partial ones, an ended row costs it nothing."""
    op.add_column("ai_outbound_logs", Column("usage_unavailable_reason", sa.String(120)))
    op.create_index(
        "ix_ai_outbound_logs_status_deadline_at",
        "ai_outbound_logs",
        ["status", "deadline_at"],
        postgresql_where=_STARTED,
        sqlite_where=_STARTED,
    )
