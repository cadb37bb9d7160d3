"""What the events of a managed session say: a pure reducer.

Events arrive more than once and in batches: a user event is echoed when it is queued and again when it is processed,
and after a broken stream the whole history is read again. So an event counts once, by its id, and only after our own
message. Events are told apart by `type` alone, because the SDK gives an unknown one the class of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from dispatcher.action.report import ResearchReport
from dispatcher.paths.wire import word

Event = Mapping[str, Any]
"""An event in its JSON form; nothing in it is validated."""


class Stop(StrEnum):
    """Why we stop a session ourselves."""

    ITERATION_CAP = "iteration_cap"
    REPOSITORY = "repository"
    OUTPUT_INVALID = "output_invalid"
    INTERRUPTED = "interrupted"
    """Somebody else interrupted it: what it does now is no longer the answer to our message."""
    UNKNOWN_ACTION = "unknown_action"
    """It waits for something that it was never offered."""


class End(StrEnum):
    """How a turn ended by itself."""

    IDLE = "idle"
    GONE = "gone"
    """The session was terminated or deleted."""


@dataclass(frozen=True, slots=True)
class CustomUse:
    """One call of a custom tool; `input` is as the model wrote it."""

    use_id: str
    name: str
    input: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is known of the reply to the latest model request."""

    start_id: object = None
    ended: bool = False
    uses_tools: bool = False
    awaits_us: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """A report that satisfies the schema; `chars` is the length of the JSON text it came in."""

    report: ResearchReport
    chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnState:
    """Everything that the events after our message have said so far.

    `message_id` is the id of our message, empty while it isn't known; nothing counts until it is.
    `requests` counts model requests begun. `required` are the ids that the session waits for, `answered` those that
    were answered, and `corrected` says that a report was sent back. `dead` and `repository_error` are types of a
    `session.error` that leaves nothing to wait for. `interrupted` is a `user.interrupt` that isn't ours and came
    before a report was accepted. `stop_reason` is the provider's word at the latest idle.
    """

    iteration_cap: int
    message_id: str = ""
    begun: bool = False
    seen: frozenset[str] = frozenset()
    requests: int = 0
    reply: Reply = Reply()
    custom_uses: tuple[CustomUse, ...] = ()
    required: tuple[str, ...] = ()
    answered: frozenset[str] = frozenset()
    corrected: bool = False
    accepted: Submission | None = None
    last_text: str | None = None
    dead: str | None = None
    repository_error: str | None = None
    interrupted: bool = False
    stopped: Stop | None = None
    stop_reason: str | None = None
    end: End | None = None

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The ids that the session waits for."""
        return tuple(use_id for use_id in self.required if use_id not in self.answered)


def reduce(state: TurnState, event: Event) -> TurnState:
    """The state after an event; the same object where the event says nothing new."""
    kind, event_id = event.get("type"), event.get("id")
    if kind in {"event_start", "event_delta"}:
        return state
    if not state.begun:
        if not event_id or event_id != state.message_id:
            return state
        state = replace(state, begun=True)
    if isinstance(event_id, str) and event_id:
        if event_id in state.seen:
            return state
        state = replace(state, seen=state.seen | {event_id})
    rule = _RULES.get(kind) if isinstance(kind, str) else None
    return rule(state, event) if rule else state


def inner(event: Event, *names: str) -> Any:
    """A value inside an event; None where anything on the way is missing or of another form."""
    value: Any = event
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _request_started(state: TurnState, event: Event) -> TurnState:
    return replace(state, requests=state.requests + 1, reply=Reply(start_id=event.get("id")))


def _request_ended(state: TurnState, event: Event) -> TurnState:
    if event.get("model_request_start_id") != state.reply.start_id:
        return state
    return replace(state, reply=replace(state.reply, ended=True))


def _tool_used(state: TurnState, _event: Event) -> TurnState:
    return replace(state, reply=replace(state.reply, uses_tools=True))


def _custom_tool_used(state: TurnState, event: Event) -> TurnState:
    use = CustomUse(str(event.get("id")), str(event.get("name")), event.get("input"))
    return replace(state, reply=replace(state.reply, awaits_us=True), custom_uses=(*state.custom_uses, use))


def _custom_tool_answered(state: TurnState, event: Event) -> TurnState:
    return replace(state, answered=state.answered | {str(event.get("custom_tool_use_id"))})


def _message(state: TurnState, event: Event) -> TurnState:
    content = event.get("content")
    blocks = content if isinstance(content, list) else []
    return replace(
        state, last_text="".join(t for t in (inner(block, "text") for block in blocks) if isinstance(t, str))
    )


def _interrupted(state: TurnState, _event: Event) -> TurnState:
    # Once we sent an interrupt ourselves, whose echo this is changes nothing, and an echo may come without its id.
    if state.stopped is not None or state.accepted is not None:
        return state
    return replace(state, interrupted=True)


def _errored(state: TurnState, event: Event) -> TurnState:
    kind = word(inner(event, "error", "type")) or "of no type"
    if kind.startswith("repository_"):
        return replace(state, repository_error=kind)
    if inner(event, "error", "retry_status", "type") in {"exhausted", "terminal"}:
        return replace(state, dead=kind)
    return state


def _idle(state: TurnState, event: Event) -> TurnState:
    if state.end is not None:
        return state
    reason = inner(event, "stop_reason", "type")
    state = replace(state, stop_reason=word(reason))
    if reason != "requires_action":
        # A reason that isn't known is still an end: waiting on would last until the deadline.
        return replace(state, end=End.IDLE)
    required = inner(event, "stop_reason", "event_ids")
    return replace(state, required=tuple(map(str, required)) if isinstance(required, list) else ())


def _gone(state: TurnState, _event: Event) -> TurnState:
    return replace(state, end=state.end or End.GONE)


_RULES: Mapping[str, Callable[[TurnState, Event], TurnState]] = {
    "span.model_request_start": _request_started,
    "span.model_request_end": _request_ended,
    "agent.tool_use": _tool_used,
    "agent.mcp_tool_use": _tool_used,
    "agent.custom_tool_use": _custom_tool_used,
    "user.custom_tool_result": _custom_tool_answered,
    "agent.message": _message,
    "user.interrupt": _interrupted,
    "session.error": _errored,
    "session.status_idle": _idle,
    "session.status_terminated": _gone,
    "session.deleted": _gone,
}
