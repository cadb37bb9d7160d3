"""Random schedules of faults: what is asked, how, and what goes wrong meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, get_args

from faults_ground import API_KEY, TOKEN, Cancel
from hypothesis import strategies as st
from pydantic import ValidationError

from dispatcher.simulator.faults import (
    AnyFault,
    BudgetReached,
    CloneError,
    ContextWindow,
    Cut,
    Deleted,
    DropAfter,
    DropBefore,
    Duplicate,
    EmptyContent,
    ErrorEvent,
    FailedRequest,
    ForeignInterrupt,
    IgnoredInterrupt,
    InvalidReport,
    LateUsage,
    MalformedInput,
    MaxTokens,
    NonJson,
    Refuse,
    Rescheduled,
    Rule,
    SessionError,
    Silence,
    SlowHeaders,
    SlowInterrupt,
    StaleStatus,
    Stall,
    Status,
    Terminated,
    UnknownEvent,
)

ON_MESSAGES = ("legacy", "legacy-cached")
ON_MANAGED = ("managed-haiku-4-5-cap8", "managed-confirm")
CROSSING = ("legacy-falling", "managed-falling", "legacy", "managed-haiku-4-5-cap8")
"""Variants; one that is `falling` has a fallback on the other path."""
BUDGET_USD = 7
"""What a tenant of a desk with budgets may spend in a day: one action of the dearest variant, and a little."""

_PROVISION = ("agents.list", "agents.create", "environments.list", "environments.create")
_REQUESTS = {
    "messages": ("messages.create",),
    "managed": (
        "sessions.create",
        "sessions.list",
        "sessions.retrieve",
        "sessions.update",
        "sessions.archive",
        "events.send",
        "events.list",
        "events.stream",
    ),
}
_MOMENTS = ("repository.clone", "model_request", "session.idle")
_SENT = ("user.message", "user.interrupt", "user.custom_tool_result", "user.tool_confirmation")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is asked and what goes wrong.

    `turns` names the variant of each dispatch; `conversation` says that they are turns of one, `repeats` that they have
    one idempotency key and one question. `attempts` is the retry policy's, and `keeps` says that content is kept. A
    `newcomer` is a dispatcher that knows no agent yet, one that is `budgeted` has a tenant with a budget.
    """

    turns: tuple[str, ...]
    rules: tuple[Rule, ...]
    conversation: bool = False
    repeats: bool = False
    attempts: int = 3
    keeps: bool = False
    budgeted: bool = False
    newcomer: bool = False
    iterations: int | None = None
    deadline_s: float = 1.5
    cancel: Cancel | None = None

    def __repr__(self) -> str:
        said = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name != "rules"]
        rules = [f"        {_written(rule)}," for rule in self.rules]
        return "\n".join([f"Schedule(\n    {', '.join(said)},", "    rules=(", *rules, "    ),\n)"])

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))


def _written(rule: Rule) -> str:
    """A rule as it would be written down, without what is left out."""
    where = rule.model_dump(exclude_defaults=True, exclude={"fault"})
    what = rule.fault.model_dump(exclude_defaults=True)
    called = ", ".join(f"{name}={value!r}" for name, value in what.items())
    return f"Rule({', '.join(f'{n}={v!r}' for n, v in where.items())}, fault={type(rule.fault).__name__}({called}))"


_quoting = st.sampled_from(["Injected by the simulator", f"no such key: Bearer {API_KEY}"])
_event = st.one_of(
    st.integers(1, 30),
    st.sampled_from(
        [
            "content_block_delta",
            "message_delta",
            "message_stop",
            "agent.tool_use",
            "agent.custom_tool_use",
            "session.status_idle",
            "span.model_request_end",
        ]
    ),
)
_seconds = st.sampled_from([0.0, 5.0, 50.0, 300.0])
_REFUSALS = [400, 401, 403, 404, 409, 413, 429, 529]
_PERHAPS_RUN = [408, 500, 502, 503, 504]


def _answered(statuses: list[int], applied: st.SearchStrategy[bool]) -> st.SearchStrategy[Status]:
    return st.builds(
        Status,
        status=st.sampled_from(statuses),
        message=_quoting,
        retry_after_ms=st.sampled_from([None, 0, 20, 3_600_000]),
        should_retry=st.sampled_from([None, None, True, False]),
        html=st.booleans(),
        applied=applied,
    )


# A refusal says that nothing was run, and nobody is billed for one.
_statuses = st.one_of(_answered(_REFUSALS, st.just(False)), _answered(_PERHAPS_RUN, st.booleans()))

ACTS_ON = {fault.model_fields["name"].default: fault.acts_on for fault in get_args(AnyFault)}
"""Where each fault of the simulator's can strike."""

FAULTS: dict[str, st.SearchStrategy[Any]] = {
    "status": _statuses,
    "drop_before": st.builds(DropBefore),
    "drop_after": st.builds(DropAfter),
    "non_json": st.builds(NonJson, applied=st.booleans()),
    "stall": st.builds(Stall, applied=st.booleans()),
    "slow_headers": st.builds(SlowHeaders, seconds=_seconds),
    "cut": st.builds(Cut, at_event=_event, how=st.sampled_from(["abrupt", "reset", "clean"])),
    "error_event": st.builds(
        ErrorEvent,
        at_event=_event,
        error_type=st.sampled_from(["overloaded_error", "rate_limit_error", "api_error", "timeout_error"]),
        message=_quoting,
    ),
    "silence": st.builds(
        Silence,
        at_event=_event,
        seconds=st.sampled_from([10.0, 100.0, None]),
        keepalive=st.sampled_from(["comment", "ping", "none"]),
    ),
    "duplicate": st.builds(Duplicate, at_event=st.one_of(st.just(0), _event)),
    "unknown_event": st.builds(UnknownEvent, at_event=_event),
    "refusal": st.builds(Refuse),
    "empty_content": st.builds(EmptyContent),
    "invalid_report": st.builds(InvalidReport, form=st.sampled_from(["schema", "not_json"])),
    "max_tokens": st.builds(MaxTokens),
    "context_window": st.builds(ContextWindow),
    "malformed_input": st.builds(MalformedInput, form=st.sampled_from(["truncated", "garbage"])),
    "session_error": st.builds(
        SessionError,
        error_type=st.sampled_from(
            [
                "unknown_error",
                "model_overloaded_error",
                "billing_error",
                "tool_use_limit_reached_error",
                "repository_clone_error",
            ]
        ),
        retry_status=st.sampled_from(["retrying", "exhausted", "terminal"]),
        message=_quoting,
    ),
    "rescheduled": st.builds(Rescheduled, seconds=_seconds),
    "terminated": st.builds(Terminated),
    "deleted": st.builds(Deleted),
    "budget_reached": st.builds(BudgetReached),
    "foreign_interrupt": st.builds(ForeignInterrupt),
    "failed_request": st.builds(FailedRequest),
    "late_usage": st.builds(LateUsage),
    "clone_error": st.builds(CloneError),
    "stale_status": st.builds(StaleStatus, ms=st.sampled_from([20, 200, 800])),
    "slow_interrupt": st.builds(SlowInterrupt, seconds=_seconds),
    "ignored_interrupt": st.builds(IgnoredInterrupt, requests=st.sampled_from([1, 3, None])),
}


@st.composite
def _rules(draw: st.DrawFn, operations: tuple[str, ...]) -> Rule:
    """A fault at a place where it can strike."""
    names = [name for name in sorted(FAULTS) if _places(name, operations)]
    name = draw(st.sampled_from(names))
    on = draw(st.sampled_from(_places(name, operations)))
    fault: AnyFault = draw(FAULTS[name])
    sent = draw(st.sampled_from([None, *_SENT])) if on == "events.send" else None
    if name in ("slow_interrupt", "ignored_interrupt"):
        sent = "user.interrupt"
    if getattr(fault, "message", None) is not None and on == "sessions.create" and draw(st.booleans()):
        fault = fault.model_copy(update={"message": f"the token {TOKEN} is no good"})
    often = draw(st.sampled_from([{}, {}, {"times": 2}, {"times": 4}, {"every": True}]))
    try:
        return Rule(on=on, fault=fault, sent=sent, at=draw(st.integers(1, 6)), **often)
    except ValidationError:
        # What changes nothing can't be applied unseen.
        return Rule(on=on, fault=fault.model_copy(update={"applied": False}), sent=sent)


def _places(name: str, operations: tuple[str, ...]) -> list[str]:
    return [one for one in operations if one in ACTS_ON[name]]


@st.composite
def schedules(
    draw: st.DrawFn,
    variants: tuple[str, ...],
    shapes: tuple[str, ...] = ("once", "once", "conversation", "conversation", "repeated"),
) -> Schedule:
    """A schedule of dispatches with these variants."""
    shape = draw(st.sampled_from(shapes))
    count = 2 if shape == "conversation" else 1
    turns = tuple(draw(st.lists(st.sampled_from(variants), min_size=count, max_size=count)))
    if shape == "repeated":
        turns *= 2
    operations: tuple[str, ...] = ()
    if any(one.startswith("legacy") or one == "managed-falling" for one in turns):
        operations += _REQUESTS["messages"]
    newcomer = False
    if any(one.startswith("managed") or one == "legacy-falling" for one in turns):
        operations += _REQUESTS["managed"] + _MOMENTS
        newcomer = draw(st.sampled_from([False, False, False, True]))
        operations += _PROVISION if newcomer else ()
    return Schedule(
        turns=turns,
        rules=tuple(draw(st.lists(_rules(operations), min_size=1, max_size=4))),
        conversation=shape == "conversation",
        repeats=shape == "repeated",
        attempts=draw(st.sampled_from([3, 3, 1])),
        keeps=draw(st.booleans()),
        budgeted=draw(st.sampled_from([False, False, True])),
        newcomer=newcomer,
        iterations=draw(st.sampled_from([None, None, None, 1, 3])),
        deadline_s=draw(st.sampled_from([1.5, 1.5, 1.5, 0.3])),
        cancel=draw(
            st.one_of(
                st.none(),
                st.none(),
                st.builds(Cancel, at_request=st.integers(1, 5)),
                st.builds(Cancel, after_s=st.sampled_from([0.0, 0.005, 0.02, 0.05, 0.1, 0.2])),
            )
        ),
    )
