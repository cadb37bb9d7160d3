"""How a managed turn ended: from the state of its events to the outcome of the attempt, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.paths.claude import one_sentence
from dispatcher.paths.managed.caps import last_request
from dispatcher.paths.managed.events import End, Stop, Submission, TurnState
from dispatcher.paths.managed.steps import read_report
from dispatcher.paths.path import Outcome


@dataclass(frozen=True, slots=True)
class _Error:
    ended_by: EndedBy
    error_type: ErrorType
    stage: ErrorStage
    text: str


_BY_STOP: Mapping[Stop, _Error] = {
    Stop.ITERATION_CAP: _Error(
        EndedBy.ITERATION_CAP,
        ErrorType.ITERATION_CAP,
        ErrorStage.REQUEST,
        "the iteration cap was reached before a report was submitted",
    ),
    Stop.TOOL_CALL_CAP: _Error(
        EndedBy.TOOL_CALL_CAP,
        ErrorType.TOOL_CALL_CAP,
        ErrorStage.TOOLS,
        "the cap on tool calls was reached before a report was submitted",
    ),
    Stop.TOKEN_CAP: _Error(
        EndedBy.TOKEN_CAP,
        ErrorType.TOKEN_CAP,
        ErrorStage.REQUEST,
        "the cap on tokens was reached before a report was submitted",
    ),
    Stop.COST_CAP: _Error(
        EndedBy.COST_CAP,
        ErrorType.COST_CAP,
        ErrorStage.REQUEST,
        "the cap on cost was reached before a report was submitted",
    ),
    Stop.REPOSITORY: _Error(
        EndedBy.FAILURE, ErrorType.REPOSITORY, ErrorStage.SESSION, "the platform could not mount the repository"
    ),
    Stop.OUTPUT_INVALID: _Error(
        EndedBy.FAILURE,
        ErrorType.OUTPUT_INVALID,
        ErrorStage.OUTPUT,
        "the submitted report did not satisfy the schema, nor did its correction",
    ),
    Stop.INTERRUPTED: _Error(
        EndedBy.INTERRUPT, ErrorType.INTERRUPTED, ErrorStage.STREAM, "somebody else interrupted the session"
    ),
    Stop.UNKNOWN_ACTION: _Error(
        EndedBy.FAILURE,
        ErrorType.UNEXPECTED_REPLY,
        ErrorStage.TOOLS,
        "the session waits for an action that it was never offered",
    ),
}
_BY_DEAD: Mapping[str, _Error] = {
    "tool_use_limit_reached_error": _Error(
        EndedBy.FAILURE,
        ErrorType.TOOL_USE_LIMIT,
        ErrorStage.TOOLS,
        "the platform's own limit of tool rounds was reached",
    ),
    "compaction_limit_reached_error": _Error(
        EndedBy.FAILURE, ErrorType.CONTEXT_WINDOW, ErrorStage.REQUEST, "the platform's limit of compactions was reached"
    ),
    "billing_error": _Error(
        EndedBy.FAILURE, ErrorType.BILLING, ErrorStage.REQUEST, "the platform reported a billing error"
    ),
}
_BY_REASON: Mapping[str, _Error] = {
    "retries_exhausted": _Error(
        EndedBy.FAILURE, ErrorType.RETRIES_EXHAUSTED, ErrorStage.REQUEST, "the platform's retries were exhausted"
    ),
    "budget_reached": _Error(
        EndedBy.COST_CAP, ErrorType.BUDGET_REACHED, ErrorStage.REQUEST, "the session's own budget was reached"
    ),
    "refusal": _Error(EndedBy.REFUSAL, ErrorType.REFUSAL, ErrorStage.OUTPUT, "the model refused"),
}
_TERMINATED = _Error(
    EndedBy.FAILURE, ErrorType.SESSION_TERMINATED, ErrorStage.SESSION, "the session was terminated or deleted"
)
_UNKNOWN_REASON = _Error(
    EndedBy.FAILURE, ErrorType.UNEXPECTED_REPLY, ErrorStage.STREAM, "the session went idle for an unknown reason"
)


def outcome_of(state: TurnState) -> Outcome:
    """The outcome of a turn that has its result, has ended, or was stopped.

    A report counts where it was accepted before anything else ended the turn, or where the turn ended by itself as
    `end_turn` and its last message is a report. An interrupt, whoever sent it, a request beyond what a cap allows and a
    repository that isn't there are never a success. One that came after a cap, within its grace, is ended by that cap.
    """
    stop = _cause(state)
    if stop is not None:
        return _failed(state, _BY_STOP[stop], reported=state.repository_error)
    if state.accepted is not None:
        return _succeeded(state, state.accepted)
    if state.dead is not None and (state.end is End.IDLE or state.dead in _BY_DEAD):
        return _failed(state, _BY_DEAD.get(state.dead, _BY_REASON["retries_exhausted"]), reported=state.dead)
    if state.end is not End.IDLE:
        return _failed(state, _TERMINATED, reported=state.dead)
    if state.stop_reason == "end_turn":
        return _answered_in_text(state)
    return _failed(state, _BY_REASON.get(state.stop_reason or "", _UNKNOWN_REASON))


def _cause(state: TurnState) -> Stop | None:
    if state.repository_error is not None:
        return Stop.REPOSITORY
    if state.accepted is not None:
        return None
    if state.stopped is None and state.interrupted:
        return Stop.INTERRUPTED
    if state.stopped is None and state.requests > last_request(state):
        return Stop(state.capped or EndedBy.ITERATION_CAP)
    return state.stopped


def _answered_in_text(state: TurnState) -> Outcome:
    text = (state.last_text or "").strip()
    read = read_report(text)
    if isinstance(read, Submission):
        return _succeeded(state, read)
    if state.capped is not None:
        return _failed(state, _BY_STOP[Stop(state.capped)], output_chars=len(text))
    problem = f"the turn ended without a valid report: {read[0]}" if text else "the turn ended without a report"
    error = _Error(EndedBy.FAILURE, ErrorType.OUTPUT_INVALID, ErrorStage.OUTPUT, problem)
    return _failed(state, error, output_chars=len(text))


def _succeeded(state: TurnState, submission: Submission) -> Outcome:
    return Outcome(
        status=Status.SUCCESS,
        ended_by=state.capped or (EndedBy.ITERATION_CAP if _late_text(state) else EndedBy.COMPLETED),
        output=submission.report,
        output_chars=submission.chars,
        stop_reason=state.stop_reason,
    )


def _late_text(state: TurnState) -> bool:
    """Whether the report is the last message of a request that came after the iteration cap."""
    return state.accepted is None and state.requests > state.caps.iterations


def _failed(
    state: TurnState, error: _Error, *, reported: str | None = None, output_chars: int | None = None
) -> Outcome:
    return Outcome(
        status=Status.ERROR,
        ended_by=error.ended_by,
        output_chars=output_chars,
        stop_reason=state.stop_reason,
        error_type=error.error_type,
        error_stage=error.stage,
        error=f"{error.text} ({one_sentence(reported)})" if reported else error.text,
    )
