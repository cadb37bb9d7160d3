"""Faults inside a managed session, which the messages path can't meet."""

from __future__ import annotations

from faults_ground import Cancel
from matrix import NO_SESSION, PARTIAL, SHORT_S, Scenario, answered, cell, failed, given_up, too_late, worked

from dispatcher.action.observation import EndedBy, ErrorType
from dispatcher.simulator.faults import (
    BudgetReached,
    CloneError,
    Deleted,
    DropAfter,
    DropBefore,
    FailedRequest,
    ForeignInterrupt,
    IgnoredInterrupt,
    LateUsage,
    Rescheduled,
    Rule,
    SessionError,
    SlowInterrupt,
    StaleStatus,
    Terminated,
)


def _session(what, rule, claim, **more):
    return Scenario(rule.fault.name, what, NO_SESSION, cell(claim, rule, **more))


def _error(error_type, retry_status, claim):
    fault = SessionError(error_type=error_type, retry_status=retry_status)
    return _session(f"`{error_type}`, {retry_status}", worked(fault), claim)


def _idle(fault):
    # Before the last time it waits for our leave, or for our word on the report.
    return Rule(on="session.idle", fault=fault, at=8)


def _interrupt(fault):
    return Rule(on="events.send", sent="user.interrupt", fault=fault)


def _left(what, fault):
    """The caller cancels while the session is at work, and not waiting for the caller's own word on a tool."""
    cancel = Cancel(after_s=3)
    played = cell(given_up(), _interrupt(fault), worked(Rescheduled(seconds=6000)), cancel=cancel)
    return Scenario(fault.name, what, NO_SESSION, played)


SCENARIOS = [
    _error("model_overloaded_error", "retrying", answered()),
    _error("model_overloaded_error", "exhausted", failed(ErrorType.RETRIES_EXHAUSTED)),
    _error("model_rate_limited_error", "exhausted", failed(ErrorType.RETRIES_EXHAUSTED)),
    _error("model_request_failed_error", "terminal", failed(ErrorType.SESSION_TERMINATED)),
    _error("unknown_error", "terminal", failed(ErrorType.SESSION_TERMINATED)),
    _error("billing_error", "terminal", failed(ErrorType.BILLING)),
    # A cap of the platform's own, not a failure of the provider.
    _error("tool_use_limit_reached_error", "exhausted", failed(ErrorType.TOOL_USE_LIMIT)),
    _error("compaction_limit_reached_error", "exhausted", failed(ErrorType.CONTEXT_WINDOW)),
    _error("repository_authentication_error", "retrying", failed(ErrorType.REPOSITORY)),
    _session("for a simulated minute", worked(Rescheduled(seconds=60)), answered()),
    _session("for ever", worked(Rescheduled(seconds=1e9)), too_late(), deadline_s=SHORT_S),
    _session("before the first model request", worked(Terminated(), at=1), failed(ErrorType.SESSION_TERMINATED)),
    _session("before the second model request", worked(Terminated()), failed(ErrorType.SESSION_TERMINATED)),
    # Whose session is gone, its usage is gone with it.
    _session("before the second model request", worked(Deleted()), failed(ErrorType.SESSION_TERMINATED, money=PARTIAL)),
    _session(
        "before the second model request", worked(BudgetReached()), failed(ErrorType.BUDGET_REACHED, EndedBy.COST_CAP)
    ),
    _session(
        "at the second model request", worked(ForeignInterrupt()), failed(ErrorType.INTERRUPTED, EndedBy.INTERRUPT)
    ),
    _session("the second model request", worked(FailedRequest()), answered()),
    _session("of the second model request", worked(LateUsage()), answered()),
    # Told after the end; a turn listens until the last request it knows of has told its usage.
    _session("of the last model request", worked(LateUsage(), at=8), answered()),
    _session("of the session", _idle(LateUsage()), answered()),
    *(
        _session(
            f"`{kind}`",
            Rule(on="repository.clone", fault=CloneError(error_type=kind)),
            failed(ErrorType.REPOSITORY),
        )
        for kind in (
            "repository_authentication_error",
            "repository_forbidden_error",
            "repository_not_found_error",
            "repository_checkout_error",
            "repository_clone_error",
        )
    ),
    _session("for 200 ms", _idle(StaleStatus(ms=200)), answered()),
    # The caller waits two seconds for the session's own count, and no longer.
    _session("for 4 s", _idle(StaleStatus(ms=4000)), answered(money=PARTIAL)),
    _left("by 100 simulated seconds", SlowInterrupt(seconds=100)),
    _left("for one model request", IgnoredInterrupt(requests=1)),
    _left("to the end of the turn", IgnoredInterrupt()),
    _left("`events.send`: the interrupt", DropBefore()),
    _left("`events.send`: the interrupt", DropAfter()),
]
