"""The earlier turns of a conversation told as one text, for where they can't be replayed; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dispatcher.action.transcript import Message, Transcript, Turn
from dispatcher.paths.sections import quoted

RESULT_CHARS = 1_000
"""How much is told of what one tool call returned; a call's input is told up to the same bound."""


def flattened_turns(transcript: Transcript, *, answers_by: str) -> str:
    """Every turn in order: what was asked, called, returned, said and answered.

    Structure and thinking are lost. Whatever is quoted can't be taken for a section of the prompt. `answers_by` names
    the tool that took an answer, which is told as such and not as a call.
    """
    return "\n".join(f"<turn>\n{_told(turn, answers_by)}\n</turn>" for turn in transcript.turns)


def shortened(text: str, most: int) -> str:
    """The text, cut after `most` characters with a word on how many were left out."""
    return text if len(text) <= most else f"{text[:most]}\n[{len(text) - most} more characters left out]"


def _told(turn: Turn, answers_by: str) -> str:
    parts = [_tagged("asked", turn.question.strip())]
    for message in turn.messages:
        for block in message["content"]:
            parts += _told_block(message, block, turn.answer, answers_by)
    return "\n".join([*parts, _tagged("answered", turn.answer)])


def _told_block(message: Message, block: Mapping[str, Any], answer: str, answers_by: str) -> Iterator[str]:
    kind = block.get("type")
    if kind == "tool_use" and block.get("name") != answers_by:
        written = json.dumps(block.get("input"), ensure_ascii=False)
        yield _tagged("called", f"{block.get('name')} {shortened(written, RESULT_CHARS)}")
    elif kind == "tool_result":
        yield _tagged("returned", shortened(_text_of(block.get("content")), RESULT_CHARS))
    elif kind == "text" and message["role"] == "assistant":
        text = str(block.get("text", "")).strip()
        # The answer is told as such, and what the user's side said is the question and our own demands.
        if text and text != answer.strip():
            yield _tagged("said", text)


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(block["text"]) for block in blocks if isinstance(block, Mapping) and "text" in block)


def _tagged(tag: str, text: str) -> str:
    return f"<{tag}>\n{quoted(text)}\n</{tag}>"
