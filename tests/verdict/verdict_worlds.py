"""Small worlds: rows written through the real tables, and records to judge them by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.adr.document import Acceptance, Record, Status
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.registrations import Registration, append_registration
from dispatcher.audit.tables import logs, metadata
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Measurement
from dispatcher.verdict.measurement.measure import measure
from dispatcher.verdict.measurement.population import Population
from dispatcher.verdict.reach import reach_verdict

START = dt.datetime(2026, 6, 1, 8, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)
LEGACY, MANAGED = "legacy", "managed-haiku-4-5-cap8"
HASHES = {LEGACY: "a" * 16, MANAGED: "b" * 16}
SHARES = {LEGACY: 0.33, MANAGED: 0.67}

COST: dict[str, Any] = {
    "id": "AC-6",
    "says": "the mean cost of a dispatch, failures included, is at most 0.5 x that of the control in the same weeks",
    "severity": "gate",
    "measure": "cost",
    "aggregate": "mean",
    "at_most": {"times_control": 0.5},
    "baseline": {"source": "concurrent-control"},
}
P95: dict[str, Any] = {
    "id": "AC-7",
    "says": "p95 wall time stays at or below 1.5 x current production, 28036 ms over 36 calls, that is 42054 ms",
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
VALID: dict[str, Any] = {
    "id": "AC-V",
    "says": "at least 95 % of the dispatches end with a valid report",
    "severity": "guard",
    "measure": "output_valid",
    "aggregate": "rate",
    "at_least": {"value": 0.95},
    "baseline": {"source": "own-target"},
}


def block(*criteria: dict[str, Any], **changed: Any) -> Acceptance:
    """An acceptance block with these criteria, by default all three of KD-0650."""
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
        "criteria": list(criteria or (COST, P95, VALID)),
    }
    return Acceptance.model_validate(stated | changed)


def record(acceptance: Acceptance) -> Record:
    return Record(
        id="KD-0001",
        title="A small record",
        status=Status.PROPOSED,
        date=dt.date(2026, 5, 30),
        deciders=("someone",),
        supersedes=(),
        superseded_by=None,
        sections={},
        acceptance=acceptance,
        path=Path("KD-0001-a-small-record.md"),
    )


@cache
def memory() -> sa.Engine:
    """One database in memory for all examples: creating one takes longer than an example does."""
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine)
    return engine


class World:
    """A log that is being written; every row is a finished success of the drawn assignment unless told otherwise."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._written = 0

    def row(self, at: dt.datetime, variant: str = MANAGED, **changed: Any) -> str:
        """One row; returns its dispatch id."""
        made = self.made(at, variant, **changed)
        self.write([made])
        return str(made["dispatch_id"])

    def rows(self, count: int, variant: str = MANAGED, *, at: dt.datetime = START + MINUTE, **changed: Any) -> None:
        """Many conversations of one dispatch each, a minute apart, their costs differing a little."""
        usual = 10_000_000 if variant == MANAGED else 100_000_000
        made = []
        for number in range(count):
            costs = {"cost_nanousd": usual + number % 7 * usual // 100} | changed
            made.append(self.made(at + number * MINUTE, variant, **costs))
        self.write(made)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Rows that state the same columns."""
        if rows:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(logs), rows)

    def made(
        self, at: dt.datetime, variant: str = MANAGED, *, ms: int | None = 20_000, **changed: Any
    ) -> dict[str, Any]:
        """A row that isn't written yet."""
        self._written += 1
        lasted = dt.timedelta(milliseconds=20_000 if ms is None else ms)
        return {
            "log_id": new_log_id(),
            "dispatch_id": f"dispatch-{self._written}",
            "attempt": 1,
            "role": "served",
            "origin": "production",
            "time_scale": 1.0,
            "feature": "agent_research",
            "tenant": "script",
            "conversation_id": f"conversation-{self._written}",
            "turn": self._written,
            "created_at": at,
            "recorded_at": at,
            "landed_at": at + lasted,
            "variant": variant,
            "routed_variant": variant,
            "variant_hash": HASHES.get(variant),
            "reason": "share",
            "assignment_share": SHARES.get(variant),
            "status": "success",
            "ended_by": "completed",
            "output_valid": True,
            "response_time_ms": ms,
            "input_tokens": 1000,
            "output_tokens": 500,
            "cost_nanousd": 10_000_000 if variant == MANAGED else 100_000_000,
        } | changed

    def register(
        self,
        acceptance: Acceptance,
        *,
        at: dt.datetime = START,
        origin: Origin = Origin.PRODUCTION,
        epoch: int = 1,
        candidate_hash: str = HASHES[MANAGED],
    ) -> None:
        registration = Registration(
            record="KD-0001",
            origin=origin,
            epoch=epoch,
            start=at,
            candidate_hash=candidate_hash,
            record_hash=acceptance.hash,
            block=acceptance.canonical,
        )
        assert append_registration(self.engine, registration)

    def measured(self, acceptance: Acceptance, as_of: dt.datetime, *, start: dt.datetime | None = START) -> Measurement:
        looks = Looks(
            start=start,
            as_of=as_of,
            window=acceptance.unit.window,
            settle=acceptance.looks.settle,
            max_weeks=acceptance.looks.max_weeks,
        )
        hash_ = None if start is None else HASHES[MANAGED]
        return measure(self.engine, Population(acceptance, Origin.PRODUCTION, looks, hash_))

    def judged(self, acceptance: Acceptance, as_of: dt.datetime, origin: Origin = Origin.PRODUCTION) -> Verdict:
        return reach_verdict(record(acceptance), origin, as_of, self.engine)
