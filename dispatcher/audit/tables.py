"""The tables of the audit log, for every engine.

A column that is NOT NULL is known of every row, an imported one included; everything else may be unknown. Numbers of
tokens, nano-dollars and milliseconds are 64 bits wide.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column
from sqlalchemy.dialects import mysql

from dispatcher.audit.moment import DatabaseNow, UtcDateTime

metadata = sa.MetaData()

# A TEXT of MySQL and MariaDB ends at 64 KiB.
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def exact(length: int) -> sa.types.TypeEngine[str]:
    """A text in which letters of either case are different ones, as MySQL and MariaDB by themselves don't have it."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


logs = sa.Table(
    "ai_outbound_logs",
    metadata,
    # Identity. A turn of a conversation is claimed by the unique key below; NULLs are distinct, so rows outside
    # conversations claim nothing.
    Column("log_id", sa.String(36), primary_key=True),
    Column("dispatch_id", sa.String(64), nullable=False),
    Column("attempt", sa.Integer, nullable=False),
    Column("role", sa.String(16), nullable=False),
    Column("origin", sa.String(16), nullable=False),
    Column("time_scale", sa.Double, nullable=False),
    Column("feature", sa.String(120), nullable=False),
    Column("tenant", sa.String(120), nullable=False),
    Column("project", sa.String(120)),
    Column("conversation_id", sa.String(200)),
    Column("turn", sa.Integer),
    Column("idempotency_key", sa.String(200)),
    Column("actor", sa.String(120)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("deadline_at", UtcDateTime),
    # Written by every INSERT, as in another application's table that was adopted the column has no default.
    Column("recorded_at", UtcDateTime, nullable=False, default=DatabaseNow(), server_default=DatabaseNow()),
    Column("landed_at", UtcDateTime),
    Column("swept_at", UtcDateTime),
    Column("owner", sa.String(255)),
    # Decision.
    Column("path", sa.String(16)),
    Column("variant", sa.String(120)),
    Column("routed_variant", sa.String(120)),
    Column("variant_hash", sa.String(64)),
    Column("model", sa.String(120)),
    Column("reason", sa.String(40)),
    Column("flag", sa.String(120)),
    Column("flag_version", sa.String(64)),
    Column("flag_stale", sa.Boolean),
    Column("assignment_key", sa.String(255)),
    Column("assignment_share", sa.Double),
    Column("iteration_cap", sa.Integer),
    Column("transcript_form", sa.String(16)),
    # Ending.
    Column("status", sa.String(16), nullable=False),
    Column("ended_by", sa.String(40)),
    Column("stop_reason", sa.String(120)),
    Column("output_valid", sa.Boolean),
    Column("output_chars", sa.BigInteger),
    Column("error_type", sa.String(64)),
    Column("error_stage", sa.String(40)),
    Column("http_status", sa.Integer),
    # Time.
    Column("response_time_ms", sa.BigInteger),
    Column("queue_ms", sa.BigInteger),
    Column("ready_ms", sa.BigInteger),
    Column("session_init_ms", sa.BigInteger),
    Column("first_token_ms", sa.BigInteger),
    Column("remainder_ms", sa.BigInteger),
    Column("first_text_ms", sa.BigInteger),
    Column("active_ms", sa.BigInteger),
    Column("drain_ms", sa.BigInteger),
    Column("timing_unavailable_reason", sa.String(120)),
    Column("timing_schema", sa.Integer),
    # Tokens, in disjoint classes.
    Column("input_tokens", sa.BigInteger),
    Column("cache_read_input_tokens", sa.BigInteger),
    Column("cache_creation_input_tokens", sa.BigInteger),
    Column("cache_creation_5m_input_tokens", sa.BigInteger),
    Column("cache_creation_1h_input_tokens", sa.BigInteger),
    Column("output_tokens", sa.BigInteger),
    Column("usage_quality", sa.String(20)),
    Column("usage_unavailable_reason", sa.String(120)),
    Column("first_call_input_tokens", sa.BigInteger),
    Column("first_call_cache_read_input_tokens", sa.BigInteger),
    Column("first_call_cache_creation_input_tokens", sa.BigInteger),
    Column("first_call_output_tokens", sa.BigInteger),
    Column("platform_input_tokens", sa.BigInteger),
    Column("platform_cache_read_input_tokens", sa.BigInteger),
    Column("platform_cache_creation_input_tokens", sa.BigInteger),
    Column("platform_output_tokens", sa.BigInteger),
    # Money.
    Column("reserved_nanousd", sa.BigInteger),
    Column("cost_nanousd", sa.BigInteger),
    Column("runtime_cost_nanousd", sa.BigInteger),
    Column("tool_cost_nanousd", sa.BigInteger),
    Column("price_version", sa.String(64)),
    Column("platform_list_cost_nanousd", sa.BigInteger),
    # Work.
    Column("iterations", sa.Integer),
    Column("tool_calls", sa.Integer),
    Column("tool_errors", sa.Integer),
    Column("retries", sa.Integer),
    Column("retry_wait_ms", sa.BigInteger),
    Column("repairs", sa.Integer),
    Column("provider_request_id", sa.String(120)),
    Column("session_id", sa.String(120)),
    Column("agent_id", sa.String(120)),
    Column("agent_version", sa.BigInteger),
    Column("prefix_fingerprint", sa.String(64)),
    Column("prompt_fingerprint", sa.String(64)),
    Column("section_fingerprints", sa.Text),
    Column("prefix_changed", sa.String(255)),
    Column("repository", sa.String(1024)),
    Column("commit_sha", sa.String(64)),
    sa.UniqueConstraint(
        "tenant", "feature", "conversation_id", "turn", "attempt", "role", name="uq_ai_outbound_logs_turn"
    ),
    sa.Index("ix_ai_outbound_logs_created_at", "created_at"),
    sa.Index("ix_ai_outbound_logs_feature_origin_created_at", "feature", "origin", "created_at"),
    # What a tenant has spent since a moment is summed in the transaction that opens a row.
    sa.Index("ix_ai_outbound_logs_tenant_feature_origin_created_at", "tenant", "feature", "origin", "created_at"),
    # A sweep looks for the few rows that are still open; where an engine has partial indexes, it holds no others.
    sa.Index(
        "ix_ai_outbound_logs_status_deadline_at",
        *("status", "deadline_at"),
        postgresql_where=sa.text("status = 'started'"),
        sqlite_where=sa.text("status = 'started'"),
    ),
)
"""One row per attempt."""

calls = sa.Table(
    "ai_outbound_calls",
    metadata,
    # No foreign key to the log: an engine that distributes the rows by tenant can't keep one across its nodes, and a
    # call is written only in the transaction that ends its row.
    Column("log_id", sa.String(36), primary_key=True),
    Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
    Column("model", sa.String(120), nullable=False),
    Column("input_tokens", sa.BigInteger),
    Column("cache_read_input_tokens", sa.BigInteger),
    Column("cache_creation_input_tokens", sa.BigInteger),
    Column("cache_creation_5m_input_tokens", sa.BigInteger),
    Column("cache_creation_1h_input_tokens", sa.BigInteger),
    Column("output_tokens", sa.BigInteger),
    Column("latency_ms", sa.BigInteger),
    Column("stop_reason", sa.String(120)),
    Column("request_id", sa.String(120)),
    Column("cost_nanousd", sa.BigInteger),
    Column("prompt_fingerprint", sa.String(64)),
)
"""One row per model request inside an attempt."""

idempotency_keys = sa.Table(
    "ai_idempotency_keys",
    metadata,
    Column("tenant", exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("idempotency_key", exact(200), primary_key=True),
    Column("dispatch_id", sa.String(64), nullable=False),
    # The dispatch's latest attempt: how its row stands is how the dispatch stands.
    Column("log_id", sa.String(36), nullable=False),
    Column("request_hash", sa.String(64), nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
)
"""The dispatch that holds an idempotency key; written only in the transaction that opens one of its rows."""

budget_locks = sa.Table(
    "ai_budget_locks",
    metadata,
    Column("tenant", exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("touched", UtcDateTime, nullable=False),
)
"""What the starts of a tenant with a budget wait for one after the other; holds no figure."""

conversations = sa.Table(
    "ai_conversations",
    metadata,
    Column("tenant", exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("conversation_id", exact(200), primary_key=True),
    Column("turn", sa.Integer, primary_key=True, autoincrement=False),
    Column("log_id", sa.String(36), nullable=False),
    Column("content", LONG_TEXT, nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    sa.Index("ix_ai_conversations_tenant_feature_expires_at", "tenant", "feature", "expires_at"),
)
"""The kept turns of conversations; written only in the transaction that ends their row."""

results = sa.Table(
    "ai_results",
    metadata,
    Column("tenant", exact(120), primary_key=True),
    Column("feature", sa.String(120), primary_key=True),
    Column("idempotency_key", exact(200), primary_key=True),
    Column("dispatch_id", sa.String(64), nullable=False),
    Column("log_id", sa.String(36), nullable=False),
    Column("content", LONG_TEXT, nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    sa.Index("ix_ai_results_tenant_feature_expires_at", "tenant", "feature", "expires_at"),
)
"""The kept results of idempotency keys; written only in the transaction that ends their row."""

adjustments = sa.Table(
    "ai_outbound_adjustments",
    metadata,
    # Of two programs that adjust a row at once, one appends; the other one looks again. The key begins with the tenant,
    # by which rows can be distributed.
    Column("tenant", exact(120), primary_key=True),
    Column("log_id", sa.String(36), primary_key=True),
    Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    Column("kind", sa.String(16), nullable=False),
    Column("reason", sa.String(40), nullable=False),
    Column("amount_nanousd", sa.BigInteger, nullable=False),
    Column("cost_nanousd", sa.BigInteger, nullable=False),
    Column("price_version", sa.String(64)),
    Column("platform_list_cost_nanousd", sa.BigInteger),
    Column("adjusted_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
    sa.Index("ix_ai_outbound_adjustments_log_id", "log_id"),
)
"""Append-only: what is added to the cost of ended rows, which themselves never change."""

log_gaps = sa.Table(
    "ai_outbound_log_gaps",
    metadata,
    Column("gap_id", exact(36), primary_key=True),
    Column("feature", exact(120), nullable=False),
    Column("origin", exact(16), nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("dispatches", sa.Integer, nullable=False),
    Column("owner", exact(255), nullable=False),
    Column("reason", exact(255), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
)
"""Append-only: spans of time in which dispatches of a feature and origin were answered that no row tells of.

`dispatches` says how many, 1 at least; both ends of the span are moments in which one was made.
"""
