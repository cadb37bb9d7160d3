"""What is told of a dispatch while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dispatcher.action.decision import Decision
from dispatcher.action.observation import Call, EndedBy, ErrorType, Status
from dispatcher.action.result import ResearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Where the action goes, and why; nothing is spent yet."""

    dispatch_id: str
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """The attempt's row is durable; `attempt` counts from 1, a fallback is 2."""

    log_id: str
    attempt: int
    variant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStarted:
    """A model request begins; `ordinal` counts from 1 within the attempt."""

    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextArrived:
    """The model wrote visible text; on the messages path a piece of it, on the managed path a whole message."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A tool has answered the model; `name` is None where the provider doesn't tell it."""

    name: str | None
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished:
    """A model request has ended, with its usage and cost."""

    call: Call


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled:
    """A transient failure; the same request is sent again after `wait_s` seconds."""

    error_type: ErrorType
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapReached:
    """A limit is reached; the model is asked for its answer now."""

    ended_by: EndedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRequested:
    """The answer doesn't satisfy the schema; the model is told what is wrong, once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished:
    """The attempt has ended and its row is closed."""

    log_id: str
    status: Status
    ended_by: EndedBy
    error_type: ErrorType | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The answer; the last event of a dispatch that wasn't cancelled."""

    result: ResearchResult


Event = (
    Decided
    | AttemptStarted
    | RequestStarted
    | TextArrived
    | ToolFinished
    | RequestFinished
    | RetryScheduled
    | CapReached
    | RepairRequested
    | AttemptFinished
    | Finished
)
"""Told apart by class; more kinds may follow, so a match needs a default."""

OnEvent = Callable[[Event], None]
"""Called on the event loop's thread, in order; it must not block."""
