"""Where a request of the messages path asks the provider to cache its prompt; pure.

A marker both writes an entry for the prompt up to its block and reads: it finds the longest entry that ends on one of
the 20 blocks up to its own. Four markers at most:

- the tools and the system prompt, which no request changes;
- the two newest messages of the user's side. The newest one writes what the next request reads, and the one before is
  where the latest request wrote, so that it is found however many blocks a round of parallel tool calls took.

A last request without tools writes entries that no other kind of request can read. Where the turn after it would have
to look back over more blocks than a marker sees, the place of the tools' marker, which the system prompt's stands in
for, goes to the message before: the newest that an ordinary request had marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LOOK_BACK_BLOCKS = 20
_MARKER = {"cache_control": {"type": "ephemeral"}}
_MOVING = 2

Block = Mapping[str, Any]


def marked(
    tools: Sequence[Block], system: str, messages: Sequence[Mapping[str, Any]], *, caching: bool
) -> dict[str, list[Any]]:
    """The three parts of a prompt as they are sent, with their markers where `caching` is set.

    What is sent is a copy: a marker left in the conversation would use up the four.
    """
    block = {"type": "text", "text": system}
    if not caching:
        return {"tools": list(tools), "system": [block], "messages": list(messages)}
    places = [(at, place) for at, message in enumerate(messages) if (place := _place(message)) is not None]
    further = _is_out_of_sight(messages, places)
    marked_messages = list(messages)
    for at, place in places[-_MOVING - further :]:
        content = list(messages[at]["content"])
        content[place] = {**content[place], **_MARKER}
        marked_messages[at] = {**messages[at], "content": content}
    return {
        "tools": list(tools) if further else [*tools[:-1], {**tools[-1], **_MARKER}],
        "system": [{**block, **_MARKER}],
        "messages": marked_messages,
    }


def _place(message: Mapping[str, Any]) -> int | None:
    """The block of a message that a marker goes on: its last tool result, else its last text; never a thought."""
    if message["role"] != "user":
        return None
    kinds = [
        block.get("type") if block.get("type") != "text" or block.get("text") else None for block in message["content"]
    ]
    for wanted in ("tool_result", "text"):
        if wanted in kinds:
            return len(kinds) - 1 - kinds[::-1].index(wanted)
    return None


def _is_out_of_sight(messages: Sequence[Mapping[str, Any]], places: Sequence[tuple[int, int]]) -> bool:
    """Whether the third newest place can't be seen from the second newest."""
    if len(places) <= _MOVING:
        return False
    (third_at, third), (second_at, second) = places[-_MOVING - 1], places[-_MOVING]
    between = sum(len(message["content"]) for message in messages[third_at:second_at]) - third + second
    return between >= LOOK_BACK_BLOCKS
