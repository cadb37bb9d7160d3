"""What a transcript must be to be told to a provider again, wherever it comes from; pure.

A turn of the messages path may be replayed verbatim, so what the Messages API would refuse of it is refused here; what
a managed turn tells is only ever told as text. No problem quotes anything that was said.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dispatcher.action.decision import PathName
from dispatcher.errors import InvalidAction

HISTORY_MAX_CHARS = 8_000_000
"""How long a history may be: the characters of its texts and keys, and four for every value and key in a message."""

_PER_VALUE = 4
_MOST_DEPTH = 100
_MOST_INT_BITS = 4096
_BROKEN = "holds a broken character (an unpaired surrogate)"
_SENTENCES = {
    "json_invalid": "is not JSON",
    "string_unicode": "is not JSON",
    "missing": "is missing",
    "extra_forbidden": "holds a key that is not known",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "is neither 'user' nor 'assistant'",
    "enum": "is not the name of a path",
    "greater_than_equal": "is not 1",
    "less_than_equal": "is not 1",
    "list_type": 'is not a list of content blocks; a text is written as [{"type": "text", "text": …}]',
}
_FORMS: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
}
_IDS = {"tool_use": "id", "tool_result": "tool_use_id"}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class MessageDocument(_Strict):
    """A message of the Messages API."""

    role: str = Field(pattern="^(user|assistant)$")
    content: list[dict[str, Any]] = Field(min_length=1)


class TurnDocument(_Strict):
    """One answered question."""

    question: str
    path: PathName
    model: str = Field(min_length=1)
    answer: str
    messages: tuple[MessageDocument, ...]


class HistoryDocument(_Strict):
    """A transcript in the values that JSON knows."""

    schema_: int = Field(alias="schema", ge=1, le=1)
    turns: tuple[TurnDocument, ...]


def read_history(text: str | bytes) -> HistoryDocument:
    """Read a transcript's JSON text. Raises InvalidAction with every problem at once, by its place."""
    try:
        document = HistoryDocument.model_validate_json(text)
    except ValidationError as error:
        raise InvalidAction("history", _told(error)) from None
    if problems := _problems(document):
        raise InvalidAction("history", problems)
    return document


def history_problems(document: object) -> list[str]:
    """Every problem of a transcript that was put together here, by its place: its document, with its tuples."""
    try:
        return _problems(HistoryDocument.model_validate(document))
    except ValidationError as error:
        return _told(error)


def _told(error: ValidationError) -> list[str]:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return sorted({_problem(one["type"], one["loc"]) for one in found})


def _problem(kind: str, place: tuple[str | int, ...]) -> str:
    # By place and kind alone: the rest of a validation error quotes the conversation, and so may a key nobody knows.
    # A place in a block is the caller's own keys; a key that isn't a text is all that is looked for there.
    at = place.index("content") + 2 if "content" in place else len(place)
    known = place[:-1] if kind == "extra_forbidden" else place[:at]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in known).removeprefix(".")
    return f"{name or 'the text'} {_SENTENCES.get(kind, 'has a value of the wrong kind')}"


def _problems(document: HistoryDocument) -> list[str]:
    found: list[str] = []
    room = HISTORY_MAX_CHARS
    for number, turn in enumerate(document.turns):
        place = f"turns[{number}]"
        for name in ("question", "model", "answer"):
            room -= len(text := getattr(turn, name))
            found += [f"{place}.{name} {_BROKEN}"] if _is_broken(text) else []
        for at, message in enumerate(turn.messages):
            for index, block in enumerate(message.content):
                flaws, size = _looked_at(block, room)
                room -= size
                found += [f"{place}.messages[{at}].content[{index}] {flaw}" for flaw in (*_misshapen(block), *flaws)]
        if room < 0:
            return [*found, f"turns are more than {HISTORY_MAX_CHARS:,} characters long; begin another conversation"]
        found += [f"{place}.{problem}" for problem in _out_of_order(turn)]
    return found


def _misshapen(block: dict[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if not isinstance(kind, str) or not kind:
        yield "has no type"
        return
    for name, form in _FORMS.get(kind, {}).items():
        if not isinstance(block.get(name), form):
            yield f"is of type {kind}, and its {name} is missing or of the wrong kind"
    if kind == "tool_result" and not _is_result(block.get("content")):
        yield "is of type tool_result, and its content is neither a text nor a list of content blocks"


def _is_result(content: object) -> bool:
    if isinstance(content, list):
        return all(isinstance(part, dict) and not list(_misshapen(part)) for part in content)
    return content is None or isinstance(content, str)


def _looked_at(block: dict[str, Any], room: int) -> tuple[list[str], int]:
    """What is wrong with the values in a block, and how long it is; what comes after `room` isn't looked at."""
    flaws: dict[str, None] = {}
    size = 0
    # What a model wrote into a tool's input is data, whatever it is called.
    written = block.get("input") if str(block.get("type")).endswith("tool_use") else None
    left: list[tuple[Any, int, bool]] = [(block, 0, False)]
    while left and size <= room:
        value, depth, is_data = left.pop()
        size += _PER_VALUE
        if isinstance(value, str):
            size += len(value)
        if isinstance(value, dict | list) and depth < _MOST_DEPTH:
            is_data = is_data or (value is written and depth == 1)
            if isinstance(value, dict):
                left += [(key, depth, is_data) for key in value]
                if not all(isinstance(key, str) for key in value):
                    flaws["holds a key that is not a text"] = None
                if not is_data and "cache_control" in value:
                    flaws["holds a cache_control; what is cached is the variant's to say"] = None
            left += [(inner, depth + 1, is_data) for inner in (value.values() if isinstance(value, dict) else value)]
        elif flaw := _flaw(value):
            flaws[flaw] = None
    return list(flaws), size


def _flaw(value: object) -> str | None:
    """What keeps a value from being written as JSON; of a list or dict, that it lies too deep."""
    if isinstance(value, str):
        return _BROKEN if _is_broken(value) else None
    if value is None or (isinstance(value, int) and value.bit_length() <= _MOST_INT_BITS):
        return None
    if isinstance(value, float) and math.isfinite(value):
        return None
    if isinstance(value, dict | list):
        return f"is nested more than {_MOST_DEPTH} deep"
    return "holds a value that JSON doesn't know"


def _is_broken(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _out_of_order(turn: TurnDocument) -> Iterator[str]:
    """What of the order of a turn's messages the Messages API refuses, which takes neighbours of one role as one."""
    if turn.messages and turn.messages[0].role != "user":
        yield "messages[0] is not the user's, who speaks first"
    if turn.path is not PathName.MESSAGES:
        return
    asked: Counter[str] = Counter()
    last = 0
    for role, run in groupby(enumerate(turn.messages), key=lambda numbered: numbered[1].role):
        numbers, messages = zip(*run, strict=True)
        uses, results = _ids(messages, "tool_use"), _ids(messages, "tool_result")
        if asked - results:
            yield f"messages[{last}] holds a tool_use that the next message doesn't answer"
        if results - asked:
            yield f"messages[{numbers[0]}] holds a tool_result without its tool_use in the message before"
        if role == "user" and uses:
            yield f"messages[{numbers[0]}] holds a tool_use of the user's side"
        asked, last = uses if role == "assistant" else Counter(), numbers[-1]
    if asked:
        yield f"messages[{last}] holds a tool_use that the next message doesn't answer"


def _ids(messages: Sequence[MessageDocument], kind: str) -> Counter[str]:
    blocks = (block for message in messages for block in message.content if block.get("type") == kind)
    return Counter(found for block in blocks if isinstance(found := block.get(_IDS[kind]), str))
