"""Thinking that a reply shows, signed so that it can only come back as it was.

As the API has it, a signature is bound to the model and to the conversation; here also to the reply's place in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from dispatcher.simulator.identity import digest
from dispatcher.simulator.model.conversation import Json, blocks_of
from dispatcher.simulator.model.request import ModelRequest, Reply

THINKING = ("thinking", "redacted_thinking")


def thinking_block(request: ModelRequest, reply: Reply) -> dict[str, Any]:
    """The thinking before a reply."""
    ordinal = sum(message.get("role") == "assistant" for message in request.messages)
    plan = ", then ".join(call.name for call in reply.calls) or "the answer"
    text = f"After {ordinal} replies this is what I know enough for: {plan}."
    return {
        "type": "thinking",
        "thinking": text,
        "signature": _signature(request.model, request.messages, ordinal, text),
    }


def thinking_problems(model: str, messages: Sequence[Json], *, thinks: bool) -> Iterator[str]:
    """What is wrong with the thinking that comes back, in the API's words.

    `thinks`: the model thinks before it calls tools, so a reply with calls has to begin with that, in every round. The
    API asks for the latest rounds only; whoever replays all of them verbatim loses nothing by it.
    """
    replies = [(index, message) for index, message in enumerate(messages) if message.get("role") == "assistant"]
    for ordinal, (index, message) in enumerate(replies):
        blocks, place = blocks_of(message.get("content")), f"messages.{index}.content"
        kinds = [block.get("type") for block in blocks]
        if thinks and "tool_use" in kinds and kinds[0] not in THINKING:
            yield (
                f"{place}.0.type: Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`. When `thinking` "
                "is enabled, a final `assistant` message must start with a thinking block"
            )
        for at, block in enumerate(blocks):
            if block.get("type") not in THINKING:
                continue
            if block.get("signature") != _signature(model, messages, ordinal, str(block.get("thinking"))):
                yield f"{place}.{at}: Invalid `signature` in `thinking` block"
            elif at > 0:
                yield (
                    f"{place}.{at}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
                    "modified. These blocks must remain as they were in the original response."
                )


def _signature(model: str, messages: Sequence[Json], ordinal: int, text: str) -> str:
    opening = [
        {name: value for name, value in block.items() if name != "cache_control"}
        for block in blocks_of(messages[0].get("content"))
    ]
    return base64.b64encode(digest("thinking", model, opening, ordinal, text)).decode()
