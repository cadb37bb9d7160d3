"""The progress of a dispatch, event by event, for a person to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatcher.action import event as happened


def progress_line(event: happened.Event) -> str | None:
    """An event in one line; None for one that tells a person nothing new."""
    told = _LINES.get(type(event))
    return None if told is None else told(event)


def _attempt_started(event: happened.AttemptStarted) -> str | None:
    return f"→ falling back to {event.variant}" if event.attempt > 1 else None


def _request_finished(event: happened.RequestFinished) -> str:
    usage = event.call.usage
    return f"  model request {event.call.ordinal}: {usage.prompt_tokens} tokens in, {usage.output_tokens} out"


_LINES: dict[type, Callable[[Any], str | None]] = {
    happened.Decided: lambda event: (
        f"→ {event.decision.variant.name} on the {event.decision.path} path ({event.decision.reason})"
    ),
    happened.AttemptStarted: _attempt_started,
    happened.RequestFinished: _request_finished,
    happened.ToolFinished: lambda event: f"    {event.name or 'a tool'} {'failed' if event.failed else 'answered'}",
    happened.RetryScheduled: lambda event: f"  {event.error_type}: once more in {event.wait_s:.1f} s",
    happened.CapReached: lambda event: f"  {event.ended_by} reached: asking for the answer",
    happened.RepairRequested: lambda _event: "  the answer isn't of the required form: asking once more",
}
