"""The protocol of a path: what it is given, what it does, what it says at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dispatcher.action.decision import Caps, Variant
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.policy import RetryPolicy
from dispatcher.action.report import ResearchReport
from dispatcher.action.transcript import Transcript
from dispatcher.paths.observation import Observer
from dispatcher.paths.repository.checkout import Checkout


@dataclass(frozen=True, slots=True)
class Fresh:
    """There are no earlier turns."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Earlier turns that the model must be told; at least one."""

    transcript: Transcript


@dataclass(frozen=True, slots=True)
class PastSession:
    """The managed session of the turn before, and everything that must still be the same for it to go on.

    `prefix_fingerprint` stands for the tool contract and the system prompt.
    """

    session_id: str
    agent_id: str
    agent_version: int
    model: str
    repository: str | None
    commit_sha: str | None
    project: str | None
    prefix_fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Resume:
    """Earlier turns that a managed session still holds, and their transcript, for where it can't go on.

    A session without the transcript can't be stated: whatever keeps it from going on, the turns are told again.
    """

    session: PastSession
    transcript: Transcript


Seed = Fresh | Replay | Resume
"""How an attempt learns of the conversation so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt to carry out: the question, where, and within what bounds.

    `log_id` tags what is created at the provider, so that an orphan can be matched to its row. `caps` are those in
    force; the deadline among them is the caller's, ends at `deadline_ns` on the observer's clock, and arrives as a
    cancellation. `keeps_session` says that a later turn may go on with the session. `retries` is how what failed
    without output is sent again.
    """

    log_id: str
    tenant: str
    project: str | None
    question: str
    variant: Variant
    caps: Caps
    deadline_ns: int
    checkout: Checkout
    seed: Seed
    keeps_session: bool
    retries: RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended, by the path's own word; complete at birth.

    Only a terminal signal with a valid report is `success`. `stop_reason` is the provider's word, verbatim.
    `error` is one sentence for a person and holds no secret.
    """

    status: Status
    ended_by: EndedBy
    output: ResearchReport | None = None
    output_chars: int | None = None
    stop_reason: str | None = None
    error_type: ErrorType | None = None
    error_stage: ErrorStage | None = None
    error: str | None = None
    http_status: int | None = None

    @property
    def output_valid(self) -> bool:
        """Whether there is a report that satisfies the schema."""
        return self.output is not None


class Path(Protocol):
    """One way of carrying out research.

    `run` tells the observer what it sees while it runs, so that whatever cuts it short leaves a true row, and returns
    the outcome of every expected ending, the provider's failures included. A cancellation propagates after what runs
    at the provider was told to stop.
    """

    async def run(self, job: Job, observer: Observer) -> Outcome:
        """Carry out one attempt."""
        ...
