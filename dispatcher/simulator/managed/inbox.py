"""Events that a client sends to a session: checked all together, then applied in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatcher.simulator.managed import fields
from dispatcher.simulator.managed.session import OpenCall, Session
from dispatcher.simulator.model.conversation import text_of
from dispatcher.simulator.refusal import invalid, not_found

_FIELDS = {
    "user.message": ("type", "content"),
    "user.interrupt": ("type", "session_thread_id"),
    "user.custom_tool_result": ("type", "custom_tool_use_id", "content", "is_error"),
    "user.tool_confirmation": ("type", "tool_use_id", "result", "deny_message"),
}
_ANSWERS = ("custom_tool_use_id", "tool_use_id")
_PROCESSED_ON_RECEIPT = ("user.custom_tool_result",)

Sent = dict[str, Any]


def checked_events(session: Session, body: Mapping[str, Any]) -> list[Sent]:
    """The events of a request; raises Refusal for the first that the API doesn't accept, and then none is applied."""
    events = fields.objects(body, "events")
    if not events:
        raise invalid("events: at least one event is required")
    checked = [_checked(session, event, f"events.{index}") for index, event in enumerate(events)]
    answered = [event[name] for event in checked for name in _ANSWERS if name in event]
    if len(set(answered)) < len(answered):
        raise invalid("events: a tool call is answered twice")
    return checked


def checked_message(event: Mapping[str, Any], place: str) -> Sent:
    """A user message with text."""
    fields.only_known(event, _FIELDS["user.message"], f"{place}.")
    content = event.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content or not all(isinstance(block, dict) for block in content):
        raise invalid(f"{place}.content: Input should be a non-empty list of content blocks")
    if any(block.get("type") == "text" and not block.get("text") for block in content):
        raise invalid(f"{place}.content: text content blocks must be non-empty")
    return {"type": "user.message", "content": content}


def apply_event(session: Session, event: Sent) -> dict[str, Any]:
    """Apply a checked event and return its echo; the agent is started or stopped elsewhere."""
    echo = session.log.accept(event, processed=event["type"] in _PROCESSED_ON_RECEIPT)
    match event["type"]:
        case "user.message":
            session.waiting.append(echo)
        case "user.interrupt":
            session.interrupts.append(echo["id"])
        case "user.custom_tool_result":
            call = _open_call(session, event["custom_tool_use_id"], "result")
            content = event.get("content") or [{"type": "text", "text": ""}]
            call.settle(content, is_error=bool(event.get("is_error")))
        case "user.tool_confirmation":
            session.log.mark_processed(echo["id"])
            _confirm(_open_call(session, event["tool_use_id"], "confirmation"), event)
    return echo


def _checked(session: Session, event: Mapping[str, Any], place: str) -> Sent:
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise invalid(f"{place}.type: Input should be one of {', '.join(_FIELDS)}")
    fields.only_known(event, _FIELDS[kind], f"{place}.")
    if kind == "user.message":
        spent = session.budget_nanousd is not None and session.meter.cost_nanousd >= session.budget_nanousd
        if spent or session.budget_reached:
            raise invalid("the session's budget is reached; raise it before sending a message")
        return checked_message(event, place)
    if kind == "user.custom_tool_result":
        _open_call(session, event.get("custom_tool_use_id"), "result")
        _check_result(event, place)
    if kind == "user.interrupt" and event.get("session_thread_id") not in (None, session.thread_id):
        raise not_found(f"thread {event['session_thread_id']} not found", error_code="thread_not_found")
    if kind == "user.tool_confirmation":
        _open_call(session, event.get("tool_use_id"), "confirmation")
        if event.get("result") not in ("allow", "deny"):
            raise invalid(f"{place}.result: Input should be 'allow' or 'deny'")
        if event.get("deny_message") is not None and event["result"] != "deny":
            raise invalid(f"{place}.deny_message: only allowed when result is 'deny'")
    return {name: value for name, value in event.items() if value is not None}


def _check_result(event: Mapping[str, Any], place: str) -> None:
    fields.objects(event, "content")
    if not isinstance(event.get("is_error", False), bool | None):
        raise invalid(f"{place}.is_error: Input should be a valid boolean")


def _open_call(session: Session, event_id: object, wanted: str) -> OpenCall:
    call = next((one for one in session.open_calls if one.event_id == event_id and one.wants == wanted), None)
    if call is None:
        raise invalid(f"no tool call is waiting for a {wanted} under the id {event_id}")
    return call


def _confirm(call: OpenCall, event: Sent) -> None:
    if event["result"] == "allow":
        call.wants = "nothing"
    else:
        call.deny(str(event.get("deny_message") or "The user denied this tool call."))


def message_blocks(echo: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A user message as the model reads it: its text."""
    return [{"type": "text", "text": text_of(echo["content"]) or "(no text)"}]
