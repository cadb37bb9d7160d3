"""The fault matrix: every fault of the simulator on both paths, with what each dispatch must come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from faults_ground import Cancel

from dispatcher.action.observation import EndedBy, ErrorType, Status
from dispatcher.simulator.faults import AnyFault, Rule

PATHS = {"legacy": "legacy", "managed": "managed-haiku-4-5-cap8"}
"""The column of the matrix, and the variant that is pinned for it."""
VOCABULARY = tuple(fault.model_fields["name"].default for fault in get_args(AnyFault))
"""The names of all faults that the simulator knows."""

EQUAL = "equal"
PARTIAL = "NULL, partial"
MISSING = "NULL, missing"

SHORT_S = 0.7
"""The deadline of cells in which somebody waits in vain."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a row must say. `money` is the recorded cost held against the charged one."""

    status: Status
    ended_by: EndedBy
    error_type: ErrorType | None = None
    retries: int = 0
    repairs: int = 0
    money: str = EQUAL
    unarchived: int = 0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One dispatch under faults, and the claim.

    `silence_s` is how long a silent stream is believed. A cell whose faults strike what is done once only is `alone`
    on a simulator of its own.
    """

    rules: tuple[Rule, ...]
    claim: Claim
    deadline_s: float = 30.0
    cancel: Cancel | None = None
    silence_s: float | None = None
    alone: bool = False


@dataclass(frozen=True)
class Never:
    """A fault that can't happen on a path, and why."""

    why: str


@dataclass(frozen=True)
class Scenario:
    """A fault, what it does here, and what becomes of it on either path."""

    fault: str
    what: str
    legacy: Cell | Never
    managed: Cell | Never

    @property
    def cells(self) -> dict[str, Cell | Never]:
        """By column."""
        return {"legacy": self.legacy, "managed": self.managed}


NO_SESSION = Never("there is no session")
NO_SUCH_REQUEST = Never("it makes no such request")


def answered(**more: object) -> Claim:
    """A whole answer."""
    return Claim(status=Status.SUCCESS, ended_by=EndedBy.COMPLETED, **more)


def failed(error_type: ErrorType, ended_by: EndedBy = EndedBy.FAILURE, **more: object) -> Claim:
    """No answer, for this reason."""
    return Claim(status=Status.ERROR, ended_by=ended_by, error_type=error_type, **more)


def too_late(**more: object) -> Claim:
    """The deadline passed."""
    return failed(ErrorType.DEADLINE, EndedBy.DEADLINE, **more)


def given_up(**more: object) -> Claim:
    """The caller cancelled."""
    return Claim(status=Status.CANCELLED, ended_by=EndedBy.CANCEL, error_type=ErrorType.CANCELLED, **more)


def cell(claim: Claim, *rules: Rule, **more: object) -> Cell:
    """A cell."""
    return Cell(claim=claim, rules=rules, **more)


def asked(fault: object, **where: object) -> Rule:
    """The fault, at a request to the Messages API; the first unless said otherwise."""
    return Rule(on="messages.create", fault=fault, **where)


def said(fault: object, **where: object) -> Rule:
    """The fault, where the user's message is sent to the session."""
    return Rule(on="events.send", sent="user.message", fault=fault, **where)


def worked(fault: object, at: int = 2, **where: object) -> Rule:
    """The fault, before a model request of the session; the second unless said otherwise."""
    return Rule(on="model_request", fault=fault, at=at, **where)
