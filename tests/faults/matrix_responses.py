"""Faults of a whole response: an error status, a closed connection, a body that is none, a late answer."""

from __future__ import annotations

from matrix import (
    MISSING,
    NO_SUCH_REQUEST,
    PARTIAL,
    SHORT_S,
    Scenario,
    answered,
    asked,
    cell,
    failed,
    said,
    too_late,
)

from dispatcher.action.observation import ErrorType
from dispatcher.simulator.faults import Cut, DropAfter, DropBefore, NonJson, Rule, SlowHeaders, Stall, Status


def _both(what, fault, legacy, managed, *, deadline_s=30.0, **where):
    """The same fault at a model request of the one path, and at the user's message of the other."""
    return Scenario(
        fault.name,
        what,
        cell(legacy, asked(fault, **where), deadline_s=deadline_s),
        cell(managed, said(fault, **where), deadline_s=deadline_s),
    )


def _managed(what, operation, fault, claim, *, deadline_s=30.0, **where):
    """A fault of a request that only the managed path makes."""
    played = cell(
        claim,
        Rule(on=operation, fault=fault, **where),
        deadline_s=deadline_s,
        alone=operation.startswith(("agents.", "environments.")),
    )
    return Scenario(fault.name, f"`{operation}`: {what}", NO_SUCH_REQUEST, played)


def _refused(status, outcome, what=None, **fields):
    """A status that says that asking again is in vain."""
    ended = failed(outcome)
    return _both(what or f"{status}", Status(status=status, **fields), ended, ended)


_ONCE_AGAIN = answered(retries=1)
_NOT_TOLD = answered(retries=1, money=PARTIAL)
_HURT = Status(status=529)
_BROKEN = Status(status=500)
_LANDED = Status(status=500, applied=True)
_HTML = Status(status=502, html=True)

STATUSES = [
    _both("429 once, Retry-After 50 ms", Status(status=429, retry_after_ms=50), _ONCE_AGAIN, _ONCE_AGAIN),
    _both(
        "429 for ever",
        Status(status=429),
        failed(ErrorType.RATE_LIMITED, retries=2),
        failed(ErrorType.RATE_LIMITED, retries=2),
        every=True,
    ),
    _refused(429, ErrorType.RATE_LIMITED, "429, Retry-After an hour, which is after the deadline", retry_after_s=3600),
    _refused(
        429,
        ErrorType.BILLING,
        "429, the spend limit is reached",
        error_type="rate_limit_error",
        error_code="enforced_spend_limit_reached",
    ),
    _both("529 once", _HURT, _ONCE_AGAIN, _ONCE_AGAIN),
    _both(
        "529 for ever",
        _HURT,
        failed(ErrorType.OVERLOADED, retries=2),
        failed(ErrorType.OVERLOADED, retries=2),
        every=True,
    ),
    _refused(529, ErrorType.OVERLOADED, "529 with `x-should-retry: false`", should_retry=False),
    # What a 500 left behind isn't known: a request without a session may have been billed.
    _both("500 once", _BROKEN, _NOT_TOLD, _ONCE_AGAIN),
    _both("500 once, and the request was applied", _LANDED, _NOT_TOLD, _ONCE_AGAIN),
    _both(
        "502 with a proxy's page, for ever",
        _HTML,
        failed(ErrorType.PROVIDER_ERROR, retries=2, money=MISSING),
        failed(ErrorType.PROVIDER_ERROR, retries=2),
        every=True,
    ),
    _refused(400, ErrorType.INVALID_REQUEST),
    _both("400 once, with `x-should-retry: true`", Status(status=400, should_retry=True), _ONCE_AGAIN, _ONCE_AGAIN),
    _refused(401, ErrorType.AUTHENTICATION),
    _refused(402, ErrorType.BILLING),
    _refused(403, ErrorType.PERMISSION),
    _refused(404, ErrorType.NOT_FOUND),
    _refused(413, ErrorType.INVALID_REQUEST),
    _managed("529 once", "agents.list", _HURT, _ONCE_AGAIN),
    _managed("401", "agents.list", Status(status=401), failed(ErrorType.AUTHENTICATION)),
    _managed("500 once, and the agent was made", "agents.create", _LANDED, _ONCE_AGAIN),
    _managed("500 once, and the environment was made", "environments.create", _LANDED, _ONCE_AGAIN),
    _managed("529 once", "sessions.create", _HURT, _ONCE_AGAIN),
    _managed("500 once, and the session was made", "sessions.create", _LANDED, _ONCE_AGAIN),
    _managed("404, the agent is gone", "sessions.create", Status(status=404), failed(ErrorType.NOT_FOUND)),
    _managed("529 once", "events.stream", _HURT, _ONCE_AGAIN),
    _managed(
        "529 once, where the report is acknowledged", "events.send", _HURT, _ONCE_AGAIN, sent="user.custom_tool_result"
    ),
    _managed(
        "500 for ever, so the session's own count can't be read",
        "sessions.retrieve",
        _BROKEN,
        answered(retries=2, money=PARTIAL),
        every=True,
    ),
    _managed("500 twice", "sessions.archive", _BROKEN, answered(), times=2),
]

CONNECTIONS = [
    _both("once", DropBefore(), _NOT_TOLD, _ONCE_AGAIN),
    _both(
        "for ever",
        DropBefore(),
        failed(ErrorType.CONNECTION, retries=2, money=MISSING),
        failed(ErrorType.CONNECTION, retries=2),
        every=True,
    ),
    _managed("once", "sessions.create", DropBefore(), _ONCE_AGAIN),
    _managed("for ever", "sessions.create", DropBefore(), failed(ErrorType.CONNECTION, retries=2), every=True),
    _both("once", DropAfter(), _NOT_TOLD, _ONCE_AGAIN),
    _both("for ever", DropAfter(), failed(ErrorType.CONNECTION, retries=2, money=MISSING), _ONCE_AGAIN, every=True),
    _managed("once", "agents.create", DropAfter(), _ONCE_AGAIN),
    _managed("for ever", "sessions.create", DropAfter(), _ONCE_AGAIN, every=True),
    _managed("once", "events.send", DropAfter(), _ONCE_AGAIN, sent="user.custom_tool_result"),
]

BODIES = [
    _both("once", NonJson(), failed(ErrorType.UNEXPECTED_REPLY, money=MISSING), failed(ErrorType.UNEXPECTED_REPLY)),
    _both(
        "once, and the request was applied",
        NonJson(applied=True),
        failed(ErrorType.UNEXPECTED_REPLY, money=MISSING),
        failed(ErrorType.UNEXPECTED_REPLY),
    ),
    _managed(
        "once, and the session was made",
        "sessions.create",
        NonJson(applied=True),
        failed(ErrorType.UNEXPECTED_REPLY),
    ),
    _managed("once", "agents.list", NonJson(), failed(ErrorType.UNEXPECTED_REPLY)),
    Scenario(
        "non_json",
        "`events.list`: once, where a stream was cut and what it missed is read",
        NO_SUCH_REQUEST,
        cell(
            answered(),
            Rule(on="events.stream", fault=Cut(at_event="agent.tool_use")),
            # The first look is for a repository that was lost.
            Rule(on="events.list", fault=NonJson(), at=2),
        ),
    ),
    _both("for ever", Stall(), too_late(money=MISSING), too_late(), deadline_s=SHORT_S),
    _both(
        "for ever, and the request was applied",
        Stall(applied=True),
        too_late(money=MISSING),
        too_late(),
        deadline_s=SHORT_S,
    ),
    _managed(
        "for ever, and the session was made: nothing was said in it, and the sweep finds it",
        "sessions.create",
        Stall(applied=True),
        too_late(unarchived=1),
        deadline_s=SHORT_S,
    ),
    _both("by a simulated minute", SlowHeaders(seconds=60), answered(), answered()),
]

SCENARIOS = [*STATUSES, *CONNECTIONS, *BODIES]
