"""A reply as the Messages API returns it: one message, or the frames of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher.action.observation import Usage
from dispatcher.simulator.inference import Content, content_tokens
from dispatcher.simulator.metering.prefix import BYTES_PER_TOKEN

_MOST_DELTAS = 12
_SHORTEST_DELTA = 24
Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """What the reply holds after the request's own limits, and why it ended."""

    content: Content
    stop_reason: str
    stop_sequence: str | None
    output_tokens: int
    stop_details: dict[str, Any] | None = None


def ending_of(content: Content, max_tokens: int, stop_sequences: Sequence[str]) -> Ending:
    """Cut a reply at the first stop sequence, then at the token limit; a tool call that doesn't fit is left out."""
    stopped, sequence = _stop(content, stop_sequences)
    if content_tokens(stopped) > max_tokens:
        kept = _fit(stopped, max_tokens)
        return Ending(kept, "max_tokens", None, max_tokens or 0)
    if sequence is not None:
        return Ending(stopped, "stop_sequence", sequence, content_tokens(stopped))
    reason = "tool_use" if any(block["type"] == "tool_use" for block in stopped) else "end_turn"
    return Ending(stopped, reason, None, content_tokens(stopped))


def whole_message(message_id: str, model: str, ending: Ending, usage: Usage) -> Frame:
    """The message of a request that doesn't stream."""
    return _message(message_id, model) | {
        "content": ending.content,
        "stop_reason": ending.stop_reason,
        "stop_sequence": ending.stop_sequence,
        "stop_details": ending.stop_details,
        "usage": start_usage(usage),
    }


def opening(message_id: str, model: str, usage: Usage) -> tuple[Frame, Frame]:
    """The frames that begin a stream: the split of cache writes is told here and nowhere else."""
    return {"type": "message_start", "message": _message(message_id, model) | {"usage": start_usage(usage)}}, {
        "type": "ping"
    }


def body_frames(content: Content) -> Iterator[Frame]:
    """The frames of the content blocks, in pieces as a model writes them."""
    for index, block in enumerate(content):
        yield {"type": "content_block_start", "index": index, "content_block": _empty(block)}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}


def closing(ending: Ending, usage: Usage) -> tuple[Frame, Frame]:
    """The frames that end a stream; the usage is cumulative."""
    delta = {
        "stop_reason": ending.stop_reason,
        "stop_sequence": ending.stop_sequence,
        "stop_details": ending.stop_details,
    }
    return {"type": "message_delta", "delta": delta, "usage": _counts(usage)}, {"type": "message_stop"}


def start_usage(usage: Usage) -> dict[str, Any]:
    """Usage with the split of cache writes by TTL."""
    split = {
        "ephemeral_5m_input_tokens": usage.cache_creation_5m_input_tokens,
        "ephemeral_1h_input_tokens": usage.cache_creation_1h_input_tokens,
    }
    return {**_counts(usage), "cache_creation": split, "service_tier": "standard", "inference_geo": "global"}


def _counts(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "output_tokens": usage.output_tokens,
    }


def _message(message_id: str, model: str) -> Frame:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
    }


def _stop(content: Content, sequences: Sequence[str]) -> tuple[Content, str | None]:
    for index, block in enumerate(content):
        if block["type"] != "text":
            continue
        places = [(block["text"].find(one), one) for one in sequences if one in block["text"]]
        if places:
            at, sequence = min(places)
            kept = [{**block, "text": block["text"][:at]}] if at else []
            return [*content[:index], *kept], sequence
    return content, None


def _fit(content: Content, max_tokens: int) -> Content:
    kept: Content = []
    for block in content:
        if content_tokens([*kept, block]) <= max_tokens:
            kept.append(block)
            continue
        left = max_tokens - (content_tokens(kept) if kept else 0)
        cut = str(block.get("text", "")).encode()[: left * BYTES_PER_TOKEN].decode(errors="ignore")
        return [*kept, {**block, "text": cut}] if block["type"] == "text" and cut else kept
    return kept


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, dict[str, Any]] = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}
    return {**block, **empty.get(block["type"], {"input": {}})}


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "tool_use":
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in _pieces(_typed(block["input"])))
        return
    kind = block["type"]
    yield from ({"type": f"{kind}_delta", kind: piece} for piece in _pieces(block[kind]))
    if kind == "thinking":
        yield {"type": "signature_delta", "signature": block["signature"]}


def _pieces(text: str) -> Iterator[str]:
    size = max(_SHORTEST_DELTA, -(-len(text) // _MOST_DELTAS))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _typed(value: object) -> str:
    """The input of a tool call as the model writes it; a string is one that is no JSON, and is left as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
