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
_QUESTION = re.compile(r"<question>.*</question>", re.DOTALL | re.IGNORECASE)
# What is quoted may hold the closing tag too: the last one before a section of the prompt itself ends it.
_EARLIER_TURNS = re.compile(
    r"<earlier_turns>(.*)</earlier_turns>(?=\s*<(?:repository|limit|question)>)", re.DOTALL | re.IGNORECASE
)
_ASKED = re.compile(r"<asked>\s*(.*?)\s*</asked>", re.DOTALL | re.IGNORECASE)


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

    `question` is the message that opened the turn, without the earlier turns it quotes, and `context` what was asked
    before it. `rounds` are the turn's model replies with tool calls, oldest first; `earlier` are the exchanges of past
    turns. `told_to_finish`: somebody asked for the answer without further work. `denied`: a tool call was refused with
    such words. `answered`: the model has answered already, and something was said about the answer.
    """

    question: str
    context: str
    rounds: tuple[tuple[Exchange, ...], ...]
    earlier: tuple[Exchange, ...]
    told_to_finish: bool
    denied: bool
    answered: bool

    @property
    def current(self) -> tuple[Exchange, ...]:
        """The exchanges of the turn at hand, oldest first."""
        return tuple(exchange for one in self.rounds for exchange in one)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every exchange of every turn, oldest first."""
        return (*self.earlier, *self.current)


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


def replies_allowed(text: str) -> int | None:
    """How many replies a text allows the model, the answer included; None where it doesn't say."""
    found = _LIMIT.search(text)
    return int(found[1] or found[2]) if found else None


def read_conversation(messages: Sequence[Json]) -> Conversation:
    """Split messages of the Messages API into turns and exchanges.

    A text without tool results opens a turn, unless it only speaks of the current one: asks for the answer, or says
    what is wrong with it. One that marks its question always does.
    """
    question, context = "", ""
    rounds: list[tuple[Exchange, ...]] = []
    earlier: list[Exchange] = []
    finish = denied = answered = False
    for reply, message in _replied(messages):
        blocks, calls = blocks_of(message.get("content")), _calls(reply)
        text, results = text_of(blocks), tuple(_exchanges(calls, blocks))
        if results:
            rounds.append(results)
            denied = denied or any(one.is_error and bool(_FINISH.search(one.result)) for one in results)
        if _opens_turn(text, question, with_results=bool(results)):
            earlier += [exchange for one in rounds for exchange in one]
            asked_before, text = _without_earlier_turns(text)
            question, context, rounds = text, asked_before or question, []
            finish = denied = answered = False
        elif text:
            finish = finish or not results or _asks_to_finish(text, question)
            answered = answered or bool(reply and not calls)
    return Conversation(question, context, tuple(rounds), tuple(earlier), finish, denied, answered)


def _opens_turn(text: str, question: str, *, with_results: bool) -> bool:
    """Whether a text is a question of its own.

    Where the question at hand was marked, the next one will be too: anything else is about the answer to this one.
    """
    if _QUESTION.search(text):
        return True
    if not text or with_results:
        return False
    return not question or not (_QUESTION.search(question) or _asks_to_finish(text, question))


def _asks_to_finish(text: str, question: str) -> bool:
    """Whether a text tells the model to answer at once, or to mend the form of its answer.

    A question never does, and what only quotes one is known by questions being marked in this conversation.
    """
    may_quote = bool(_QUESTION.search(question))
    return ("?" not in text or may_quote) and bool(_FINISH.search(text) or _REPAIR.search(text))


def _without_earlier_turns(text: str) -> tuple[str, str]:
    """The latest question of the earlier turns that a message quotes, empty for none, and the message without them."""
    found = _EARLIER_TURNS.search(text)
    if found is None:
        return "", text
    asked = _ASKED.findall(found[1]) or [found[1]]
    return asked[-1], (text[: found.start()] + text[found.end() :]).strip()


def _replied(messages: Sequence[Json]) -> Iterator[tuple[list[Json], Json]]:
    """Each user message with the blocks of the reply before it."""
    reply: list[Json] = []
    for message in messages:
        if message.get("role") == "assistant":
            reply = blocks_of(message.get("content"))
        else:
            yield reply, message


def _calls(reply: Sequence[Json]) -> dict[str, ToolCall]:
    return {
        str(block["id"]): ToolCall(str(block["name"]), dict(block.get("input") or {}))
        for block in reply
        if block.get("type") == "tool_use"
    }


def _exchanges(calls: Mapping[str, ToolCall], blocks: Sequence[Json]) -> Iterator[Exchange]:
    for block in blocks:
        call = calls.get(str(block.get("tool_use_id")))
        if block.get("type") == "tool_result" and call is not None:
            yield Exchange(call, text_of(block.get("content")), bool(block.get("is_error")))
