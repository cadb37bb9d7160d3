"""What was said in the earlier turns of a conversation, in a form that can be replayed, kept and handed on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dispatcher.action.decision import PathName
from dispatcher.action.history import TurnDocument, history_problems, read_history

Message = Mapping[str, Any]
"""A message in the form of the Messages API: a role and content blocks, as they were sent and received."""


class TranscriptForm(StrEnum):
    """How the earlier turns reached the model."""

    NATIVE = "native"
    """Verbatim, with their tool calls; also where there are none."""
    FLATTENED = "flattened"
    """As one text in the user's message: their structure is lost, so no cache of them can be hit."""
    SESSION = "session"
    """They were there already: the managed session of the turn before went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answered question.

    `messages` are the turn's own, in order, without those of earlier turns; nobody may change them. On the messages
    path they are verbatim, so they can be replayed; on the managed path they are put together from the session's
    events and only tell what happened. `answer` is the report as JSON.
    """

    question: str
    path: PathName
    model: str
    answer: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The answered turns of a conversation, oldest first.

    Holds content: the questions, what the tools read, and the answers. Keep it where such content may be kept.
    """

    turns: tuple[Turn, ...] = ()

    def followed_by(self, turn: Turn) -> Transcript:
        """The transcript with one more turn."""
        return Transcript((*self.turns, turn))

    def can_be_replayed(self, model: str) -> bool:
        """Whether the Messages API takes the turns verbatim: all are its own, by the same model.

        Thinking blocks are bound to the model that wrote them, and a session's tools are not ours.
        """
        return all(turn.path is PathName.MESSAGES and turn.model == model and turn.messages for turn in self.turns)

    def document(self) -> dict[str, Any]:
        """The transcript in the values that JSON knows."""
        return {"schema": 1, "turns": [_turn_document(turn) for turn in self.turns]}

    def to_json(self) -> str:
        """The transcript as a JSON text, in which `from_json` finds every character and the order of all keys again.

        Half of a surrogate pair, which neither a request nor a database takes, becomes U+FFFD.
        """
        return _SURROGATE.sub("\ufffd", json.dumps(self.document(), ensure_ascii=False))

    @classmethod
    def from_json(cls, text: str | bytes) -> Transcript:
        """Read what `to_json` wrote. Raises InvalidAction with every problem at once, by its place, quoting nothing."""
        return cls(tuple(_turn(turn) for turn in read_history(text).turns))

    def problems(self) -> list[str]:
        """All that keeps it from being an action's history, by its place, quoting nothing: what `from_json` refuses."""
        turns: object = self.turns
        if isinstance(turns, tuple):
            turns = tuple(_fields(turn) if isinstance(turn, Turn) else turn for turn in turns)
        return history_problems({"schema": 1, "turns": turns})


NO_TURNS = Transcript()
"""The transcript of a conversation that begins."""


_SURROGATE = re.compile("[\ud800-\udfff]")


def _fields(turn: Turn) -> dict[str, Any]:
    return {name: getattr(turn, name) for name in ("question", "path", "model", "answer", "messages")}


def _turn_document(turn: Turn) -> dict[str, Any]:
    return {**_fields(turn), "messages": list(turn.messages)}


def _turn(document: TurnDocument) -> Turn:
    return Turn(
        question=document.question,
        path=document.path,
        model=document.model,
        answer=document.answer,
        messages=verbatim([message.model_dump() for message in document.messages]),
    )


def verbatim(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages as a value of their own: further changes of the list don't reach it."""
    return tuple({"role": message["role"], "content": list(message["content"])} for message in messages)
