"""A turn's events as messages of the Messages API: what was asked, said, called and read; pure."""

from __future__ import annotations

import json
from typing import Any

from dispatcher.action.transcript import Message
from dispatcher.paths.managed.event import Event, texts_of
from dispatcher.paths.wire import storable

_USES = frozenset({"agent.tool_use", "agent.custom_tool_use"})


def add_to(work: list[Message], event: Event) -> None:
    """Add what an event says to the messages so far; neighbouring blocks of one role are one message.

    The ids of tool calls are those of their events.
    """
    kind = event.get("type")
    if kind == "agent.message":
        for text in texts_of(event):
            _append(work, "assistant", _text_block(text))
    elif kind in _USES:
        named = {"id": _name(event, "id"), "name": _name(event, "name"), "input": _input(event.get("input"))}
        _append(work, "assistant", {"type": "tool_use", **named})
    elif kind == "agent.tool_result":
        _append(work, "user", _result(event, "tool_use_id"))
    elif kind == "user.custom_tool_result":
        _append(work, "user", _result(event, "custom_tool_use_id"))


def _result(event: Event, id_field: str) -> dict[str, Any]:
    # Whatever else may be in it is of no use to a later turn.
    content = [_text_block(text) for text in texts_of(event)]
    result = {"type": "tool_result", "tool_use_id": _name(event, id_field), "content": content}
    return {**result, "is_error": True} if event.get("is_error") else result


def _append(work: list[Message], role: str, block: dict[str, Any]) -> None:
    if work and work[-1]["role"] == role:
        work[-1] = {"role": role, "content": [*work[-1]["content"], block]}
    else:
        work.append({"role": role, "content": [block]})


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": storable(text)}


def _name(event: Event, field: str) -> str:
    return storable(str(event.get(field)))


def _input(value: object) -> dict[str, Any]:
    """A tool's input as the model wrote it, in a form that can be kept."""
    kept = json.loads(storable(json.dumps(value, ensure_ascii=False)))
    return kept if isinstance(kept, dict) else {}
