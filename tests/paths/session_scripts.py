"""Sessions written down, event by event."""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]

AWAIT_ANSWER: Event = {"type": "await answer"}
"""In a script: go on once the client has answered everything that is waited for."""
FOREVER: Event = {"type": "forever"}
"""In a script: run on, without a word, until somebody interrupts."""

MESSAGE_ID = "sevt_message"
REPORT = {"summary": "It is read there.", "findings": [{"claim": "c", "file": "a.py", "line": 1, "evidence": "e"}]}
INVALID_REPORT = {"summary": "It is read there.", "findings": []}


def request_start(number: int) -> Event:
    return {"type": "span.model_request_start", "id": f"sevt_start_{number}"}


def request_end(number: int, *, uncached: int = 10, output: int = 5, read: int = 0, written: int = 0) -> Event:
    usage = {
        "input_tokens": uncached,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
    }
    return {
        "type": "span.model_request_end",
        "id": f"sevt_end_{number}",
        "model_request_start_id": f"sevt_start_{number}",
        "is_error": False,
        "model_usage": usage,
    }


def tool_use(event_id: str, name: str = "read") -> Event:
    return {"type": "agent.tool_use", "id": event_id, "name": name, "input": {}}


def asking(event_id: str, name: str = "read") -> Event:
    """A tool use that waits for our permission."""
    return {**tool_use(event_id, name), "evaluated_permission": "ask", "evaluation": {"type": "always_ask"}}


def tool_result(event_id: str) -> Event:
    return {"type": "agent.tool_result", "id": f"{event_id}_result", "tool_use_id": event_id, "is_error": False}


def custom_use(event_id: str, value: object, name: str = "submit_result") -> Event:
    return {"type": "agent.custom_tool_use", "id": event_id, "name": name, "input": value}


def message(event_id: str, text: str) -> Event:
    return {"type": "agent.message", "id": event_id, "content": [{"type": "text", "text": text}]}


def idle(event_id: str, reason: str = "end_turn") -> Event:
    return {"type": "session.status_idle", "id": event_id, "stop_reason": {"type": reason}}


def requires(event_id: str, *use_ids: str) -> Event:
    reason = {"type": "requires_action", "event_ids": list(use_ids)}
    return {"type": "session.status_idle", "id": event_id, "stop_reason": reason}


def error(kind: str, retry: str = "exhausted") -> Event:
    told = {"type": kind, "message": "told", "retry_status": {"type": retry}}
    return {"type": "session.error", "id": f"sevt_{kind}", "error": told}


def interrupt(event_id: str = "sevt_stranger") -> Event:
    return {"type": "user.interrupt", "id": event_id, "processed_at": None}


def echo(event_id: str = MESSAGE_ID) -> Event:
    return {"type": "user.message", "id": event_id, "content": []}


SUBMITS = (
    echo(),
    {"type": "session.status_running", "id": "sevt_running"},
    request_start(1),
    tool_use("sevt_read"),
    request_end(1, written=100),
    tool_result("sevt_read"),
    request_start(2),
    custom_use("sevt_submit", REPORT),
    request_end(2, read=100, written=7),
    {"type": "session.usage", "id": "sevt_usage_1"},
    requires("sevt_waits", "sevt_submit"),
    AWAIT_ANSWER,
    request_start(3),
    request_end(3, read=107),
    {"type": "session.usage", "id": "sevt_usage_2"},
    idle("sevt_idle"),
)
"""A run that reads once and submits its report in the second of three requests."""
