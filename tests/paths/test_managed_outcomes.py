"""What the events of a turn make of an attempt, without a connection."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from managed_world import make_caps
from session_scripts import (
    INVALID_REPORT,
    MESSAGE_ID,
    REPORT,
    Event,
    echo,
    error,
    idle,
    message,
    request_end,
    request_start,
)

from dispatcher.action.observation import EndedBy, ErrorType, Status
from dispatcher.paths.managed.ending import outcome_of
from dispatcher.paths.managed.events import TurnState, reduce
from dispatcher.paths.managed.steps import Done, Halt, next_step
from dispatcher.paths.path import Outcome

BEGIN: tuple[Event, ...] = (echo(), request_start(1))


def outcome_after(events: Sequence[Event]) -> Outcome:
    """The outcome of a turn that ended, or has to be stopped, after the events."""
    state = TurnState(caps=make_caps(30), message_id=MESSAGE_ID)
    for event in events:
        state = reduce(state, event)
    assert isinstance(next_step(state), Done | Halt)
    return outcome_of(state)


@pytest.mark.parametrize("text", ["", "It is in switch.py.", json.dumps(INVALID_REPORT)])
def test_an_end_without_a_valid_report_is_an_error(text: str):
    outcome = outcome_after([*BEGIN, message("m", text), request_end(1), idle("i")])

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.OUTPUT_INVALID)
    assert (outcome.output_chars, outcome.stop_reason) == (len(text), "end_turn")


def test_an_earlier_report_does_not_count_when_the_last_message_is_something_else():
    outcome = outcome_after(
        [*BEGIN, message("m1", json.dumps(REPORT)), message("m2", "Sorry."), request_end(1), idle("i")]
    )

    assert outcome.error_type is ErrorType.OUTPUT_INVALID


@pytest.mark.parametrize(
    ("kind", "retry", "expected"),
    [
        ("repository_clone_error", "retrying", ErrorType.REPOSITORY),
        ("repository_authentication_error", "retrying", ErrorType.REPOSITORY),
        ("repository_error_of_next_year", "exhausted", ErrorType.REPOSITORY),
        ("tool_use_limit_reached_error", "exhausted", ErrorType.TOOL_USE_LIMIT),
        ("compaction_limit_reached_error", "exhausted", ErrorType.CONTEXT_WINDOW),
        ("billing_error", "exhausted", ErrorType.BILLING),
        ("model_overloaded_error", "exhausted", ErrorType.RETRIES_EXHAUSTED),
        ("unknown_error", "exhausted", ErrorType.RETRIES_EXHAUSTED),
    ],
)
def test_a_session_error_with_no_way_on_is_a_failure(kind: str, retry: str, expected: ErrorType):
    script = [*BEGIN, error(kind, retry), message("m", json.dumps(REPORT)), request_end(1), idle("i")]
    outcome = outcome_after(script)

    assert (outcome.status, outcome.ended_by, outcome.error_type) == (Status.ERROR, EndedBy.FAILURE, expected)
    assert outcome.error is not None
    assert kind in outcome.error


@pytest.mark.parametrize(
    ("reason", "expected", "ended_by"),
    [
        ("retries_exhausted", ErrorType.RETRIES_EXHAUSTED, EndedBy.FAILURE),
        ("budget_reached", ErrorType.BUDGET_REACHED, EndedBy.COST_CAP),
        ("refusal", ErrorType.REFUSAL, EndedBy.REFUSAL),
        ("a_reason_of_next_year", ErrorType.UNEXPECTED_REPLY, EndedBy.FAILURE),
    ],
)
def test_going_idle_for_another_reason_than_the_end_of_the_turn_is_an_error(
    reason: str, expected: ErrorType, ended_by: EndedBy
):
    outcome = outcome_after([*BEGIN, message("m", json.dumps(REPORT)), request_end(1), idle("i", reason)])

    assert (outcome.error_type, outcome.ended_by, outcome.stop_reason) == (expected, ended_by, reason)


@pytest.mark.parametrize("kind", ["session.status_terminated", "session.deleted"])
def test_a_session_that_is_gone_is_an_error(kind: str):
    outcome = outcome_after([*BEGIN, error("model_request_failed_error", "terminal"), {"type": kind, "id": "gone"}])

    assert outcome.error_type is ErrorType.SESSION_TERMINATED
