"""Millions of rows of a log, made by PostgreSQL itself."""

from __future__ import annotations

import sqlalchemy as sa

TURNS = 5
"""Dispatches of a conversation."""
WEEKS = 10
START = "2026-06-01 08:00:00+00"

# A draw by conversation, conversations of five turns within an hour, tenants of very different size, 1 % errors of
# which a third has a fallback, and integer figures throughout. `hashint8extended` gives the same ones in every run.
_ROWS = """
INSERT INTO ai_outbound_logs (
  log_id, dispatch_id, attempt, role, origin, time_scale, feature, tenant, project, conversation_id, turn,
  created_at, finished_at, recorded_at, landed_at, owner, path, variant, routed_variant, variant_hash, model, reason,
  flag, flag_version, assignment_key, assignment_share, iteration_cap, status, ended_by, stop_reason, output_valid,
  output_chars, error_type, response_time_ms, ready_ms, first_token_ms, remainder_ms, input_tokens,
  cache_read_input_tokens, output_tokens, first_call_input_tokens, first_call_cache_read_input_tokens, cost_nanousd,
  price_version, iterations, tool_calls, provider_request_id)
SELECT
  '00000000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'),
  '00000000-0000-7000-9000-' || lpad(to_hex(number), 12, '0'),
  1, 'served', 'production', 1, 'agent_research', 'tenant-' || tenant, 'main',
  md5(conversation::text)::uuid::text, turn,
  began, began + wall * interval '1 ms', began + interval '4 ms', began + (wall + 7) * interval '1 ms',
  'host-' || number % 20, CASE WHEN candidate THEN 'managed' ELSE 'messages' END,
  CASE WHEN candidate THEN 'managed-haiku-4-5-cap8' ELSE 'legacy' END,
  CASE WHEN candidate THEN 'managed-haiku-4-5-cap8' ELSE 'legacy' END,
  CASE WHEN candidate THEN 'bbbbbbbbbbbbbbbb' ELSE 'aaaaaaaaaaaaaaaa' END, 'claude-haiku-4-5',
  CASE WHEN turn = 1 THEN 'share' ELSE 'sticky' END, 'agent_research', 'v1', md5(conversation::text), 0.5, 8,
  CASE WHEN failed THEN 'error' ELSE 'success' END, CASE WHEN failed THEN 'error' ELSE 'completed' END, 'end_turn',
  CASE WHEN failed THEN NULL ELSE number % 97 <> 0 END, 4000, CASE WHEN failed THEN 'overloaded_error' END,
  wall, 40, wall / 4, 3, 800, 2000, 700, 600, 1500, wall * 1000 + number % 1000, 'v1', 4, 6,
  'req_' || lpad(to_hex(number), 20, '0')
FROM (
  SELECT number, conversation, turn, candidate, tenant, failed,
    (900 * exp(0.9 * sqrt(-2 * ln(1 - u)) * cos(6.283185307 * v)))::bigint + 5 AS wall,
    timestamptz '{start}' + (conversation % {minutes}) * interval '1 minute'
      + (turn - 1) * interval '7 minutes' + (number % 997) * interval '1 ms' AS began
  FROM (
    SELECT number, number / {turns} AS conversation, (number % {turns} + 1)::int AS turn,
      hashint8extended(number / {turns}, 1) & 1 = 0 AS candidate,
      floor({tenants} * power(((hashint8extended(number / {turns}, 2) & 1048575) / 1048576.0)::double precision, 3)
        )::int AS tenant,
      hashint8extended(number, 3) & 127 = 0 AS failed,
      ((hashint8extended(number, 4) & 16777215) / 16777216.0)::double precision AS u,
      ((hashint8extended(number, 5) & 16777215) / 16777216.0)::double precision AS v
    FROM generate_series({first}::bigint, {last}::bigint) AS number
  ) AS drawn
) AS made
"""

_FALLBACKS = """
INSERT INTO ai_outbound_logs (
  log_id, dispatch_id, attempt, role, origin, time_scale, feature, tenant, conversation_id, turn, created_at,
  recorded_at, landed_at, path, variant, routed_variant, variant_hash, reason, assignment_share, status, ended_by,
  output_valid, response_time_ms, input_tokens, output_tokens, cost_nanousd)
SELECT
  '00000000-0000-7000-a000-' || right(log_id, 12), dispatch_id, 2, 'fallback', origin, 1, feature, tenant,
  conversation_id, turn, landed_at, landed_at, landed_at + interval '2 s', 'messages', 'legacy', routed_variant,
  'aaaaaaaaaaaaaaaa', reason, assignment_share, 'success', 'completed', true, 2000, 900, 100, 5000000
FROM ai_outbound_logs
WHERE status = 'error' AND attempt = 1 AND hashtext(log_id) % 3 = 0
"""


def fill(engine: sa.Engine, rows: int, tenants: int) -> None:
    """Write the rows, index and vacuum; indexes are made after the rows, as it is faster."""
    figures = {"start": START, "turns": TURNS, "tenants": tenants, "minutes": WEEKS * 7 * 24 * 60 - 60}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        indexes = connection.exec_driver_sql(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'ai_outbound_logs' AND indexname LIKE 'ix_%%'"
        ).all()
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        for first in range(0, rows, 1_000_000):
            last = min(rows, first + 1_000_000) - 1
            connection.exec_driver_sql(_ROWS.format(first=first, last=last, **figures).replace("%", "%%"))
        connection.exec_driver_sql(_FALLBACKS.replace("%", "%%"))
        for _, made in indexes:
            connection.exec_driver_sql(made)
        connection.exec_driver_sql("VACUUM (ANALYZE) ai_outbound_logs")
