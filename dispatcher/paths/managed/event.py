"""An event of a managed session in its JSON form, and what can be read from it without believing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]
"""An event in its JSON form; nothing in it is validated."""

_COUNTED = frozenset({"span.model_request_start", "agent.tool_use", "agent.mcp_tool_use", "agent.custom_tool_use"})


def inner(event: Event, *names: str) -> Any:
    """A value inside an event; None where anything on the way is missing or of another form."""
    value: Any = event
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def texts_of(event: Event) -> list[str]:
    """The texts in an event's content, block by block."""
    content = event.get("content")
    blocks = content if isinstance(content, list) else []
    return [text for block in blocks if isinstance(text := inner(block, "text"), str)]


def since(history: Sequence[Event], message_id: str) -> Sequence[Event]:
    """The part of a history that begins with our message; what lies before belongs to earlier turns."""
    for place, event in enumerate(history):
        if event.get("id") == message_id:
            return history[place:]
    return ()


def loses_repository(event: Event) -> bool:
    """Whether the session has no repository: said when it was mounted, which may be before our message."""
    kind = inner(event, "error", "type")
    return event.get("type") == "session.error" and isinstance(kind, str) and kind.startswith("repository_")


def recurs_unnoticed(event: Event) -> bool:
    """Whether an event is counted, but has no id by which it would be known again in a history."""
    return str(event.get("type")) in _COUNTED and not event.get("id")
