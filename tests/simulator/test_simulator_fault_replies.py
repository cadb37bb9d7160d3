"""Faults of the model's reply, on both APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fault_driving import ANSWER, SEARCH, Stage, asks, fault_names, kinds
from simulator_driving import SUBMIT, Bench, Shop, accepted, research

from dispatcher.simulator.faults import (
    ContextWindow,
    EmptyContent,
    InvalidReport,
    MalformedInput,
    MaxTokens,
    Refuse,
    Rule,
)

MESSAGES, RUN = "messages.create", "model_request"


@pytest.fixture(params=["whole", "streamed"])
def ask(request: Any, stage: Stage) -> Any:
    """Asks with and without a stream."""
    return stage.create if request.param == "whole" else stage.stream


def test_a_refusal_says_so_and_holds_nothing(stage: Stage, ask: Any) -> None:
    outcome = stage.meet(ask, Rule(on=MESSAGES, fault=Refuse(category="cyber")))

    assert (outcome.value.stop_reason, outcome.value.content) == ("refusal", [])
    assert (outcome.value.stop_details.type, outcome.value.stop_details.category) == ("refusal", "cyber")
    assert (fault_names(outcome), outcome.charged[0].usage.output_tokens) == (["refusal"], 1)


@pytest.mark.parametrize(
    ("fault", "reason"), [(MaxTokens(), "max_tokens"), (ContextWindow(), "model_context_window_exceeded")]
)
def test_a_reply_breaks_off_in_the_middle(stage: Stage, ask: Any, fault: Any, reason: str) -> None:
    whole = stage.meet(lambda: ask(**ANSWER))
    half = stage.meet(lambda: ask(**ANSWER), Rule(on=MESSAGES, fault=fault))

    assert half.value.stop_reason == reason
    assert whole.value.content[0].text.startswith(half.value.content[0].text)
    assert half.value.usage.output_tokens == half.charged[0].usage.output_tokens
    assert (half.charged[0].usage.output_tokens or 0) < (whole.charged[0].usage.output_tokens or 0)


def test_a_tool_call_that_breaks_off_is_no_call_to_carry_out(stage: Stage) -> None:
    outcome = stage.meet(lambda: stage.stream(**SEARCH), Rule(on=MESSAGES, fault=MaxTokens()))

    assert (outcome.value.stop_reason, outcome.value.content[-1].type) == ("max_tokens", "tool_use")


def test_an_ended_turn_may_hold_nothing(stage: Stage, ask: Any) -> None:
    outcome = stage.meet(ask, Rule(on=MESSAGES, fault=EmptyContent()))

    assert (outcome.value.stop_reason, outcome.value.content) == ("end_turn", [])
    assert (fault_names(outcome), outcome.delivered) == (["empty_content"], ["whole"])


@pytest.mark.parametrize("form", ["not_json", "schema"])
def test_a_report_that_is_none_ends_the_turn_like_any_other(stage: Stage, ask: Any, form: Any) -> None:
    outcome = stage.meet(lambda: ask(**ANSWER), Rule(on=MESSAGES, fault=InvalidReport(form=form)))
    text = outcome.value.content[0].text

    assert outcome.value.stop_reason == "end_turn"
    if form == "schema":
        assert json.loads(text) == {"unfit": True}
    else:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


def test_only_answers_count_as_reports(stage: Stage, shop: Shop) -> None:
    rule = Rule(on=MESSAGES, fault=InvalidReport())
    outcome = stage.meet(lambda: research(stage.client, shop), rule)
    replies, report = outcome.value

    assert len(replies) > 1
    assert report == {"unfit": True}
    assert outcome.fired[0].request_id == outcome.charged[-1].request_id


@pytest.mark.parametrize(("times", "expected"), [({}, [True, False]), ({"every": True}, [True, True])])
def test_a_report_is_invalid_once_or_always(stage: Stage, times: Any, expected: list[bool]) -> None:
    rule = Rule(on=MESSAGES, fault=InvalidReport(), **times)
    outcome = stage.meet(lambda: [json.loads(stage.create(**ANSWER).content[0].text) for _ in range(2)], rule)

    assert ["unfit" in report for report in outcome.value] == expected


def test_a_truncated_input_is_what_the_sdk_could_read_of_it(stage: Stage) -> None:
    rule = Rule(on=MESSAGES, fault=MalformedInput(), every=True)
    streamed, whole = (stage.meet(lambda act=act: act(**SEARCH), rule) for act in (stage.stream, stage.create))

    assert streamed.value.stop_reason == whole.value.stop_reason == "tool_use"
    assert isinstance(whole.value.content[-1].input, str)
    assert isinstance(streamed.value.content[-1].input, dict)
    assert fault_names(streamed) == ["malformed_input"]


def test_an_input_of_garbage_fails_in_the_sdk(stage: Stage) -> None:
    rule = Rule(on=MESSAGES, fault=MalformedInput(form="garbage"))
    outcome = stage.meet(lambda: stage.stream(**SEARCH), rule)

    assert isinstance(outcome.error, ValueError)
    assert fault_names(outcome) == ["malformed_input"]


@pytest.fixture
def desk(stage: Stage) -> Bench:
    return stage.desk()


def submitted(events: list[Any]) -> list[Any]:
    return [event.input for event in events if event.type == "agent.custom_tool_use"]


def test_a_session_goes_idle_at_a_refusal(stage: Stage, desk: Bench) -> None:
    outcome = stage.meet(lambda: desk.until_idle(desk.session(), asks()), Rule(on=RUN, fault=Refuse(), at=2))
    idle = outcome.value[-1]

    assert (idle.stop_reason.type, idle.stop_details.type) == ("refusal", "refusal")
    assert kinds(outcome.value).count("span.model_request_end") == 2
    assert len([entry for entry in outcome.charged if not entry.active_ms]) >= 2


def test_a_submitted_result_does_not_fit_once_and_then_it_does(stage: Stage, desk: Bench, shop: Shop) -> None:
    session_id = desk.session(shop)
    rule = Rule(on=RUN, fault=InvalidReport())
    first = stage.meet(lambda: desk.until_idle(session_id, asks()), rule)
    call = next(event for event in first.value if event.type == "agent.custom_tool_use")
    again = desk.until_idle(session_id, accepted(call.id, "summary is missing", is_error=True))

    assert submitted(first.value) == [{"unfit": True}]
    assert shop.cites_existing_lines(submitted(again)[0])


def test_a_submitted_result_never_fits(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    with stage.injected(Rule(on=RUN, fault=InvalidReport(), every=True)):
        events = desk.until_idle(session_id, asks())
        for _ in range(2):
            call = next(event for event in events if event.type == "agent.custom_tool_use")
            events = desk.until_idle(session_id, accepted(call.id, "not valid", is_error=True))
            assert submitted(events) == [{"unfit": True}]


def test_an_empty_reply_ends_a_sessions_turn_without_a_message(stage: Stage, desk: Bench) -> None:
    outcome = stage.meet(lambda: desk.until_idle(desk.session(), asks()), Rule(on=RUN, fault=EmptyContent()))

    assert outcome.value[-1].stop_reason.type == "end_turn"
    assert "agent.message" not in kinds(outcome.value)
    assert SUBMIT["name"] == "submit_result"
    assert submitted(outcome.value) == []
