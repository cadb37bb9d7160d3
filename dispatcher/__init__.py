"""Route AI research between the Messages API and Claude Managed Agents, log every attempt, judge by the log.

The public names are imported on first use, since the provider's SDK costs about a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispatcher.action.request import Limits, Repository, ResearchAction
    from dispatcher.action.result import ResearchResult
    from dispatcher.dispatch.dispatcher import Dispatcher
    from dispatcher.errors import (
        AttemptFailed,
        CalledOnEventLoop,
        ConversationContinues,
        DispatcherError,
        InvalidAction,
        InvalidInput,
        LogUnavailable,
        NoApiKey,
        RepositoryUnusable,
    )
    from dispatcher.wiring import adispatch_research, dispatch_research

_HOMES = {
    "Dispatcher": "dispatcher.dispatch.dispatcher",
    "Limits": "dispatcher.action.request",
    "Repository": "dispatcher.action.request",
    "ResearchAction": "dispatcher.action.request",
    "ResearchResult": "dispatcher.action.result",
    "adispatch_research": "dispatcher.wiring",
    "dispatch_research": "dispatcher.wiring",
}

__all__ = [
    "AttemptFailed",
    "CalledOnEventLoop",
    "ConversationContinues",
    "Dispatcher",
    "DispatcherError",
    "InvalidAction",
    "InvalidInput",
    "Limits",
    "LogUnavailable",
    "NoApiKey",
    "Repository",
    "RepositoryUnusable",
    "ResearchAction",
    "ResearchResult",
    "adispatch_research",
    "dispatch_research",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "dispatcher.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
