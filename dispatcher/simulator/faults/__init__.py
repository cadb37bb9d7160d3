"""Faults on demand: what goes wrong, to which request, how often. Declared in a file, or while the simulator runs."""

from __future__ import annotations

from dispatcher.simulator.faults.plan import Fired
from dispatcher.simulator.faults.replies import (
    ContextWindow,
    EmptyContent,
    InvalidReport,
    MalformedInput,
    MaxTokens,
    Refuse,
)
from dispatcher.simulator.faults.responses import DropAfter, DropBefore, NonJson, SlowHeaders, Stall, Status
from dispatcher.simulator.faults.rule import AnyFault, Faults, Rule
from dispatcher.simulator.faults.runs import (
    BudgetReached,
    CloneError,
    Deleted,
    FailedRequest,
    ForeignInterrupt,
    IgnoredInterrupt,
    LateUsage,
    Rescheduled,
    SessionError,
    SlowInterrupt,
    StaleStatus,
    Terminated,
)
from dispatcher.simulator.faults.streams import Cut, Duplicate, ErrorEvent, Silence, UnknownEvent

__all__ = [
    "AnyFault",
    "BudgetReached",
    "CloneError",
    "ContextWindow",
    "Cut",
    "Deleted",
    "DropAfter",
    "DropBefore",
    "Duplicate",
    "EmptyContent",
    "ErrorEvent",
    "FailedRequest",
    "Faults",
    "Fired",
    "ForeignInterrupt",
    "IgnoredInterrupt",
    "InvalidReport",
    "LateUsage",
    "MalformedInput",
    "MaxTokens",
    "NonJson",
    "Refuse",
    "Rescheduled",
    "Rule",
    "SessionError",
    "Silence",
    "SlowHeaders",
    "SlowInterrupt",
    "StaleStatus",
    "Stall",
    "Status",
    "Terminated",
    "UnknownEvent",
]
