"""Where a request of the messages path asks the provider to cache its prompt; pure.

Four markers at most: the tools, the system prompt, and the two newest messages of tool results. Two of those, because
a marker is found again only within 20 blocks, which a single round of parallel tool calls can fill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MARKER = {"cache_control": {"type": "ephemeral"}}
_MOVING = 2


def marked_tools(tools: Sequence[Mapping[str, Any]], *, caching: bool) -> list[Mapping[str, Any]]:
    """The tools, the last one marked."""
    return [*tools[:-1], {**tools[-1], **_MARKER}] if caching else list(tools)


def marked_system(text: str, *, caching: bool) -> list[dict[str, Any]]:
    """The system prompt as one block."""
    return [{"type": "text", "text": text, **(_MARKER if caching else {})}]


def marked_messages(messages: Sequence[Mapping[str, Any]], *, caching: bool) -> list[Mapping[str, Any]]:
    """The messages, the last tool result of each of the two newest messages that hold some marked.

    What is sent is a copy: a marker left in the conversation would use up the four.
    """
    marked = list(messages)
    holding = [at for at, message in enumerate(messages) if _last_result(message) is not None]
    for at in holding[-_MOVING:] if caching else ():
        place = _last_result(messages[at])
        content = [{**block, **(_MARKER if n == place else {})} for n, block in enumerate(messages[at]["content"])]
        marked[at] = {**messages[at], "content": content}
    return marked


def _last_result(message: Mapping[str, Any]) -> int | None:
    places = [n for n, block in enumerate(message["content"]) if block.get("type") == "tool_result"]
    return places[-1] if message["role"] == "user" and places else None
