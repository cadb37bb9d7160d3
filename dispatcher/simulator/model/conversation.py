"""What a request says so far: the question at hand, and every tool call with what came back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

_LIMIT = re.compile(
    r"\b(?:repl(?:y|ies)|requests|turns|iterations|steps)\b[^.\n]{0,30}\blimited to (\d{1,4})\b"
    r"|\bat most (\d{1,4}) (?:repl(?:y|ies)|requests|turns|iterations|steps)\b",
    re.IGNORECASE,
)

_FINISH = re.compile(
    r"\b(answer|submit|finish|respond|reply|return|conclude|stop|wrap up)\b[^.?!\n]{0,80}\b(now|immediately|at once)\b"
    r"|\bno (more|further) (tool|search|call|request)"
    r"|\b(cap|limit|budget)\b[^.?!\n]{0,40}\b(reached|exhausted|spent|used up)\b",
    re.IGNORECASE,
)
_REPAIR = re.compile(
    r"\bsubmit_result\b|\b(return|answer|respond|reply|output|produce|send)\b[^.?!\n]{0,80}\b(json|schema|valid)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model wants to call."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A tool call and the text that came back."""

    call: ToolCall
    result: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turn at hand, and the turns before it.

    `rounds` are the current turn's model replies with tool calls, oldest first; `earlier` are the exchanges of past
    turns. `told_to_finish`: somebody asked for the answer without further work.
    """

    question: str
    context: str
    rounds: tuple[tuple[Exchange, ...], ...]
    earlier: tuple[Exchange, ...]
    told_to_finish: bool

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every exchange of every turn, oldest first."""
        return (*self.earlier, *(exchange for one in self.rounds for exchange in one))


def blocks_of(content: object) -> list[Json]:
    """Message content as a list of blocks; a plain string is one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, Sequence):
        return [block for block in content if isinstance(block, Mapping)]
    return []


def text_of(content: object) -> str:
    """The text of content, blocks joined by line ends."""
    return "\n".join(str(block.get("text", "")) for block in blocks_of(content) if block.get("type") == "text")


def asks_to_finish(text: str) -> bool:
    """Whether a text tells the model to answer at once, or to mend the form of its answer; a question never does."""
    return "?" not in text and bool(_FINISH.search(text) or _REPAIR.search(text))


def replies_allowed(text: str) -> int | None:
    """How many replies a text allows the model, the answer included; None where it doesn't say."""
    found = _LIMIT.search(text)
    return int(found[1] or found[2]) if found else None


def read_conversation(messages: Sequence[Json]) -> Conversation:
    """Split messages of the Messages API into turns and exchanges.

    A user message without tool results opens a turn, unless it only tells the model to finish the current one.
    """
    question, context = "", ""
    rounds: list[tuple[Exchange, ...]] = []
    earlier: list[Exchange] = []
    finish = False
    for calls, message in _with_calls(messages):
        blocks = blocks_of(message.get("content"))
        text = text_of(blocks)
        results = tuple(_exchanges(calls, blocks))
        if results:
            rounds.append(results)
            finish = finish or (bool(text) and asks_to_finish(text)) or any(_refused(one) for one in results)
        elif question and asks_to_finish(text):
            finish = True
        elif text:
            earlier += [exchange for one in rounds for exchange in one]
            question, context, rounds, finish = text, question, [], False
    return Conversation(question, context, tuple(rounds), tuple(earlier), finish)


def _with_calls(messages: Sequence[Json]) -> Iterator[tuple[dict[str, ToolCall], Json]]:
    """Each user message with the tool calls of the reply before it, by id."""
    calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.get("role") == "assistant":
            calls = {
                str(block["id"]): ToolCall(str(block["name"]), dict(block.get("input") or {}))
                for block in blocks_of(message.get("content"))
                if block.get("type") == "tool_use"
            }
        else:
            yield calls, message


def _exchanges(calls: Mapping[str, ToolCall], blocks: Sequence[Json]) -> Iterator[Exchange]:
    for block in blocks:
        call = calls.get(str(block.get("tool_use_id")))
        if block.get("type") == "tool_result" and call is not None:
            yield Exchange(call, text_of(block.get("content")), bool(block.get("is_error")))


def _refused(exchange: Exchange) -> bool:
    return exchange.is_error and bool(_FINISH.search(exchange.result))
