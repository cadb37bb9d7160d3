"""How an attempt ends that its path didn't end."""

from __future__ import annotations

import asyncio

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.errors import LogUnavailable
from dispatcher.paths.path import Outcome

CANCELLED = Outcome(
    status=Status.CANCELLED,
    ended_by=EndedBy.CANCEL,
    error_type=ErrorType.CANCELLED,
    error="the caller cancelled",
)
REFUSED = Outcome(
    status=Status.ERROR,
    ended_by=EndedBy.FAILURE,
    error_type=ErrorType.LOG_UNAVAILABLE,
    error="the action was refused, since the database didn't say that it has the row",
)


def session_unlogged(error: LogUnavailable) -> Outcome:
    """The log didn't take the session's id."""
    return Outcome(
        status=Status.ERROR,
        ended_by=EndedBy.FAILURE,
        error_type=ErrorType.LOG_UNAVAILABLE,
        error_stage=ErrorStage.SESSION,
        error=str(error),
    )


def too_late(deadline_s: float, stage: ErrorStage | None) -> Outcome:
    """The deadline passed before there was an answer."""
    return Outcome(
        status=Status.ERROR,
        ended_by=EndedBy.DEADLINE,
        error_type=ErrorType.DEADLINE,
        error_stage=stage,
        error=f"no answer within the deadline of {deadline_s:g} s",
    )


def outcome_of_break(cause: BaseException) -> Outcome:
    """How an attempt ends that was cancelled, or broken off by a defect or by the end of the program."""
    if isinstance(cause, asyncio.CancelledError):
        return CANCELLED
    return Outcome(
        status=Status.ERROR,
        ended_by=EndedBy.FAILURE,
        error_type=ErrorType.INTERNAL,
        error=f"a defect of the dispatcher: {type(cause).__name__}",
    )
