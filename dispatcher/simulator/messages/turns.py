"""The rules for messages: roles, blocks, and tool results that answer the tool calls right before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.simulator.model.conversation import blocks_of
from dispatcher.simulator.refusal import invalid

_USER_BLOCKS = ("text", "image", "document", "tool_result", "search_result", "container_upload")
_ASSISTANT_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "search_result")

Message = Mapping[str, Any]


def check_system(system: object) -> None:
    """A system prompt is a string or text blocks that aren't empty."""
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise invalid("system: Input should be a valid string or list")
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise invalid(f"system.{index}: Input should be a text block")
        if not block["text"]:
            raise invalid("system: text content blocks must be non-empty")


def check_messages(messages: object, *, prefill: bool, current: bool) -> None:
    """Check the whole list. `prefill`: it may end with the assistant; `current`: the rules of the newest version."""
    if messages is None:
        raise invalid("messages: Field required")
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        _check_message(message, f"messages.{index}", last=index == len(messages) - 1, current=current)
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    _check_pairs(messages)
    if messages[-1]["role"] == "assistant" and not prefill:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )


def _check_message(message: object, place: str, *, last: bool, current: bool) -> None:
    if not isinstance(message, dict):
        raise invalid(f"{place}: Input should be an object")
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant"):
        raise invalid(f"{place}.role: Input should be 'user' or 'assistant'")
    if not isinstance(content, str | list):
        raise invalid(
            f"{place}.content: Field required" if content is None else f"{place}.content: Input should be a valid list"
        )
    if not content and not (last and role == "assistant"):
        raise invalid(
            f"{place}: all messages must have non-empty content except for the optional final assistant message"
        )
    for index, block in enumerate(content if isinstance(content, list) else ()):
        _check_block(block, role, f"{place}.content.{index}", current=current)


def _check_block(block: object, role: str, place: str, *, current: bool) -> None:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise invalid(f"{place}.type: Field required")
    kind = block["type"]
    if kind == "text":
        _check_text(block, role, place, current=current)
    elif kind == "document" and role == "assistant" and current:
        raise invalid(f"{place}: document blocks are not permitted in assistant messages")
    elif kind not in (_USER_BLOCKS if role == "user" else _ASSISTANT_BLOCKS):
        raise invalid(f"{place}: `{kind}` blocks are not permitted in {role} messages")
    elif kind == "tool_use":
        _require(block, place, {"id": str, "name": str, "input": dict})
    elif kind == "tool_result":
        _require(block, place, {"tool_use_id": str})


def _check_text(block: Message, role: str, place: str, *, current: bool) -> None:
    _require(block, place, {"text": str})
    if not block["text"]:
        raise invalid("messages: text content blocks must be non-empty")
    if block.get("citations") and role == "user" and current:
        raise invalid(f"{place}.citations: cited text blocks are not permitted in user messages")


def _require(block: Message, place: str, fields: Mapping[str, type]) -> None:
    for name, kind in fields.items():
        if name not in block:
            raise invalid(f"{place}.{block['type']}.{name}: Field required")
        if not isinstance(block[name], kind):
            raise invalid(f"{place}.{block['type']}.{name}: Input should be a valid {kind.__name__}")


def _check_pairs(messages: Sequence[Message]) -> None:
    """Every call is answered at the start of the next message, and nothing else is answered."""
    open_calls: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate(messages):
        blocks = blocks_of(message["content"])
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        _check_answers(index, blocks, open_calls, answered)
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if seen & set(open_calls) or len(set(open_calls)) < len(open_calls):
            raise invalid(f"messages.{index}: `tool_use` ids must be unique")
        seen.update(open_calls)
    if open_calls and messages[-1]["role"] == "assistant":
        raise _unanswered(len(messages) - 1, open_calls)


def _check_answers(index: int, blocks: Sequence[Message], open_calls: Sequence[str], answered: Sequence[str]) -> None:
    leading = [block["tool_use_id"] for block in blocks[: len(answered)] if block["type"] == "tool_result"]
    missing = [call for call in open_calls if call not in leading]
    if missing:
        raise _unanswered(index - 1, missing)
    repeated = [call for call, times in Counter(answered).items() if times > 1]
    if repeated:
        raise invalid(
            f"messages.{index}.content: each tool_use must have a single result. Found multiple `tool_result` blocks "
            f"with id: {repeated[0]}"
        )
    stray = [call for call in answered if call not in open_calls]
    if stray:
        raise invalid(
            f"messages.{index}.content: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(stray)}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )


def _unanswered(index: int, calls: Sequence[str]) -> Exception:
    return invalid(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )
