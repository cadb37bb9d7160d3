"""A declared fault: which requests meet it, and what it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from dispatcher.document.notation import Contradictions, Strict, as_tuple
from dispatcher.document.reading import read_document
from dispatcher.errors import InvalidSimulation
from dispatcher.simulator.faults.replies import (
    ContextWindow,
    EmptyContent,
    InvalidReport,
    MalformedInput,
    MaxTokens,
    Refuse,
)
from dispatcher.simulator.faults.responses import DropAfter, DropBefore, NonJson, SlowHeaders, Stall, Status
from dispatcher.simulator.faults.runs import (
    BudgetReached,
    CloneError,
    Deleted,
    FailedRequest,
    ForeignInterrupt,
    IgnoredInterrupt,
    LateUsage,
    Rescheduled,
    SessionError,
    SlowInterrupt,
    StaleStatus,
    Terminated,
)
from dispatcher.simulator.faults.streams import Cut, Duplicate, ErrorEvent, Silence, UnknownEvent
from dispatcher.simulator.faults.vocabulary import TEXTLESS, WRITES, Operation

AnyFault = (
    Status
    | DropBefore
    | DropAfter
    | NonJson
    | Stall
    | SlowHeaders
    | Cut
    | ErrorEvent
    | Silence
    | Duplicate
    | UnknownEvent
    | Refuse
    | EmptyContent
    | MaxTokens
    | ContextWindow
    | InvalidReport
    | MalformedInput
    | SessionError
    | Rescheduled
    | Terminated
    | Deleted
    | BudgetReached
    | ForeignInterrupt
    | FailedRequest
    | LateUsage
    | CloneError
    | StaleStatus
    | SlowInterrupt
    | IgnoredInterrupt
)
SentType = Literal["user.message", "user.interrupt", "user.custom_tool_result", "user.tool_confirmation"]


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class Rule(Strict):
    """A fault, and the requests that meet it.

    Of the requests of operation `on` that the rule's other words fit, the one with ordinal `at` (from 1) meets the
    fault, and with `times` so many from there on, with `every` all from there on. Each rule counts for itself; where
    several are due at once, the first one declared strikes. A fault that can't strike a request (one of streams, where
    the request doesn't stream) doesn't count it.

    `scenario` is a piece of text that belongs to the request: of a user's message in a Messages request; of the name
    or a metadata value of an agent or environment being written; of a session's id, title, metadata values or user
    messages so far, those of the request included. `sent` is the type of an event that a request sends.
    """

    on: Operation
    fault: Annotated[AnyFault, Field(discriminator="name"), BeforeValidator(_named)]
    scenario: Annotated[str, Field(min_length=1)] | None = None
    sent: SentType | None = None
    at: Annotated[int, Field(ge=1)] = 1
    times: Annotated[int, Field(ge=1)] | None = None
    every: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Rule:
        problems = list(self._problems())
        if problems:
            raise Contradictions(problems)
        return self

    def _problems(self) -> Iterable[str]:
        if self.on not in self.fault.acts_on:
            places = ", ".join(sorted(self.fault.acts_on))
            yield f"the fault {self.fault.name} can't strike {self.on}; it strikes {places}"
        elif getattr(self.fault, "applied", False) and self.on not in WRITES:
            yield f"{self.on} changes nothing, so the fault can't have it applied"
        if self.scenario is not None and self.on in TEXTLESS:
            yield f"{self.on} carries no text, so it has no scenario"
        if self.sent is not None and self.on != "events.send":
            yield f"sent is of events.send only, not of {self.on}"
        if self.every and self.times is not None:
            yield "every and times exclude each other"

    def strikes(self, ordinal: int) -> bool:
        """Whether the request with this ordinal, of those that fit, meets the fault."""
        return self.at <= ordinal and (self.every or ordinal <= self._last)

    def is_spent(self, ordinal: int) -> bool:
        """Whether no request after this ordinal can meet the fault."""
        return not self.every and ordinal >= self._last

    @property
    def _last(self) -> int:
        return self.at + (self.times or 1) - 1


class _Document(Strict):
    schema_: Literal[1] = Field(alias="schema")
    rules: Annotated[tuple[Rule, ...], BeforeValidator(as_tuple)]


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults that a simulator starts with, in the order in which they are declared."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Faults:
        """Read a fault file. Raises InvalidSimulation with every problem and its line."""
        return cls(read_document(path, _Document, InvalidSimulation, typed=True).rules)
