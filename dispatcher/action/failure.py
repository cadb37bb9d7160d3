"""One classification of endings with two views: what the user felt, and whether we can do something about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status


class ProductView(StrEnum):
    """What the user felt."""

    ANSWERED = "answered"
    ANSWERED_AT_LIMIT = "answered_at_limit"
    """An answer that a limit brought forward."""
    CUT_SHORT = "cut_short"
    """A limit ended it without an answer."""
    NO_ANSWER = "no_answer"
    """It ran to its end, which was no usable answer."""
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"
    """It could not be had."""
    STOPPED_BY_USER = "stopped_by_user"
    PENDING = "pending"
    """It hasn't ended."""
    UNKNOWN = "unknown"
    """Its ending was never learned."""


class EngineeringView(StrEnum):
    """Who can do something about it."""

    NO_FAILURE = "no_failure"
    PROVIDER = "provider"
    NETWORK = "network"
    MODEL = "model"
    """What the model did; prompts and variants are the levers."""
    OURS = "ours"
    LIMITS = "limits"
    """The variant's or the caller's own limits, doing what they are for."""
    USER_ACTION = "user_action"
    """Somebody stopped it on purpose: nothing to mend."""
    UNCLASSIFIED = "unclassified"


class Source(StrEnum):
    """What the ending came from, and so who owns it."""

    NOWHERE = "nowhere"
    """There is nothing to own."""
    PROVIDER = "provider"
    NETWORK = "network"
    MODEL = "model"
    DISPATCHER = "dispatcher"
    VARIANT = "variant"
    """The definition in the policies."""
    LIMITS = "limits"
    """The caps in force, whoever tightened them."""
    ACCOUNT = "account"
    """The key, what it may do, and who pays for it."""
    REPOSITORY = "repository"
    """Mounting it: its address, its token, its host."""
    LOG = "log"
    CALLER = "caller"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FailureViews:
    """An ending, seen twice. `retryable` says that the same action, asked again as it is, may well be answered."""

    product: ProductView
    engineering: EngineeringView
    source: Source
    retryable: bool = False

    @property
    def is_failure(self) -> bool:
        """Whether an engineer counts it: neither a success, nor something unended, nor somebody's own wish."""
        return self.engineering not in {EngineeringView.NO_FAILURE, EngineeringView.USER_ACTION}


def failure_views(
    status: Status, ended_by: EndedBy | None, error_type: ErrorType | None, error_stage: ErrorStage | None
) -> FailureViews:
    """Both views of a row's ending; every combination has one.

    The status says most; of an error the type decides, and the stage where the same type means two things. `ended_by`
    only tells an answer at a limit from one without.
    """
    if status is Status.SUCCESS:
        return _ANSWERED_AT_LIMIT if ended_by in _LIMITS else _ANSWERED
    if status is Status.ERROR:
        return _BY_STAGE.get((error_type, error_stage)) or _BY_TYPE[error_type]
    return _BY_STATUS[status]


_LIMITS = frozenset(
    {EndedBy.ITERATION_CAP, EndedBy.TOOL_CALL_CAP, EndedBy.TOKEN_CAP, EndedBy.COST_CAP, EndedBy.DEADLINE}
)

_ANSWERED = FailureViews(ProductView.ANSWERED, EngineeringView.NO_FAILURE, Source.NOWHERE)
_ANSWERED_AT_LIMIT = FailureViews(ProductView.ANSWERED_AT_LIMIT, EngineeringView.NO_FAILURE, Source.NOWHERE)
_STOPPED = FailureViews(ProductView.STOPPED_BY_USER, EngineeringView.USER_ACTION, Source.CALLER)
_CUT_SHORT = FailureViews(ProductView.CUT_SHORT, EngineeringView.LIMITS, Source.LIMITS)
_NO_ANSWER = FailureViews(ProductView.NO_ANSWER, EngineeringView.MODEL, Source.MODEL, retryable=True)
_TOO_SMALL = FailureViews(ProductView.NO_ANSWER, EngineeringView.OURS, Source.VARIANT)
_NETWORK = FailureViews(ProductView.UNAVAILABLE, EngineeringView.NETWORK, Source.NETWORK, retryable=True)
_PROVIDER = FailureViews(ProductView.UNAVAILABLE, EngineeringView.PROVIDER, Source.PROVIDER, retryable=True)
_ACCOUNT = FailureViews(ProductView.UNAVAILABLE, EngineeringView.OURS, Source.ACCOUNT)
_DEFECT = FailureViews(ProductView.UNAVAILABLE, EngineeringView.OURS, Source.DISPATCHER)
_BUSY = FailureViews(ProductView.UNAVAILABLE, EngineeringView.OURS, Source.DISPATCHER, retryable=True)

_BY_STATUS: Mapping[Status, FailureViews] = {
    Status.STARTED: FailureViews(ProductView.PENDING, EngineeringView.NO_FAILURE, Source.NOWHERE),
    Status.CANCELLED: _STOPPED,
    # A process that died, or could not write: ours, whatever its attempt was about to end with.
    Status.LOST: FailureViews(ProductView.UNKNOWN, EngineeringView.OURS, Source.DISPATCHER, retryable=True),
}

_BY_TYPE: Mapping[ErrorType | None, FailureViews] = {
    None: FailureViews(ProductView.NO_ANSWER, EngineeringView.UNCLASSIFIED, Source.UNKNOWN),
    ErrorType.ITERATION_CAP: _CUT_SHORT,
    ErrorType.TOOL_CALL_CAP: _CUT_SHORT,
    ErrorType.TOKEN_CAP: _CUT_SHORT,
    ErrorType.COST_CAP: _CUT_SHORT,
    ErrorType.BUDGET_REACHED: _CUT_SHORT,
    ErrorType.DEADLINE: _CUT_SHORT,
    ErrorType.OUTPUT_INVALID: _NO_ANSWER,
    ErrorType.REFUSAL: FailureViews(ProductView.DECLINED, EngineeringView.MODEL, Source.MODEL),
    # Both read like the user's question being too large, and are a definition of ours that has no room for it.
    ErrorType.MAX_TOKENS: _TOO_SMALL,
    ErrorType.CONTEXT_WINDOW: _TOO_SMALL,
    ErrorType.STREAM_TRUNCATED: _NETWORK,
    ErrorType.CONNECTION: _NETWORK,
    ErrorType.UNEXPECTED_REPLY: _PROVIDER,
    ErrorType.RATE_LIMITED: _PROVIDER,
    ErrorType.OVERLOADED: _PROVIDER,
    ErrorType.PROVIDER_ERROR: _PROVIDER,
    ErrorType.SESSION_TERMINATED: _PROVIDER,
    ErrorType.RETRIES_EXHAUSTED: _PROVIDER,
    ErrorType.CIRCUIT_OPEN: _PROVIDER,
    ErrorType.TOOL_USE_LIMIT: FailureViews(ProductView.NO_ANSWER, EngineeringView.PROVIDER, Source.PROVIDER),
    ErrorType.AUTHENTICATION: _ACCOUNT,
    ErrorType.PERMISSION: _ACCOUNT,
    ErrorType.BILLING: _ACCOUNT,
    ErrorType.INVALID_REQUEST: _DEFECT,
    ErrorType.NOT_FOUND: _DEFECT,
    ErrorType.ORIGIN_MISMATCH: _DEFECT,
    ErrorType.INTERNAL: _DEFECT,
    ErrorType.QUEUE_FULL: _BUSY,
    ErrorType.LOG_UNAVAILABLE: FailureViews(ProductView.UNAVAILABLE, EngineeringView.OURS, Source.LOG, retryable=True),
    ErrorType.REPOSITORY: FailureViews(ProductView.UNAVAILABLE, EngineeringView.OURS, Source.REPOSITORY),
    ErrorType.INTERRUPTED: _STOPPED,
    ErrorType.CANCELLED: _STOPPED,
}

_BY_STAGE: Mapping[tuple[ErrorType | None, ErrorStage | None], FailureViews] = {
    # The time went by in our own queue, before anything was asked.
    (ErrorType.DEADLINE, ErrorStage.QUEUE): _BUSY,
    # Before any of the reply was read it is a proxy that answers, such as with a page of its own.
    (ErrorType.UNEXPECTED_REPLY, ErrorStage.REQUEST): _NETWORK,
    # A session that is gone is made anew.
    (ErrorType.NOT_FOUND, ErrorStage.SESSION): _PROVIDER,
}
