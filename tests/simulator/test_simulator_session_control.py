"""Stopping, confirming, capping and ending managed sessions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from simulator_driving import INTERRUPT, SUBMIT, Bench, Shop, accepted, bench, message, toolset

from dispatcher.simulator import Simulator
from dispatcher.simulator.profiles import BUILT_IN


@pytest.fixture
def desk(client: anthropic.Anthropic) -> Bench:
    return bench(client)


@pytest.fixture(scope="module")
def slow(simulation: Any) -> Iterator[Simulator]:
    """A simulator slow enough to be caught at work."""
    with Simulator(simulation(time_scale=0.01)) as simulator:
        yield simulator


@pytest.fixture
def slow_desk(client_of: Any, slow: Simulator) -> Bench:
    return bench(client_of(slow))


def submitted(events: list[Any]) -> Any:
    return next(event for event in events if event.type == "agent.custom_tool_use")


def budget(cents: str) -> dict[str, Any]:
    return {"type": "limit", "max_list_cost": {"amount": cents, "currency": "USD"}}


def test_an_interrupt_stops_the_agent_and_ends_the_turn(slow_desk: Bench, slow: Simulator, shop: Shop) -> None:
    session_id, seen = slow_desk.session(shop), []
    for event in slow_desk.stream(session_id, message()):
        seen.append(event)
        if event.type == "span.model_request_start" and len(seen) > 8:
            slow_desk.send(session_id, INTERRUPT)
        if event.type == "session.status_idle":
            break
    types = [event.type for event in seen]
    starts, ends = (types.count(f"span.model_request_{edge}") for edge in ("start", "end"))

    assert seen[-1].stop_reason.type == "end_turn"
    assert starts == ends
    assert "user.interrupt" in types
    assert types[-3:] == ["session.thread_status_idle", "session.usage", "session.status_idle"]
    assert slow.running_sessions == 0
    assert slow_desk.events(session_id, "user.interrupt")[0].processed_at is not None


def test_after_an_interrupt_it_submits_what_it_has(slow_desk: Bench, shop: Shop) -> None:
    session_id, requests = slow_desk.session(shop), 0
    for event in slow_desk.stream(session_id, message()):
        requests += event.type == "span.model_request_end"
        if event.type == "agent.tool_result" and requests == 2:
            break
    slow_desk.send(session_id, INTERRUPT)
    slow_desk.settled(session_id)
    rest = slow_desk.until_idle(session_id, message("The limit is reached, so submit your answer now."))

    assert [event.type for event in rest].count("span.model_request_start") == 1
    assert shop.cites_existing_lines(submitted(rest).input)


def test_an_interrupt_and_a_message_redirect_the_agent(slow_desk: Bench, shop: Shop) -> None:
    session_id = slow_desk.session(shop)
    first = slow_desk.until_idle(session_id, message(), INTERRUPT, message("Where is the invoice made?"))
    second = slow_desk.until_idle(session_id)

    assert first[-1].stop_reason.type == "end_turn"
    assert second[-1].stop_reason.type == "requires_action"
    assert "invoice" in submitted(second).input["summary"]


def test_an_interrupt_gives_up_a_submission_that_waits(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    call = submitted(desk.until_idle(session_id, message()))
    events = desk.until_idle(session_id, INTERRUPT)

    assert events[-1].stop_reason.type == "end_turn"
    with pytest.raises(anthropic.BadRequestError):
        desk.send(session_id, accepted(call.id))


def test_an_interrupt_of_an_idle_session_changes_nothing(desk: Bench) -> None:
    session_id = desk.session()
    desk.send(session_id, INTERRUPT)

    assert [event.type for event in desk.events(session_id)] == ["user.interrupt"]


def test_results_that_are_still_missing_are_asked_for_again(client: anthropic.Anthropic, shop: Shop) -> None:
    tools = [
        {**SUBMIT, "name": name, "input_schema": {"type": "object", "properties": {"pattern": {"type": "string"}}}}
        for name in ("search_code",)
    ]
    desk = bench(client, tools, model="claude-opus-5-5")
    for seed in range(30):
        session_id = desk.session(shop)
        text = f"Where are feature flags evaluated for tenant {seed} of the invoice?"
        events = desk.until_idle(session_id, message(text))
        waiting = events[-1].stop_reason.event_ids
        if len(waiting) > 1:
            break
    again = desk.until_idle(session_id, accepted(waiting[0], "src/flags.py:1: flag"))

    assert [event.type for event in again] == [
        "user.custom_tool_result",
        "session.thread_status_idle",
        "session.usage",
        "session.status_idle",
    ]
    assert again[-1].stop_reason.event_ids == waiting[1:]


def test_a_tool_that_asks_runs_when_it_is_allowed(client: anthropic.Anthropic, shop: Shop) -> None:
    desk = bench(client, [toolset("grep", permission_policy={"type": "always_ask"}), SUBMIT])
    session_id = desk.session(shop)
    asking = desk.until_idle(session_id, message())
    asked = next(event for event in asking if event.type == "agent.tool_use")
    ids = asking[-1].stop_reason.event_ids
    rest = desk.until_idle(
        session_id, *({"type": "user.tool_confirmation", "tool_use_id": i, "result": "allow"} for i in ids)
    )
    results = [event for event in rest if event.type == "agent.tool_result"]

    assert (asked.evaluated_permission, asked.evaluation.type) == ("ask", "always_ask")
    assert {event.tool_use_id for event in results} == set(ids)
    assert "flags.py" in results[0].content[0].text


def test_a_denied_tool_returns_its_message_and_the_model_obeys(client: anthropic.Anthropic, shop: Shop) -> None:
    desk = bench(client, [toolset("grep", permission_policy={"type": "always_ask"}), SUBMIT])
    session_id = desk.session(shop)
    denial = {"type": "user.tool_confirmation", "result": "deny", "deny_message": "The limit is reached, answer now."}
    ids = desk.until_idle(session_id, message())[-1].stop_reason.event_ids
    rest = desk.until_idle(session_id, *({**denial, "tool_use_id": one} for one in ids))
    result = next(event for event in rest if event.type == "agent.tool_result")

    assert (result.is_error, result.content[0].text) == (True, denial["deny_message"])
    assert submitted(rest).input["findings"] == []


def test_a_call_is_answered_once_and_in_form(desk: Bench) -> None:
    session_id = desk.session()
    call = submitted(desk.until_idle(session_id, message()))
    for wrong in (
        [accepted(call.id), accepted(call.id, "again")],
        [{**accepted(call.id), "content": "text"}],
        [{**accepted(call.id), "is_error": "no"}],
    ):
        with pytest.raises(anthropic.BadRequestError):
            desk.send(session_id, *wrong)

    assert desk.events(session_id, "user.custom_tool_result") == []
    assert desk.until_idle(session_id, accepted(call.id))[-1].stop_reason.type == "end_turn"


def test_an_interrupt_names_a_thread_that_exists(desk: Bench) -> None:
    session_id = desk.session()
    thread = desk.until_idle(session_id, message())[1:]
    running = next(event for event in thread if event.type == "session.thread_status_running")
    with pytest.raises(anthropic.NotFoundError) as caught:
        desk.send(session_id, {**INTERRUPT, "session_thread_id": "sthr_x"})
    desk.send(session_id, {**INTERRUPT, "session_thread_id": running.session_thread_id})

    assert caught.value.error_code == "thread_not_found"


def test_a_spent_budget_stops_between_requests_and_takes_no_message(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop, budget=budget("2"))
    events = desk.until_idle(session_id, message())

    assert events[-1].stop_reason.type == "budget_reached"
    assert events[-2].budget.max_list_cost.amount == "2"
    assert int(events[-2].usage.list_cost.amount) >= 2
    with pytest.raises(anthropic.BadRequestError, match="budget"):
        desk.send(session_id, message("More?"))
    desk.send(session_id, INTERRUPT)
    assert desk.events(session_id)[-1].type == "user.interrupt"


def test_a_raised_budget_lets_the_work_go_on_by_itself(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop, budget=budget("2"))
    desk.until_idle(session_id, message())
    update = desk.client.beta.sessions.update
    with pytest.raises(anthropic.BadRequestError) as caught:
        update(session_id, budget=budget("1"))  # type: ignore[arg-type]
    assert caught.value.error_code == "budget_not_raised"
    with desk.client.beta.sessions.events.stream(session_id=session_id) as stream:
        update(session_id, budget=budget("500"))  # type: ignore[arg-type]
        rest = []
        for event in stream:
            rest.append(event)
            if event.type == "session.status_idle":
                break

    assert rest[0].type == "session.updated"
    assert shop.cites_existing_lines(submitted(rest).input)


def test_a_budget_can_be_removed_and_never_added(desk: Bench) -> None:
    update = desk.client.beta.sessions.update
    session_id = desk.session(budget=budget("5"))

    assert update(session_id, budget=None).budget is None
    with pytest.raises(anthropic.BadRequestError) as caught:
        update(session_id, budget=budget("50"))  # type: ignore[arg-type]
    assert caught.value.error_code == "budget_create_only"


@pytest.mark.parametrize("wrong", [budget("0"), budget("1.5"), budget("05"), {"type": "limit"}])
def test_a_budget_is_whole_cents(desk: Bench, wrong: dict[str, Any]) -> None:
    with pytest.raises(anthropic.BadRequestError):
        desk.session(budget=wrong)


def test_a_running_session_can_be_neither_archived_nor_deleted(slow_desk: Bench, shop: Shop) -> None:
    sessions, session_id = slow_desk.client.beta.sessions, slow_desk.session(shop)
    slow_desk.send(session_id, message())
    for attempt in (sessions.archive, sessions.delete):
        with pytest.raises(anthropic.BadRequestError, match="while it is running"):
            attempt(session_id)
    slow_desk.send(session_id, INTERRUPT)
    slow_desk.settled(session_id)

    assert sessions.delete(session_id).type == "session_deleted"


def test_the_queryable_status_lags_behind_the_idle_event(simulation: Any, client_of: Any, tmp_path: Any) -> None:
    profiles = tmp_path / "profiles.yml"
    profiles.write_text(BUILT_IN.read_text().replace("status_lag_ms: 12", "status_lag_ms: 400"))
    with Simulator(simulation(profiles=profiles)) as simulator:
        desk = bench(client_of(simulator))
        session_id = desk.session()
        desk.until_idle(session_id, message())
        stale = desk.client.beta.sessions.retrieve(session_id).status
        with pytest.raises(anthropic.BadRequestError):
            desk.client.beta.sessions.archive(session_id)
        time.sleep(0.45)
        settled = desk.client.beta.sessions.retrieve(session_id).status

    assert (stale, settled) == ("running", "idle")


def test_an_archived_session_keeps_its_history_and_takes_nothing(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    desk.until_idle(session_id, message())
    desk.settled(session_id)
    archived = desk.client.beta.sessions.archive(session_id)

    assert (archived.status, archived.archived_at is None) == ("terminated", False)
    assert desk.events(session_id)[-1].type == "session.status_terminated"
    with pytest.raises(anthropic.BadRequestError, match="terminated"):
        desk.send(session_id, message("More?"))


def test_deleting_tells_open_streams_and_closes_them(desk: Bench) -> None:
    session_id = desk.session()
    with desk.client.beta.sessions.events.stream(session_id=session_id) as stream:
        desk.client.beta.sessions.delete(session_id)
        types = [event.type for event in stream]

    assert types == ["session.deleted"]
    with pytest.raises(anthropic.NotFoundError):
        desk.client.beta.sessions.retrieve(session_id)
