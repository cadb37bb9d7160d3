"""Rows of the log with money in them, for tests."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.tables import calls, logs
from dispatcher.prices import PriceTable

BEGAN = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)
PRICES = PriceTable.load(Path(__file__).parents[2] / "policies" / "prices.yml")
NEWER = PRICES.model_copy(update={"version": "newer", "session_hour": 2 * PRICES.session_hour})
"""A price table in which the running time of a session costs twice as much."""
USED = {
    "input_tokens": 1_000,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_creation_5m_input_tokens": 0,
    "cache_creation_1h_input_tokens": 0,
    "output_tokens": 100,
}
# 1 000 · 3 000 + 100 · 15 000
REQUEST_NANOUSD = 4_500_000
# 90 s of a session are $0.002.
RUNTIME_NANOUSD = 2_000_000


def put(engine: sa.Engine, log_id: str, **changes: Any) -> None:
    """An ended row with one model request of Sonnet 4.6, and with it what the changes say."""
    row = {
        "log_id": log_id,
        "dispatch_id": log_id,
        "attempt": 1,
        "role": "served",
        "origin": "production",
        "time_scale": 1.0,
        "feature": "agent_research",
        "tenant": "script",
        "created_at": BEGAN,
        "path": "messages",
        "status": "success",
        "response_time_ms": 19_000,
        "usage_quality": "reported",
        "cost_nanousd": REQUEST_NANOUSD,
        "runtime_cost_nanousd": 0,
        "tool_cost_nanousd": 0,
        "price_version": PRICES.version,
        **USED,
        **changes,
    }
    request = {"log_id": log_id, "ordinal": 1, "model": "claude-sonnet-4-6", "cost_nanousd": REQUEST_NANOUSD, **USED}
    with engine.begin() as connection:
        connection.execute(sa.insert(logs), row)
        connection.execute(sa.insert(calls), request)


def put_turn(engine: sa.Engine, log_id: str, list_cost_cents: int | None = 1, **changes: Any) -> None:
    """A turn of a managed session that ran for 90 s."""
    put(
        engine,
        log_id,
        **{
            "path": "managed",
            "session_id": "sesn_1",
            "active_ms": 90_000,
            "runtime_cost_nanousd": RUNTIME_NANOUSD,
            "cost_nanousd": REQUEST_NANOUSD + RUNTIME_NANOUSD,
            "platform_list_cost_nanousd": None if list_cost_cents is None else list_cost_cents * 10_000_000,
            **changes,
        },
    )


def everything(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    """All rows of a table by its key."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]
