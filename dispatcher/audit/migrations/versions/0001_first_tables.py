"""The attempts, their model requests, and the registrations of decision records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from dispatcher.audit.migrations.log_table import create_log, index_log
from dispatcher.audit.moment import DatabaseNow, UtcDateTime

revision = "0001"
down_revision = None

_LOGS = (
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
    Column("recorded_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
    Column("landed_at", UtcDateTime),
    Column("swept_at", UtcDateTime),
    Column("owner", sa.String(255)),
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
    Column("status", sa.String(16), nullable=False),
    Column("ended_by", sa.String(40)),
    Column("stop_reason", sa.String(120)),
    Column("output_valid", sa.Boolean),
    Column("output_chars", sa.BigInteger),
    Column("error_type", sa.String(64)),
    Column("error_stage", sa.String(40)),
    Column("http_status", sa.Integer),
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
    Column("input_tokens", sa.BigInteger),
    Column("cache_read_input_tokens", sa.BigInteger),
    Column("cache_creation_input_tokens", sa.BigInteger),
    Column("cache_creation_5m_input_tokens", sa.BigInteger),
    Column("cache_creation_1h_input_tokens", sa.BigInteger),
    Column("output_tokens", sa.BigInteger),
    Column("usage_quality", sa.String(20)),
    Column("first_call_input_tokens", sa.BigInteger),
    Column("first_call_cache_read_input_tokens", sa.BigInteger),
    Column("first_call_cache_creation_input_tokens", sa.BigInteger),
    Column("first_call_output_tokens", sa.BigInteger),
    Column("reserved_nanousd", sa.BigInteger),
    Column("cost_nanousd", sa.BigInteger),
    Column("runtime_cost_nanousd", sa.BigInteger),
    Column("tool_cost_nanousd", sa.BigInteger),
    Column("price_version", sa.String(64)),
    Column("platform_list_cost_nanousd", sa.BigInteger),
    Column("iterations", sa.Integer),
    Column("tool_calls", sa.Integer),
    Column("tool_errors", sa.Integer),
    Column("retries", sa.Integer),
    Column("provider_request_id", sa.String(120)),
    Column("session_id", sa.String(120)),
    Column("agent_id", sa.String(120)),
    Column("agent_version", sa.BigInteger),
    Column("prefix_fingerprint", sa.String(64)),
    Column("prompt_fingerprint", sa.String(64)),
    Column("repository", sa.String(1024)),
    Column("commit_sha", sa.String(64)),
)
_TURN = ("tenant", "feature", "conversation_id", "turn", "attempt", "role")

_CALLS = (
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

_REGISTRATIONS = (
    Column("registration_id", sa.String(36), primary_key=True),
    Column("record", sa.String(64), nullable=False),
    Column("origin", sa.String(16), nullable=False),
    Column("epoch", sa.Integer, nullable=False),
    Column("candidate_hash", sa.String(64), nullable=False),
    Column("record_hash", sa.String(64), nullable=False),
    Column("block", sa.Text, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False, server_default=DatabaseNow()),
    Column("start_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("record", "origin", "epoch", name="uq_adr_registrations_epoch"),
)


def upgrade() -> None:
    """Create the tables."""
    create_log(_LOGS, "uq_ai_outbound_logs_turn", _TURN)
    index_log("ix_ai_outbound_logs_created_at", ["created_at"])
    index_log("ix_ai_outbound_logs_feature_origin_created_at", ["feature", "origin", "created_at"])
    op.create_table("ai_outbound_calls", *_CALLS)
    op.create_table("adr_registrations", *_REGISTRATIONS)
