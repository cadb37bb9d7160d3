"""Builders of small worlds for the verdict's tests."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from dispatcher.adr.document import Acceptance, Record, Status
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.registrations import Registration, append_registration
from dispatcher.audit.tables import logs
from dispatcher.verdict.looks import Looks

START = dt.datetime(2026, 6, 1, 8, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)
LEGACY, MANAGED = "legacy", "managed-haiku-4-5-cap8"
HASHES = {LEGACY: "a" * 16, MANAGED: "b" * 16}

COST = {
    "id": "AC-6",
    "says": "the mean cost of a dispatch, failures included, is at most 0.5 × that of the control in the same weeks",
    "severity": "gate",
    "measure": "cost",
    "aggregate": "mean",
    "at_most": {"times_control": 0.5},
    "baseline": {"source": "concurrent-control"},
}
P95 = {
    "id": "AC-7",
    "says": "p95 wall time stays at or below 1.5 × current production, 28036 ms over 36 calls, that is 42054 ms",
    "severity": "gate",
    "measure": "response_time_ms",
    "aggregate": "p95",
    "at_most": {"times_baseline": 1.5},
    "baseline": {
        "source": "production-telemetry",
        "published": True,
        "where": {"feature": "agent_research", "status": "success", "tenant": "script"},
        "window": ["2026-04-09", "2026-05-09"],
        "n": 36,
        "value": 28036,
        "treat_as": "contract",
    },
}
VALID = {
    "id": "AC-V",
    "says": "at least 95 % of the dispatches end with a valid report",
    "severity": "guard",
    "measure": "output_valid",
    "aggregate": "rate",
    "at_least": {"value": 0.95},
    "baseline": {"source": "own-target"},
}


def block(*criteria: dict[str, Any], **changed: Any) -> Acceptance:
    stated: dict[str, Any] = {
        "schema": 1,
        "feature": "agent_research",
        "candidate": {"variant": MANAGED},
        "control": {"variant": LEGACY},
        "tenants": {"script": 1.0},
        "traffic": {"dispatches_per_month": 36, "dispatches_per_conversation": 1},
        "looks": {"cadence": "weekly", "method": "anytime", "alpha": 0.05, "max_weeks": 52, "settle": "24h"},
        "unit": {"by": "conversation", "window": "0d"},
        "assignment": {"kind": "sticky_share", "by": "conversation", "share": 0.67},
        "max_unknown_share": 0.02,
        "on_rollback": "report",
        "criteria": list(criteria),
    }
    return Acceptance.model_validate(stated | changed)


def record(acceptance: Acceptance, name: str = "KD-0001") -> Record:
    from pathlib import Path

    return Record(
        id=name,
        title="A small record",
        status=Status.PROPOSED,
        date=dt.date(2026, 5, 30),
        deciders=("someone",),
        supersedes=(),
        superseded_by=None,
        sections={},
        acceptance=acceptance,
        path=Path(f"{name}-small.md"),
    )


def looks_of(acceptance: Acceptance, as_of: dt.datetime, start: dt.datetime | None = START) -> Looks:
    return Looks(
        start=start,
        as_of=as_of,
        window=acceptance.unit.window,
        settle=acceptance.looks.settle,
        max_weeks=acceptance.looks.max_weeks,
    )


class World:
    """A log that is being written; every row is a finished success of the drawn assignment unless told otherwise."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._rows = 0

    def row(self, at: dt.datetime, variant: str = MANAGED, *, ms: int | None = 20_000, **changed: Any) -> str:
        """One row; `landed_at` follows from the wall time, and `None` leaves the row as it was opened."""
        self._rows += 1
        number = self._rows
        lasted = dt.timedelta(milliseconds=ms if ms is not None else 20_000)
        row: dict[str, Any] = {
            "log_id": new_log_id(),
            "dispatch_id": f"dispatch-{number}",
            "attempt": 1,
            "role": "served",
            "origin": "production",
            "time_scale": 1.0,
            "feature": "agent_research",
            "tenant": "script",
            "conversation_id": f"conversation-{number}",
            "created_at": at,
            "recorded_at": at,
            "landed_at": at + lasted,
            "variant": variant,
            "routed_variant": variant,
            "variant_hash": HASHES.get(variant),
            "reason": "share",
            "assignment_share": 0.67 if variant == MANAGED else 0.33,
            "status": "success",
            "ended_by": "completed",
            "output_valid": True,
            "response_time_ms": ms,
            "input_tokens": 1000,
            "output_tokens": 500,
            "cost_nanousd": 10_000_000 if variant == MANAGED else 100_000_000,
        } | changed
        with self.engine.begin() as connection:
            connection.execute(sa.insert(logs).values(row))
        return str(row["dispatch_id"])

    def rows(self, count: int, variant: str = MANAGED, *, at: dt.datetime = START + MINUTE, **changed: Any) -> None:
        """Many conversations of one dispatch each, a minute apart."""
        for number in range(count):
            self.row(at + number * MINUTE, variant, **changed)

    def register(
        self, acceptance: Acceptance, *, origin: Origin = Origin.PRODUCTION, epoch: int = 1, at: dt.datetime = START
    ) -> None:
        registration = Registration(
            record="KD-0001",
            origin=origin,
            epoch=epoch,
            start=at,
            candidate_hash=HASHES[MANAGED],
            record_hash=acceptance.hash,
            block=acceptance.canonical,
        )
        assert append_registration(self.engine, registration)
