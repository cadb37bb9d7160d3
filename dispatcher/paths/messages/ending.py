"""How an attempt on the messages path ends, read off a whole reply; pure."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.report import ReportFinding, ResearchReport
from dispatcher.paths.claude import Failure
from dispatcher.paths.messages.limits import CAP_ERRORS
from dispatcher.paths.messages.reply import StreamedReply
from dispatcher.paths.path import Outcome

_UNUSABLE: Mapping[str, tuple[ErrorType, EndedBy, str]] = {
    "refusal": (ErrorType.REFUSAL, EndedBy.REFUSAL, "the model refused to answer"),
    "max_tokens": (ErrorType.MAX_TOKENS, EndedBy.FAILURE, "the reply was cut off at max_tokens"),
    "model_context_window_exceeded": (
        ErrorType.CONTEXT_WINDOW,
        EndedBy.FAILURE,
        "the conversation outgrew the model's context window",
    ),
}
_CAPS: Mapping[EndedBy, str] = {
    EndedBy.ITERATION_CAP: "the cap on model requests",
    EndedBy.TOOL_CALL_CAP: "the cap on tool calls",
    EndedBy.TOKEN_CAP: "the cap on tokens",
    EndedBy.COST_CAP: "the cap on cost",
}
_FIELDS = frozenset({*ResearchReport.model_fields, *ReportFinding.model_fields})
_MOST_PROBLEMS = 8


def unusable(reply: StreamedReply) -> Outcome | None:
    """The ending where a reply stopped for a reason that makes it no answer, whatever it holds; None otherwise."""
    known = _UNUSABLE.get(reply.stop_reason or "")
    if known is None:
        return None
    error_type, ended_by, message = known
    return _error(reply, error_type, message, ended_by)


def answered(reply: StreamedReply, cap: EndedBy | None) -> Outcome | InvalidReport:
    """The ending with a reply that should be the report; what is wrong with it where it is none.

    `cap` is the cap at which the answer was demanded, None where the model ended by itself.
    """
    text = reply.text
    try:
        report = ResearchReport.model_validate_json(text)
    except ValueError as error:
        return InvalidReport(error)
    return Outcome(
        status=Status.SUCCESS,
        ended_by=cap or EndedBy.COMPLETED,
        output=report,
        output_chars=len(text),
        stop_reason=reply.stop_reason,
    )


class InvalidReport:
    """What keeps an answer from being a report.

    `kinds` are the kinds of problems, for a row; `told` says where they are, for the model. Neither quotes the answer,
    as the rest of a validation error does.
    """

    def __init__(self, error: ValueError) -> None:
        problems = error.errors(include_input=False, include_url=False) if isinstance(error, ValidationError) else []
        self.kinds = ", ".join(sorted({problem["type"] for problem in problems} or {"text"}))
        told = dict.fromkeys(f"{_place(problem['loc'])}: {problem['type']}" for problem in problems)
        self.told = "; ".join(list(told)[:_MOST_PROBLEMS]) or "it is no readable text"

    def outcome(self, reply: StreamedReply) -> Outcome:
        """The ending where the report isn't mended."""
        message = f"the answer is not a report of the required form ({self.kinds})"
        return _error(reply, ErrorType.OUTPUT_INVALID, message)


def capped(reply: StreamedReply, cap: EndedBy) -> Outcome:
    """The ending at a cap without a valid report."""
    return _error(reply, CAP_ERRORS[cap], f"{_CAPS[cap]} was reached without a valid report", cap)


def no_room(cap: EndedBy) -> Outcome:
    """The ending where a cap leaves no room for a request; nothing of it was sent."""
    return Outcome(
        status=Status.ERROR,
        ended_by=cap,
        error_type=CAP_ERRORS[cap],
        error_stage=ErrorStage.REQUEST,
        error=f"{_CAPS[cap]} leaves no room for a request",
    )


def failed(reply: StreamedReply, failure: Failure, stage: ErrorStage) -> Outcome:
    """The ending with a failure of the provider, or on the way there."""
    return Outcome(
        status=Status.ERROR,
        ended_by=EndedBy.FAILURE,
        stop_reason=reply.stop_reason,
        error_type=failure.error_type,
        error_stage=stage,
        error=failure.message,
        http_status=failure.http_status,
    )


def _error(reply: StreamedReply, error_type: ErrorType, message: str, ended_by: EndedBy = EndedBy.FAILURE) -> Outcome:
    return Outcome(
        status=Status.ERROR,
        ended_by=ended_by,
        output_chars=len(reply.text),
        stop_reason=reply.stop_reason,
        error_type=error_type,
        error_stage=ErrorStage.OUTPUT,
        error=message,
    )


def _place(location: tuple[int | str, ...]) -> str:
    """Where a problem is, without names that the answer made up."""
    names = [str(part) if isinstance(part, int) or part in _FIELDS else "unknown field" for part in location]
    return ".".join(names) or "the reply"
