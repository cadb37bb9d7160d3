"""The protocol of a path: what it is given, what it does, what it says at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dispatcher.action.decision import Variant
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.report import ResearchReport
from dispatcher.paths.observation import Observer
from dispatcher.paths.repository import Checkout


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt to carry out: the question, where, and within what bounds.

    `log_id` tags what is created at the provider, so that an orphan can be matched to its row. `iteration_cap` is the
    cap in force, in model requests. The deadline is the caller's and arrives as a cancellation.
    """

    log_id: str
    tenant: str
    question: str
    variant: Variant
    iteration_cap: int
    checkout: Checkout


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
