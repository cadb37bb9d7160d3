"""Route AI research between the Messages API and Claude Managed Agents, log every attempt, judge by the log.

The public names are imported on first use, since the provider's SDK costs about a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispatcher.action.event import (
        AttemptFinished,
        AttemptStarted,
        CapReached,
        Decided,
        Event,
        Finished,
        RepairRequested,
        RequestFinished,
        RequestStarted,
        RetryScheduled,
        TextArrived,
        ToolFinished,
    )
    from dispatcher.action.request import Limits, Repository, ResearchAction
    from dispatcher.action.result import ResearchResult
    from dispatcher.action.transcript import Transcript
    from dispatcher.dispatch.dispatcher import Dispatcher
    from dispatcher.errors import (
        ActionInProgress,
        AttemptFailed,
        BudgetExhausted,
        CalledOnEventLoop,
        ConversationBusy,
        ConversationContinues,
        DispatcherError,
        DuplicateAction,
        IdempotencyKeyReused,
        InvalidAction,
        InvalidInput,
        LogUnavailable,
        NoApiKey,
        RepositoryUnusable,
    )
    from dispatcher.wiring.default import adispatch_research, astream_research, dispatch_research

_EVENTS = "dispatcher.action.event"
_ERRORS = "dispatcher.errors"
_HOMES = {
    "ActionInProgress": _ERRORS,
    "AttemptFailed": _ERRORS,
    "AttemptFinished": _EVENTS,
    "AttemptStarted": _EVENTS,
    "BudgetExhausted": _ERRORS,
    "CalledOnEventLoop": _ERRORS,
    "CapReached": _EVENTS,
    "ConversationBusy": _ERRORS,
    "ConversationContinues": _ERRORS,
    "Decided": _EVENTS,
    "Dispatcher": "dispatcher.dispatch.dispatcher",
    "DispatcherError": _ERRORS,
    "DuplicateAction": _ERRORS,
    "Event": _EVENTS,
    "Finished": _EVENTS,
    "IdempotencyKeyReused": _ERRORS,
    "InvalidAction": _ERRORS,
    "InvalidInput": _ERRORS,
    "Limits": "dispatcher.action.request",
    "LogUnavailable": _ERRORS,
    "NoApiKey": _ERRORS,
    "RepairRequested": _EVENTS,
    "Repository": "dispatcher.action.request",
    "RepositoryUnusable": _ERRORS,
    "RequestFinished": _EVENTS,
    "RequestStarted": _EVENTS,
    "ResearchAction": "dispatcher.action.request",
    "ResearchResult": "dispatcher.action.result",
    "RetryScheduled": _EVENTS,
    "TextArrived": _EVENTS,
    "ToolFinished": _EVENTS,
    "Transcript": "dispatcher.action.transcript",
    "adispatch_research": "dispatcher.wiring.default",
    "astream_research": "dispatcher.wiring.default",
    "dispatch_research": "dispatcher.wiring.default",
}

__all__ = [
    "ActionInProgress",
    "AttemptFailed",
    "AttemptFinished",
    "AttemptStarted",
    "BudgetExhausted",
    "CalledOnEventLoop",
    "CapReached",
    "ConversationBusy",
    "ConversationContinues",
    "Decided",
    "Dispatcher",
    "DispatcherError",
    "DuplicateAction",
    "Event",
    "Finished",
    "IdempotencyKeyReused",
    "InvalidAction",
    "InvalidInput",
    "Limits",
    "LogUnavailable",
    "NoApiKey",
    "RepairRequested",
    "Repository",
    "RepositoryUnusable",
    "RequestFinished",
    "RequestStarted",
    "ResearchAction",
    "ResearchResult",
    "RetryScheduled",
    "TextArrived",
    "ToolFinished",
    "Transcript",
    "adispatch_research",
    "astream_research",
    "dispatch_research",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
