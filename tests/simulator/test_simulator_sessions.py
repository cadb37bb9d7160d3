"""Managed sessions over real HTTP, driven by the official Python SDK."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from simulator_driving import HAIKU, QUESTION, SUBMIT, URL, Bench, Shop, accepted, bench, github, message, toolset

from dispatcher.simulator import Simulator

READ_ONLY = ("read", "glob", "grep")


@pytest.fixture
def desk(client: anthropic.Anthropic) -> Bench:
    return bench(client)


def submitted(events: list[Any]) -> Any:
    return next(event for event in events if event.type == "agent.custom_tool_use")


def test_a_session_researches_submits_and_ends_its_turn(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    first = desk.until_idle(session_id, message())
    call = submitted(first)
    last = desk.until_idle(session_id, accepted(call.id))

    assert shop.cites_existing_lines(call.input)
    assert first[-1].stop_reason.type == "requires_action"
    assert first[-1].stop_reason.event_ids == [call.id]
    assert last[-1].stop_reason.type == "end_turn"
    assert desk.settled(session_id).status == "idle"


def test_events_come_in_the_order_of_the_api(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    types = [event.type for event in desk.until_idle(session_id, message())]
    calls = {"agent.tool_use", "agent.custom_tool_use"}

    assert types[:4] == ["user.message", "user.message", "session.status_running", "session.thread_status_running"]
    assert types[-3:] == ["session.thread_status_idle", "session.usage", "session.status_idle"]
    assert types.count("span.model_request_start") == types.count("span.model_request_end")
    inside = False
    for kind in types:
        inside = (inside or kind == "span.model_request_start") and kind != "span.model_request_end"
        assert inside or kind not in calls, "a call is announced within its request"
        assert not inside or kind != "agent.tool_result", "a result comes after its request"


def test_a_user_event_is_echoed_twice_under_one_id(desk: Bench) -> None:
    session_id = desk.session()
    with desk.client.beta.sessions.events.stream(session_id=session_id) as stream:
        (sent,) = desk.send(session_id, message())
        waiting, processed = next(stream), next(stream)

    assert sent.processed_at is None
    assert waiting.id == processed.id == sent.id
    assert waiting.processed_at is None
    assert processed.processed_at is not None


def test_history_holds_each_event_once_with_its_time(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    streamed = desk.until_idle(session_id, message())
    listed = desk.events(session_id)

    assert len({event.id for event in listed}) == len(listed)
    assert {event.id for event in listed} == {event.id for event in streamed}
    times = [event.processed_at for event in listed]
    assert times == sorted(times)


def test_the_stream_has_no_replay(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    first = desk.until_idle(session_id, message())
    last = desk.until_idle(session_id, accepted(submitted(first).id))

    assert last[0].type == "user.custom_tool_result"
    assert not {event.id for event in first} & {event.id for event in last}


def test_a_custom_tools_result_is_processed_on_receipt(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    call = submitted(desk.until_idle(session_id, message()))
    (echo,) = desk.send(session_id, accepted(call.id))

    assert echo.processed_at is not None
    with pytest.raises(anthropic.BadRequestError, match="waiting for a result"):
        desk.send(session_id, accepted(call.id))


def test_a_refused_submission_is_mended_and_sent_again(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    call = submitted(desk.until_idle(session_id, message()))
    again = submitted(desk.until_idle(session_id, accepted(call.id, "does not fit", is_error=True)))

    assert again.id != call.id
    assert shop.cites_existing_lines(again.input)


def test_usage_of_the_requests_adds_up_to_the_sessions(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    desk.until_idle(session_id, accepted(submitted(desk.until_idle(session_id, message())).id))
    spans = [event.model_usage for event in desk.events(session_id, "span.model_request_end")]
    usage = desk.settled(session_id).usage

    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
        assert sum(getattr(span, name) for span in spans) == getattr(usage, name)
    split = usage.cache_creation
    assert sum(span.cache_creation_input_tokens for span in spans) == split.ephemeral_5m_input_tokens
    assert split.ephemeral_1h_input_tokens == 0
    assert all(span.input_tokens < 20 and span.cache_read_input_tokens for span in spans[1:])


def test_list_cost_is_tokens_and_running_time_in_whole_cents(simulator: Simulator, client_of: Any, shop: Shop) -> None:
    desk = bench(client_of(simulator))
    session_id = desk.session(shop)
    desk.until_idle(session_id, accepted(submitted(desk.until_idle(session_id, message())).id))
    usage = desk.settled(session_id).usage
    tokens = usage.input_tokens * 3000 + usage.output_tokens * 15000 + usage.cache_read_input_tokens * 300
    writes = usage.cache_creation.ephemeral_5m_input_tokens * 3750
    runtime = usage.active_seconds / 3600 * 0.08 * 1e9
    cents = (tokens + writes + runtime) / 1e7

    assert abs(int(usage.list_cost.amount) - cents) <= 0.5 + 1e-6
    assert usage.active_seconds > 5
    charged = [entry for entry in simulator.ledger if entry.session_id == session_id]
    assert sum(entry.cost_nanousd or 0 for entry in charged) == pytest.approx(tokens + writes + runtime, abs=2)
    assert simulator.running_sessions == 0


def test_every_idle_is_told_the_usage_right_before(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    events = desk.until_idle(session_id, message())
    usage = events[-2]

    assert usage.type == "session.usage"
    assert usage.usage.output_tokens > 0
    assert usage.usage.list_cost.currency == "USD"


def test_only_enabled_tools_are_used(client: anthropic.Anthropic, shop: Shop) -> None:
    for names in (("grep",), ("read", "glob"), READ_ONLY):
        desk = bench(client, [toolset(*names), SUBMIT])
        events = desk.until_idle(desk.session(shop), message())

        assert {event.name for event in events if event.type == "agent.tool_use"} <= set(names)
        assert submitted(events).input["summary"]


def test_all_tools_are_on_by_default_and_none_that_writes_is_called(client: anthropic.Anthropic, shop: Shop) -> None:
    desk = bench(client, [{"type": "agent_toolset_20260401"}, SUBMIT])
    events = desk.until_idle(desk.session(shop), message())

    assert {event.name for event in events if event.type == "agent.tool_use"} <= set(READ_ONLY)


def test_without_a_submit_tool_the_answer_is_a_message(client: anthropic.Anthropic, shop: Shop) -> None:
    desk = bench(client, [toolset(*READ_ONLY)])
    events = desk.until_idle(desk.session(shop), message())
    answer = [event for event in events if event.type == "agent.message"][-1]

    assert events[-1].stop_reason.type == "end_turn"
    assert "src/flags.py" in answer.content[0].text


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (github("0" * 40), "repository_checkout_error"),
        (github("0" * 40, "https://github.com/acme/other"), "repository_not_found_error"),
        (
            {"type": "github_repository", "url": URL, "checkout": {"type": "branch", "name": "x"}},
            "repository_checkout_error",
        ),
    ],
)
def test_a_clone_that_fails_is_told_and_the_run_goes_on(desk: Bench, resource: dict[str, Any], error: str) -> None:
    events = desk.until_idle(desk.session(resources=[resource]), message())
    told = next(event for event in events if event.type == "session.error")

    assert told.error.type == error
    assert told.error.retry_status.type == "retrying"
    assert told.error.repository_url == resource["url"]
    assert submitted(events).input["findings"] == []


@pytest.mark.parametrize("checkout", [None, {"type": "branch", "name": "main"}])
def test_a_branch_is_checked_out_and_the_default_one_without_a_name(desk: Bench, shop: Shop, checkout: Any) -> None:
    resource = {"type": "github_repository", "url": f"{URL}.git", "checkout": checkout, "mount_path": "/code/"}
    session_id = desk.session(resources=[resource])

    assert shop.cites_existing_lines(submitted(desk.until_idle(session_id, message())).input)


def test_the_token_of_a_repository_never_comes_back(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    desk.until_idle(session_id, message())
    session = desk.client.beta.sessions.retrieve(session_id)
    shown = session.to_json() + "".join(event.to_json() for event in desk.events(session_id))

    assert "ghp_secret" not in shown
    assert session.resources[0].mount_path == "/workspace/shop"


def test_a_second_turn_knows_the_first(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    desk.until_idle(session_id, accepted(submitted(desk.until_idle(session_id, message())).id))
    second = desk.until_idle(session_id, message("And which tests of feature flags are there?"))
    first_request = next(event for event in second if event.type == "span.model_request_end")

    assert first_request.model_usage.cache_read_input_tokens > 1000
    assert shop.cites_existing_lines(submitted(second).input)


def test_messages_sent_while_running_wait_for_their_turn(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    events = desk.until_idle(session_id, message(), message("Where is the invoice?"))
    waiting = [event.processed_at for event in desk.events(session_id, "user.message")]

    assert [event.type for event in events].count("session.status_running") == 1
    assert waiting[0] is not None
    assert waiting[1] is None
    assert desk.until_idle(session_id, accepted(submitted(events).id))[-1].stop_reason.type == "end_turn"


def test_initial_events_start_the_session_at_once(desk: Bench, shop: Shop) -> None:
    created = desk.client.beta.sessions.create(
        agent=desk.agent_id,
        environment_id=desk.environment_id,
        resources=[github(shop.commit)],  # type: ignore[list-item]
        initial_events=[message()],  # type: ignore[list-item]
    )

    assert created.status == "running"
    assert desk.settled(created.id).status == "idle"
    assert desk.events(created.id)[0].type == "user.message"


def test_the_same_question_has_the_same_run(client: anthropic.Anthropic, shop: Shop) -> None:
    def run() -> list[Any]:
        desk = bench(client, model=HAIKU)
        events = desk.until_idle(desk.session(shop), message(QUESTION))
        return [(e.type, getattr(e, "name", None), getattr(e, "input", None)) for e in events]

    assert run() == run()


def test_text_is_previewed_to_streams_that_ask(client: anthropic.Anthropic, shop: Shop) -> None:
    desk = bench(client, [toolset(*READ_ONLY)])
    session_id = desk.session(shop)
    pieces: dict[str, str] = {}
    finals: dict[str, str] = {}
    for event in desk.stream(session_id, message(), event_deltas=["agent.message"]):
        if event.type == "event_delta":
            pieces[event.event_id] = pieces.get(event.event_id, "") + event.delta.content.text
        if event.type == "agent.message":
            finals[event.id] = event.content[0].text
        if event.type == "session.status_idle":
            break

    assert pieces == finals
    assert pieces
    assert not [event for event in desk.events(session_id) if event.type.startswith("event_")]
