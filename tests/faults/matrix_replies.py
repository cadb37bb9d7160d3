"""Faults inside a stream, and of the model's reply."""

from __future__ import annotations

from matrix import EQUAL, PARTIAL, SHORT_S, Never, Scenario, answered, asked, cell, failed, too_late, worked

from dispatcher.action.observation import EndedBy, ErrorType
from dispatcher.simulator.faults import (
    ContextWindow,
    Cut,
    Duplicate,
    EmptyContent,
    ErrorEvent,
    InvalidReport,
    MalformedInput,
    MaxTokens,
    Refuse,
    Rule,
    Silence,
    UnknownEvent,
)

_TEXT = "content_block_delta"
_NOT_TOLD = answered(retries=1, money=PARTIAL)
_NO_SETTING = Never("the platform has no such setting, and its harness goes on by itself")
_NO_REPLAY = Never("such a stream is one response, and never delivered again")


def _streamed(fault, **where):
    return Rule(on="events.stream", fault=fault, **where)


def _streams(what, fault, legacy, managed_fault, managed=None, *, deadline_s=30.0, **more):
    """The fault in the stream of a reply, and in that of a session, which is only a way to see what happens there."""
    return Scenario(
        fault.name,
        what,
        cell(legacy, asked(fault), deadline_s=deadline_s),
        cell(managed or answered(), _streamed(managed_fault), deadline_s=deadline_s, **more),
    )


def _broken(error_type, money=PARTIAL):
    """The output is paid for, and its count isn't known."""
    return failed(error_type, money=money)


STREAMS = [
    _streams("before the first event, abruptly", Cut(), _NOT_TOLD, Cut()),
    _streams("before the first event, in good form", Cut(how="clean"), _NOT_TOLD, Cut(how="clean")),
    _streams(
        "in the middle of the output, abruptly",
        Cut(at_event=_TEXT),
        _broken(ErrorType.CONNECTION),
        Cut(at_event="agent.tool_use"),
    ),
    _streams(
        "in the middle of the output, by a reset",
        Cut(at_event=_TEXT, how="reset"),
        _broken(ErrorType.CONNECTION),
        Cut(at_event="agent.tool_use", how="reset"),
    ),
    _streams(
        "in the middle of the output, in good form",
        Cut(at_event=_TEXT, how="clean"),
        _broken(ErrorType.STREAM_TRUNCATED),
        Cut(at_event="agent.tool_use", how="clean"),
    ),
    _streams(
        "before its end is told, in good form",
        Cut(at_event="message_delta", how="clean"),
        _broken(ErrorType.STREAM_TRUNCATED),
        Cut(at_event="session.status_idle", how="clean"),
    ),
    _streams(
        "before its very last event, in good form",
        Cut(at_event="message_stop", how="clean"),
        _broken(ErrorType.STREAM_TRUNCATED, EQUAL),
        Cut(at_event="session.usage", how="clean"),
    ),
    Scenario(
        "cut",
        "every stream, in good form: what is missed is read from the session's history",
        cell(failed(ErrorType.STREAM_TRUNCATED, retries=2, money="NULL, missing"), asked(Cut(how="clean"), every=True)),
        cell(answered(), _streamed(Cut(at_event=3, how="clean"), every=True)),
    ),
    _streams("overloaded, before any output", ErrorEvent(), _NOT_TOLD, ErrorEvent()),
    _streams(
        "overloaded, in the middle of the output",
        ErrorEvent(at_event=_TEXT),
        _broken(ErrorType.OVERLOADED),
        ErrorEvent(at_event="agent.tool_use"),
    ),
    _streams(
        "an API error, in the middle of the output",
        ErrorEvent(at_event=_TEXT, error_type="api_error"),
        _broken(ErrorType.PROVIDER_ERROR),
        ErrorEvent(at_event="agent.tool_use", error_type="api_error"),
    ),
    _streams(
        "for a simulated minute", Silence(at_event=_TEXT, seconds=60), answered(), Silence(at_event=3, seconds=60)
    ),
    *(
        _streams(
            f"for ever, {with_}",
            Silence(at_event=_TEXT, keepalive=keepalive),
            too_late(money=PARTIAL),
            Silence(keepalive=keepalive),
            too_late(),
            deadline_s=SHORT_S,
        )
        for keepalive, with_ in (("comment", "with comments"), ("ping", "with pings"), ("none", "without a byte"))
    ),
    Scenario(
        "silence",
        "for ever, and the deadline is far: the session's history is looked at",
        Never("a reply is told by its stream alone"),
        cell(answered(), _streamed(Silence()), silence_s=0.3),
    ),
    Scenario("duplicate", "every event", _NO_REPLAY, cell(answered(), _streamed(Duplicate()))),
    Scenario(
        "duplicate", "the end", _NO_REPLAY, cell(answered(), _streamed(Duplicate(at_event="session.status_idle")))
    ),
    _streams("in the stream", UnknownEvent(at_event=_TEXT), answered(), UnknownEvent(at_event=3)),
    Scenario(
        "unknown_event",
        "in a session's history",
        Never("a reply has no history"),
        cell(answered(), worked(UnknownEvent())),
    ),
]


def _replies(what, fault, claim, managed=None, *, at=1, times=1):
    """The same at a model request of either path."""
    return Scenario(
        fault.name,
        what,
        cell(claim, asked(fault, at=at, times=times)),
        managed or cell(claim, worked(fault, at=at, times=times)),
    )


_REPAIRED = answered(repairs=1)
_INVALID = failed(ErrorType.OUTPUT_INVALID, repairs=1)

REPLIES = [
    _replies("the first reply", Refuse(), failed(ErrorType.REFUSAL, EndedBy.REFUSAL)),
    _replies("the second reply", Refuse(category="cyber"), failed(ErrorType.REFUSAL, EndedBy.REFUSAL), at=2),
    _replies("once", EmptyContent(), _REPAIRED, cell(failed(ErrorType.OUTPUT_INVALID), worked(EmptyContent(), at=1))),
    _replies(
        "twice",
        EmptyContent(),
        _INVALID,
        Never("the first one ends the turn"),
        times=2,
    ),
    *(
        scenario
        for form in ("schema", "not_json")
        for scenario in (
            _replies(f"once ({form})", InvalidReport(form=form), _REPAIRED),
            _replies(f"twice ({form})", InvalidReport(form=form), _INVALID, times=2),
        )
    ),
    _replies("the first reply", MaxTokens(), failed(ErrorType.MAX_TOKENS), _NO_SETTING),
    _replies("the first reply", ContextWindow(), failed(ErrorType.CONTEXT_WINDOW), _NO_SETTING),
    *(
        _replies(
            f"the first tool call ({form})",
            MalformedInput(form=form),
            failed(ErrorType.UNEXPECTED_REPLY),
            Never("the platform runs its tools itself, and tells inputs as objects"),
        )
        for form in ("truncated", "garbage")
    ),
]

SCENARIOS = [*STREAMS, *REPLIES]
