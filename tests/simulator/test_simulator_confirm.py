"""Tools that ask first: the session waits for every confirmation, and a denial with the order to answer is obeyed."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from simulator_driving import SUBMIT, Bench, Shop, accepted, bench, message, toolset

from dispatcher.simulator.model.conversation import Conversation, read_conversation
from dispatcher.simulator.model.planner import reply_to
from dispatcher.simulator.model.request import ModelRequest, Reply
from dispatcher.simulator.profiles import Habits

ASKING = [toolset("read", "glob", "grep", permission_policy={"type": "always_ask"}), SUBMIT]
DENIAL = "The limit is reached, so submit your answer now: call the tool submit_result, and no other tool."


@pytest.fixture
def desk(client: anthropic.Anthropic) -> Bench:
    return bench(client, ASKING)


def confirmation(event_id: str, deny_message: str | None = None) -> dict[str, Any]:
    said = {"result": "allow"} if deny_message is None else {"result": "deny", "deny_message": deny_message}
    return {"type": "user.tool_confirmation", "tool_use_id": event_id, **said}


def waiting(events: list[Any]) -> list[str]:
    """The ids that the session waits for."""
    assert events[-1].stop_reason.type == "requires_action"
    return list(events[-1].stop_reason.event_ids)


def named(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event.type == kind]


def until_several_wait(client: anthropic.Anthropic, shop: Shop) -> tuple[Bench, str, list[str]]:
    """A session that waits for more than one confirmation at once."""
    desk = bench(client, ASKING, model="claude-opus-5-5")
    for number in range(20):
        session_id = desk.session(shop)
        events = desk.until_idle(session_id, message(f"Where are feature flags of the invoice {number} evaluated?"))
        for _ in range(4):
            ids = waiting(events)
            if len(ids) > 1:
                return desk, session_id, ids
            events = desk.until_idle(session_id, confirmation(ids[0]))
    raise AssertionError("no reply called several tools at once")


def test_nothing_runs_before_it_is_allowed_and_what_is_allowed_ends_with_a_report(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    events, rounds = desk.until_idle(session_id, message()), 0
    while not named(events, "agent.custom_tool_use"):
        assert {event.id for event in named(events, "agent.tool_use")} == set(waiting(events))
        assert desk.settled(session_id).status == "idle"
        before = len(desk.events(session_id, "agent.tool_result"))
        events, rounds = desk.until_idle(session_id, *map(confirmation, waiting(events))), rounds + 1
        assert len(desk.events(session_id, "agent.tool_result")) > before
    report = named(events, "agent.custom_tool_use")[0]

    assert rounds > 2
    assert shop.cites_existing_lines(report.input)
    assert desk.until_idle(session_id, accepted(report.id))[-1].stop_reason.type == "end_turn"


def test_all_calls_of_a_reply_wait_together_and_the_rest_is_asked_for_again(
    client: anthropic.Anthropic, shop: Shop
) -> None:
    desk, session_id, ids = until_several_wait(client, shop)
    first = desk.until_idle(session_id, confirmation(ids[0]))
    rest = desk.until_idle(session_id, *map(confirmation, ids[1:]))

    assert waiting(first) == ids[1:]
    assert not named(first, "agent.tool_result")
    assert {event.tool_use_id for event in named(rest, "agent.tool_result")} == set(ids)


def test_of_a_reply_some_calls_run_and_the_denied_ones_return_their_message(
    client: anthropic.Anthropic, shop: Shop
) -> None:
    desk, session_id, ids = until_several_wait(client, shop)
    rest = desk.until_idle(session_id, confirmation(ids[0]), *(confirmation(one, "Not this one.") for one in ids[1:]))
    results = {event.tool_use_id: event for event in named(rest, "agent.tool_result")}

    assert not results[ids[0]].is_error
    assert all(results[one].content[0].text == "Not this one." and results[one].is_error for one in ids[1:])


def test_a_confirmation_is_taken_once_and_only_for_a_call_that_waits(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    ids = waiting(desk.until_idle(session_id, message()))
    for wrong in (confirmation("sevt_unknown"), accepted(ids[0]), {**confirmation(ids[0]), "deny_message": "No."}):
        with pytest.raises(anthropic.BadRequestError):
            desk.send(session_id, wrong)
    desk.until_idle(session_id, *map(confirmation, ids))

    with pytest.raises(anthropic.BadRequestError, match="no tool call is waiting"):
        desk.send(session_id, confirmation(ids[0]))


def test_a_denial_with_the_order_to_answer_is_followed_by_the_report_in_one_request(desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    events = desk.until_idle(session_id, message())
    events = desk.until_idle(session_id, *map(confirmation, waiting(events)))
    events = desk.until_idle(session_id, *(confirmation(one, DENIAL) for one in waiting(events)))
    reports = named(events, "agent.custom_tool_use")

    assert len(named(events, "span.model_request_start")) == 1
    assert [call.id for call in reports] == waiting(events)
    assert shop.cites_existing_lines(reports[0].input)


HABITS = Habits(fewest_requests=20, most_requests=20, calls_at_once=1, lines_per_read=20, findings=3)
TOOLS = (
    {"name": "grep", "input_schema": {"type": "object", "properties": {"pattern": {"type": "string"}}}},
    {"name": "submit_result", "input_schema": SUBMIT["input_schema"]},
)


def after_denials(number: int, seed: int) -> tuple[Reply, Conversation]:
    """The reply after so many rounds in which each call was denied with the order to answer."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Where are feature flags evaluated?"}]
    for denied in range(number + 1):
        reply = reply_to(ModelRequest(model="m", messages=tuple(messages), tools=TOOLS), HABITS, seed)
        if denied == number or reply.calls[0].name == "submit_result":
            break
        call = {"type": "tool_use", "id": f"t{denied}", "name": reply.calls[0].name, "input": reply.calls[0].input}
        result = {"type": "tool_result", "tool_use_id": f"t{denied}", "content": DENIAL, "is_error": True}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return reply, read_conversation(messages)


def test_seven_of_eight_heed_a_denial_and_the_others_ask_again_and_again() -> None:
    ends = [after_denials(30, seed) for seed in range(64)]
    answered = [len(conversation.rounds) for reply, conversation in ends if reply.calls[0].name == "submit_result"]
    heedless = [len(conversation.rounds) for reply, conversation in ends if reply.calls[0].name == "grep"]

    assert set(answered) == {1}
    assert set(heedless) == {30}
    assert 2 <= len(heedless) <= 16
