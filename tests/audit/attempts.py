"""Attempts for tests of the log; imported by the tests and by the programs that they start and kill."""

from __future__ import annotations

import datetime as dt
from typing import Any

from dispatcher.action.observation import ZERO_USAGE, Call, EndedBy, Status, UsageQuality
from dispatcher.action.transcript import TranscriptForm
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Origin, Role, new_log_id

BEGAN = dt.datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=dt.UTC)


def an_opening(**changes: Any) -> AttemptOpening:
    fields: dict[str, Any] = {
        "log_id": new_log_id(),
        "dispatch_id": new_log_id(),
        "attempt": 1,
        "role": Role.SERVED,
        "origin": Origin.PRODUCTION,
        "time_scale": 1.0,
        "feature": "agent_research",
        "tenant": "script",
        "project": "kendo",
        "conversation_id": None,
        "turn": None,
        "actor": "ada",
        "created_at": BEGAN,
        "deadline_at": BEGAN + dt.timedelta(seconds=600),
        "owner": "host/boot/4026531836/42/99",
        "path": "messages",
        "variant": "legacy",
        "routed_variant": "legacy",
        "variant_hash": "0123456789abcdef",
        "model": "claude-sonnet-4-6",
        "reason": "share",
        "flag": "agent_research",
        "flag_version": "f00d",
        "flag_stale": False,
        "assignment_key": "script",
        "assignment_share": 0.67,
        "iteration_cap": 20,
        "transcript_form": TranscriptForm.NATIVE,
        "repository": "/src/kendo",
        "commit_sha": "a" * 40,
    }
    return AttemptOpening(**(fields | changes))


def an_ending(**changes: Any) -> AttemptEnding:
    """A plain success that knows every figure, each a different number."""
    names = [name for name, kind in AttemptEnding.__annotations__.items() if kind in {"int", "int | None"}]
    fields: dict[str, Any] = {name: 1000 + place for place, name in enumerate(names)}
    fields |= {name: f"the {name}" for name, kind in AttemptEnding.__annotations__.items() if kind == "str | None"}
    fields |= {
        "status": Status.SUCCESS,
        "finished_at": BEGAN + dt.timedelta(seconds=19),
        "ended_by": EndedBy.COMPLETED,
        "output_valid": True,
        "error_type": None,
        "error_stage": None,
        "usage_quality": UsageQuality.REPORTED,
        "transcript_form": TranscriptForm.FLATTENED,
    }
    return AttemptEnding(**(fields | changes))


def a_call(**changes: Any) -> Call:
    fields: dict[str, Any] = {
        "ordinal": 1,
        "model": "claude-sonnet-4-6",
        "usage": ZERO_USAGE,
        "latency_ms": 900,
        "stop_reason": "end_turn",
        "request_id": "req_1",
        "cost_nanousd": 5_000,
        "prompt_fingerprint": None,
    }
    return Call(**(fields | changes))
