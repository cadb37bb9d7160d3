"""Rows that a process left open a while ago, for tests of the sweep."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.record import new_log_id
from dispatcher.audit.tables import idempotency_keys, logs

HOUR = dt.timedelta(hours=1)
GONE = "elsewhere/00000000-0000-0000-0000-000000000000/4026531836/42/99"


def now_of(engine: sa.Engine) -> dt.datetime:
    """Now, by the database's clock."""
    with engine.connect() as connection:
        return connection.execute(sa.select(DatabaseNow())).scalar_one()


def left_open(engine: sa.Engine, *, overdue: dt.timedelta = HOUR, **changes: Any) -> str:
    """A row whose attempt had a deadline of ten minutes, and which is overdue for some time; returns its `log_id`."""
    return many_left_open(engine, 1, overdue=overdue, **changes)[0]


def many_left_open(engine: sa.Engine, count: int, *, overdue: dt.timedelta = HOUR, **changes: Any) -> list[str]:
    """Such rows, inserted together; returns their ids."""
    began = now_of(engine) - overdue - dt.timedelta(minutes=11)
    values: dict[str, Any] = {
        "attempt": 1,
        "role": "served",
        "origin": "production",
        "time_scale": 1.0,
        "feature": "agent_research",
        "tenant": "script",
        "created_at": began,
        "recorded_at": began,
        "deadline_at": began + dt.timedelta(minutes=10),
        "owner": GONE,
        "path": "messages",
        "variant": "legacy",
        "routed_variant": "legacy",
        "variant_hash": "0123456789abcdef",
        "model": "claude-sonnet-4-6",
        "reason": "share",
        "flag_stale": False,
        "iteration_cap": 20,
        "transcript_form": "native",
        "status": "started",
    }
    made = [{"log_id": new_log_id(), "dispatch_id": new_log_id()} | values | changes for _ in range(count)]
    with engine.begin() as connection:
        connection.execute(sa.insert(logs), made)
    return [str(row["log_id"]) for row in made]


def held_key(engine: sa.Engine, log_id: str, key: str, request_hash: str) -> None:
    """The row's dispatch holds an idempotency key."""
    with engine.begin() as connection:
        row = connection.execute(sa.select(logs).where(logs.c.log_id == log_id)).mappings().one()
        claim = {name: row[name] for name in ("tenant", "feature", "dispatch_id", "log_id")}
        claim |= {"idempotency_key": key, "request_hash": request_hash, "claimed_at": row["created_at"]}
        connection.execute(sa.insert(idempotency_keys).values(claim))


def ended_as(engine: sa.Engine, log_id: str) -> dict[str, Any]:
    """The row as it stands."""
    with engine.connect() as connection:
        return dict(connection.execute(sa.select(logs).where(logs.c.log_id == log_id)).mappings().one())
