"""What the events of a managed session say: a pure reducer.

Events arrive more than once and in batches: a user event is echoed when it is queued and again when it is processed,
and after a broken stream the whole history is read again. So an event counts once, by its id, and only after our own
message; only that the repository could not be mounted may be told before it. Events are told apart by `type` alone,
because the SDK gives an unknown one the class of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from dispatcher.action.decision import Caps
from dispatcher.action.observation import EndedBy
from dispatcher.action.report import ResearchReport
from dispatcher.paths.managed.event import Event, inner, loses_repository, texts_of
from dispatcher.paths.wire import word


class Stop(StrEnum):
    """Why we stop a session ourselves."""

    ITERATION_CAP = "iteration_cap"
    TOOL_CALL_CAP = "tool_call_cap"
    TOKEN_CAP = "token_cap"  # noqa: S105 - a model's tokens
    COST_CAP = "cost_cap"
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


@dataclass(frozen=True, slots=True)
class ToolAsk:
    """One call of a built-in tool that waits for our permission."""

    use_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is known of the reply to the latest model request; `calls_before` counts the tool calls before it."""

    start_id: str | None = None
    ended: bool = False
    uses_tools: bool = False
    awaits_us: bool = False
    calls_before: int = 0

    @property
    def is_running(self) -> bool:
        """Whether the request has begun and not ended."""
        return self.start_id is not None and not self.ended


@dataclass(frozen=True, slots=True)
class Submission:
    """A report that satisfies the schema; `chars` is the length of the JSON text it came in."""

    report: ResearchReport
    chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnState:
    """Everything that the events after our message have said so far.

    `message_id` is the id of our message, empty while it isn't known; nothing counts until it is. `caps` are those in
    force and `grace` is how many requests may follow a cap for the answer alone.
    `requests` counts model requests begun and `tool_calls` the calls of built-in tools that run or ran. `required` are
    the ids that the session waits for, `answered` those that we answered, `told` those whose answer has arrived there,
    and `corrected` says that a report was sent back. `capped` is the cap that the model was told is reached, and
    `answer_by` the last request for its answer. `dead` and `repository_error` are types of a `session.error` that
    leaves nothing to wait for. `interrupted` is a `user.interrupt` that isn't ours and came before a report was
    accepted. `stop_reason` is the provider's word at the latest idle.
    """

    caps: Caps
    grace: int = 0
    message_id: str = ""
    begun: bool = False
    seen: frozenset[str] = frozenset()
    requests: int = 0
    tool_calls: int = 0
    reply: Reply = Reply()
    custom_uses: tuple[CustomUse, ...] = ()
    asks: tuple[ToolAsk, ...] = ()
    required: tuple[str, ...] = ()
    answered: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    corrected: bool = False
    capped: EndedBy | None = None
    answer_by: int | None = None
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
    """The state after an event; the same object where the event says nothing new.

    An event without an id counts each time: see `recurs_unnoticed`.
    """
    kind, event_id = str(event.get("type")), event.get("id")
    if kind in {"event_start", "event_delta"}:
        return state
    if not state.begun and not loses_repository(event):
        if not event_id or event_id != state.message_id:
            return state
        state = replace(state, begun=True)
    rule = _RULES.get(kind)
    if not (isinstance(event_id, str) and event_id):
        after = rule(state, event) if rule else state
        return state if after == state else after
    if event_id in state.seen:
        return state
    state = replace(state, seen=state.seen | {event_id})
    return rule(state, event) if rule else state


def _request_started(state: TurnState, event: Event) -> TurnState:
    reply = Reply(start_id=str(event.get("id")), calls_before=state.tool_calls)
    return replace(state, requests=state.requests + 1, reply=reply)


def _request_ended(state: TurnState, event: Event) -> TurnState:
    if str(event.get("model_request_start_id")) != state.reply.start_id:
        return state
    return replace(state, reply=replace(state.reply, ended=True))


def _tool_used(state: TurnState, event: Event) -> TurnState:
    if event.get("evaluated_permission") == "ask":
        ask = ToolAsk(str(event.get("id")), str(event.get("name")))
        return replace(state, reply=replace(state.reply, awaits_us=True), asks=(*state.asks, ask))
    return replace(state, reply=replace(state.reply, uses_tools=True), tool_calls=state.tool_calls + 1)


def _custom_tool_used(state: TurnState, event: Event) -> TurnState:
    use = CustomUse(str(event.get("id")), str(event.get("name")), event.get("input"))
    return replace(state, reply=replace(state.reply, awaits_us=True), custom_uses=(*state.custom_uses, use))


def _custom_tool_answered(state: TurnState, event: Event) -> TurnState:
    return _told(state, str(event.get("custom_tool_use_id")))


def _tool_confirmed(state: TurnState, event: Event) -> TurnState:
    return _told(state, str(event.get("tool_use_id")))


def _told(state: TurnState, use_id: str) -> TurnState:
    return replace(state, answered=state.answered | {use_id}, told=state.told | {use_id})


def _message(state: TurnState, event: Event) -> TurnState:
    return replace(state, last_text="".join(texts_of(event)))


def _interrupted(state: TurnState, _event: Event) -> TurnState:
    # Once we sent an interrupt ourselves, whose echo this is changes nothing, and an echo may come without its id.
    if state.stopped is not None or state.accepted is not None:
        return state
    return replace(state, interrupted=True)


def _errored(state: TurnState, event: Event) -> TurnState:
    kind = word(inner(event, "error", "type")) or "of no type"
    if loses_repository(event):
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
    "user.tool_confirmation": _tool_confirmed,
    "agent.message": _message,
    "user.interrupt": _interrupted,
    "session.error": _errored,
    "session.status_idle": _idle,
    "session.status_terminated": _gone,
    "session.deleted": _gone,
}
