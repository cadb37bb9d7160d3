"""Faults inside a managed session."""

from __future__ import annotations

from typing import Any, get_args

import anthropic
import pytest
from fault_driving import Stage, asks, fault_names, kinds
from simulator_driving import Bench, Shop

from dispatcher.simulator.faults import (
    BudgetReached,
    CloneError,
    Deleted,
    FailedRequest,
    ForeignInterrupt,
    LateUsage,
    Rescheduled,
    Rule,
    SessionError,
    StaleStatus,
    Terminated,
    UnknownEvent,
)
from dispatcher.simulator.faults.runs import RepositoryError, SessionErrorType

RUN = "model_request"


@pytest.fixture
def desk(stage: Stage) -> Bench:
    return stage.desk()


def heard(desk: Bench, session_id: str) -> list[Any]:
    """What the stream brings, until the session is idle, terminated or deleted."""
    seen = []
    for event in desk.stream(session_id, asks()):
        seen.append(event)
        if event.type in ("session.status_idle", "session.status_terminated"):
            break
    return seen


def requests_charged(outcome: Any) -> int:
    return sum(entry.request_id.startswith("sevt_") for entry in outcome.charged)


@pytest.mark.parametrize("error_type", get_args(SessionErrorType))
def test_an_error_that_is_retried_stops_nothing(stage: Stage, desk: Bench, error_type: Any) -> None:
    rule = Rule(on=RUN, fault=SessionError(error_type=error_type))
    outcome = stage.meet(lambda: heard(desk, desk.session()), rule)
    error = next(event.error for event in outcome.value if event.type == "session.error")

    assert (error.type, error.retry_status.type) == (error_type, "retrying")
    assert outcome.value[-1].stop_reason.type == "requires_action"


@pytest.mark.parametrize("error_type", ["model_overloaded_error", "tool_use_limit_reached_error"])
def test_an_exhausted_error_ends_the_turn_and_flushes_what_waits(stage: Stage, desk: Bench, error_type: Any) -> None:
    session_id = desk.session()
    rule = Rule(on=RUN, fault=SessionError(error_type=error_type, retry_status="exhausted"))
    outcome = stage.meet(lambda: desk.until_idle(session_id, asks(), asks("And the invoice?")), rule)
    idle = outcome.value[-1]
    after = desk.until_idle(session_id, asks())

    assert idle.stop_reason.type == "retries_exhausted"
    assert requests_charged(outcome) == 0
    assert all(event.processed_at for event in desk.events(session_id, "user.message"))
    assert kinds(after).count("session.status_idle") == 1


def test_a_terminal_error_terminates_the_session(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    fault = SessionError(error_type="billing_error", retry_status="terminal")
    outcome = stage.meet(lambda: heard(desk, session_id), Rule(on=RUN, fault=fault, at=2))

    assert kinds(outcome.value)[-1] == "session.status_terminated"
    assert "session.error" in kinds(outcome.value)
    assert requests_charged(outcome) == 1


def test_a_terminated_session_is_there_and_takes_nothing_more(stage: Stage, desk: Bench) -> None:
    session_id, sessions = desk.session(), stage.client.beta.sessions
    outcome = stage.meet(lambda: heard(desk, session_id), Rule(on=RUN, fault=Terminated(), at=3))
    session = sessions.retrieve(session_id)

    assert (session.status, session.archived_at) == ("terminated", None)
    assert session_id in [one.id for one in sessions.list(agent_id=desk.agent_id, statuses=["terminated"])]
    assert (fault_names(outcome), requests_charged(outcome)) == (["terminated"], 2)
    assert stage.simulator.running_sessions == 0
    with pytest.raises(anthropic.BadRequestError, match="terminated"):
        desk.send(session_id, asks())
    assert sessions.archive(session_id).archived_at is not None
    assert kinds(desk.events(session_id)).count("session.status_terminated") == 1


def test_a_session_that_somebody_deletes_is_gone(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    outcome = stage.meet(lambda: heard(desk, session_id), Rule(on=RUN, fault=Deleted(), at=2))

    assert kinds(outcome.value)[-1] == "session.deleted"
    assert requests_charged(outcome) == 1
    for lost in (stage.client.beta.sessions.retrieve, desk.events):
        with pytest.raises(anthropic.NotFoundError):
            lost(session_id)


def test_a_rescheduled_session_waits_for_free_and_goes_on(slow_stage: Stage) -> None:
    desk = slow_stage.desk()
    session_id = desk.session()
    rule = Rule(on=RUN, fault=Rescheduled(seconds=40), at=2)
    statuses: list[str] = []

    def watch() -> list[Any]:
        seen = []
        for event in desk.stream(session_id, asks()):
            seen.append(event)
            if event.type == "session.status_rescheduled":
                statuses.append(slow_stage.client.beta.sessions.retrieve(session_id).status)
            if event.type == "session.status_idle":
                return seen
        return seen

    outcome = slow_stage.meet(watch, rule)
    types, session = kinds(outcome.value), slow_stage.client.beta.sessions.retrieve(session_id)
    place = types.index("session.status_rescheduled")

    assert statuses == ["rescheduling"]
    assert types[place + 1] == "session.status_running"
    assert types[-1] == "session.status_idle"
    assert session.stats.duration_seconds - session.stats.active_seconds >= 40


def test_a_budget_counts_as_reached(stage: Stage, desk: Bench) -> None:
    session_id = desk.session(budget={"type": "limit", "max_list_cost": {"amount": "900", "currency": "USD"}})
    outcome = stage.meet(lambda: desk.until_idle(session_id, asks()), Rule(on=RUN, fault=BudgetReached(), at=2))

    assert outcome.value[-1].stop_reason.type == "budget_reached"
    assert requests_charged(outcome) == 1
    with pytest.raises(anthropic.BadRequestError, match="budget"):
        desk.send(session_id, asks())


def test_a_session_without_a_budget_reaches_none(stage: Stage, desk: Bench) -> None:
    outcome = stage.meet(lambda: desk.until_idle(desk.session(), asks()), Rule(on=RUN, fault=BudgetReached()))

    assert outcome.fired == ()


def test_somebody_elses_interrupt_ends_the_turn_like_ones_own(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    outcome = stage.meet(lambda: desk.until_idle(session_id, asks()), Rule(on=RUN, fault=ForeignInterrupt(), at=2))
    interrupt = desk.events(session_id, "user.interrupt")

    assert outcome.value[-1].stop_reason.type == "end_turn"
    assert len(interrupt) == 1
    assert interrupt[0].processed_at is not None
    assert [entry.usage.output_tokens for entry in outcome.charged][1] == 0
    assert (outcome.charged[1].usage.input_tokens or 0) > 0


def test_a_failed_request_has_no_usage_and_is_made_again(stage: Stage, desk: Bench) -> None:
    outcome = stage.meet(lambda: heard(desk, desk.session()), Rule(on=RUN, fault=FailedRequest()))
    spans = [event for event in outcome.value if event.type == "span.model_request_end"]

    assert [span.is_error for span in spans[:2]] == [True, False]
    assert spans[0].model_usage.input_tokens == spans[0].model_usage.output_tokens == 0
    assert requests_charged(outcome) == len(spans) - 1


def test_a_spans_end_comes_after_the_next_request_has_begun(stage: Stage, desk: Bench) -> None:
    outcome = stage.meet(lambda: heard(desk, desk.session()), Rule(on=RUN, fault=LateUsage()))
    spans = [event for event in outcome.value if event.type.startswith("span.")]
    charged = [entry.request_id for entry in outcome.charged if entry.request_id.startswith("sevt_")]

    assert [event.type.rpartition("_")[2] for event in spans[:3]] == ["start", "start", "end"]
    assert spans[2].model_request_start_id == spans[0].id
    assert spans[2].id == charged[0]


def test_the_last_spans_end_comes_after_the_idle_event(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    rule = Rule(on=RUN, fault=LateUsage(), every=True)
    outcome = stage.meet(lambda: desk.until_idle(session_id, asks()), rule)
    types = kinds(desk.events(session_id))

    assert types.count("span.model_request_end") == types.count("span.model_request_start")
    assert types[-2:] == ["session.status_idle", "span.model_request_end"]
    assert len(outcome.fired) == types.count("span.model_request_start")


def test_the_sessions_usage_comes_after_the_idle_event(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    stage.meet(lambda: desk.until_idle(session_id, asks()), Rule(on="session.idle", fault=LateUsage()))

    assert kinds(desk.events(session_id))[-2:] == ["session.status_idle", "session.usage"]


def test_the_status_stays_stale_as_long_as_it_is_told_to(stage: Stage, desk: Bench) -> None:
    session_id, sessions = desk.session(), stage.client.beta.sessions
    rule = Rule(on="session.idle", fault=StaleStatus(ms=60_000))
    outcome = stage.meet(lambda: desk.until_idle(session_id, asks()), rule)

    assert outcome.value[-1].type == "session.status_idle"
    assert sessions.retrieve(session_id).status == "running"
    with pytest.raises(anthropic.BadRequestError, match="while it is running"):
        sessions.archive(session_id)


@pytest.mark.parametrize("error_type", get_args(RepositoryError))
def test_a_repository_that_cannot_be_cloned_is_told_and_missing(
    stage: Stage, desk: Bench, shop: Shop, error_type: Any
) -> None:
    rule = Rule(on="repository.clone", fault=CloneError(error_type=error_type))
    outcome = stage.meet(lambda: heard(desk, desk.session(shop)), rule)
    error = next(event.error for event in outcome.value if event.type == "session.error")
    report = next(event.input for event in outcome.value if event.type == "agent.custom_tool_use")

    assert (error.type, error.retry_status.type) == (error_type, "retrying")
    assert report["findings"] == []
    assert fault_names(outcome) == ["clone_error"]


def test_an_unknown_event_of_the_run_is_in_the_list_too(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    outcome = stage.meet(lambda: desk.until_idle(session_id, asks()), Rule(on=RUN, fault=UnknownEvent()))

    assert "simulator.novelty" in kinds(outcome.value)
    assert "simulator.novelty" in kinds(desk.events(session_id))
