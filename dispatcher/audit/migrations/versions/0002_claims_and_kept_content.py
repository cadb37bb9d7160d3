"""Idempotency keys, budgets and kept content; what the provider says of tokens, repairs, waits and prompt sections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column
from sqlalchemy.dialects import mysql

from dispatcher.audit.migrations.log_table import add_to_log, index_log
from dispatcher.audit.moment import UtcDateTime

revision = "0002"
down_revision = "0001"

_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _exact(length: int) -> sa.types.TypeEngine[str]:
    """A text in which letters of either case are different ones, as MySQL and MariaDB by themselves don't have it."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


_OF_THE_LOG = (
    Column("platform_input_tokens", sa.BigInteger),
    Column("platform_cache_read_input_tokens", sa.BigInteger),
    Column("platform_cache_creation_input_tokens", sa.BigInteger),
    Column("platform_output_tokens", sa.BigInteger),
    Column("retry_wait_ms", sa.BigInteger),
    Column("repairs", sa.Integer),
    Column("section_fingerprints", sa.Text),
    Column("prefix_changed", sa.String(255)),
)

_IDEMPOTENCY_KEYS = (
    Column("tenant", _exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("idempotency_key", _exact(200), primary_key=True),
    Column("dispatch_id", sa.String(64), nullable=False),
    Column("log_id", sa.String(36), nullable=False),
    Column("request_hash", sa.String(64), nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
)

_BUDGET_LOCKS = (
    Column("tenant", _exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("touched", UtcDateTime, nullable=False),
)

_CONVERSATIONS = (
    Column("tenant", _exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("conversation_id", _exact(200), primary_key=True),
    Column("turn", sa.Integer, primary_key=True, autoincrement=False),
    Column("log_id", sa.String(36), nullable=False),
    Column("content", _LONG_TEXT, nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

_RESULTS = (
    Column("tenant", _exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("idempotency_key", _exact(200), primary_key=True),
    Column("dispatch_id", sa.String(64), nullable=False),
    Column("log_id", sa.String(36), nullable=False),
    Column("content", _LONG_TEXT, nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)


def upgrade() -> None:
    """Add the columns, all of which may be unknown, and the tables."""
    add_to_log(_OF_THE_LOG)
    index_log("ix_ai_outbound_logs_tenant_feature_origin_created_at", ["tenant", "feature", "origin", "created_at"])
    op.create_table("ai_idempotency_keys", *_IDEMPOTENCY_KEYS)
    op.create_table("ai_budget_locks", *_BUDGET_LOCKS)
    op.create_table("ai_conversations", *_CONVERSATIONS)
    op.create_table("ai_results", *_RESULTS)
    for table in ("ai_conversations", "ai_results"):
        op.create_index(f"ix_{table}_tenant_feature_expires_at", table, ["tenant", "feature", "expires_at"])
