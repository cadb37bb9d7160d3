"""Faults inside a stream, as the SDK sees them, and what they cost."""

from __future__ import annotations

import time
from typing import Any

import anthropic
import httpx2
import pytest
from fault_driving import ASKED, SEARCH, Stage, asks, fault_names, kinds
from simulator_driving import Bench

from dispatcher.simulator import Simulator
from dispatcher.simulator.faults import Cut, Duplicate, ErrorEvent, Rule, Silence, UnknownEvent

MESSAGES, EVENTS = "messages.create", "events.stream"


def cut(**options: Any) -> Rule:
    return Rule(on=MESSAGES, fault=Cut(**options))


@pytest.mark.parametrize(("how", "expected"), [("abrupt", httpx2.RemoteProtocolError), ("reset", httpx2.ReadError)])
def test_a_connection_that_breaks_off_is_a_bare_transport_error(
    stage: Stage, how: Any, expected: type[Exception]
) -> None:
    outcome = stage.meet(stage.stream, cut(at_event=4, how=how))

    assert type(outcome.error) is expected
    assert (fault_names(outcome), outcome.delivered) == (["cut"], ["part"])


def test_a_stream_that_ends_in_good_form_too_early_is_a_message_without_a_stop_reason(stage: Stage) -> None:
    outcome = stage.meet(stage.stream, cut(at_event=4, how="clean"))

    assert (outcome.error, outcome.value.stop_reason) == (None, None)
    assert (fault_names(outcome), outcome.delivered) == (["cut"], ["part"])


@pytest.mark.parametrize("at_event", [1, 2, 3, 5])
def test_a_cut_lets_through_what_comes_before_its_event(stage: Stage, at_event: int) -> None:
    whole = [kind for kind in kinds(stage.raw()) if kind != "ping"]
    outcome = stage.meet(stage.raw, cut(at_event=at_event, how="clean"))

    assert [kind for kind in kinds(outcome.value) if kind != "ping"] == whole[: at_event - 1]


def test_a_broken_stream_costs_its_input_and_the_output_written_so_far(stage: Stage) -> None:
    whole = stage.meet(stage.stream).charged[0].usage
    early = stage.meet(stage.stream, cut(at_event=3)).charged[0].usage
    late = stage.meet(stage.stream, cut(at_event="message_delta")).charged[0].usage

    assert early.input_tokens == late.input_tokens == whole.input_tokens
    assert 0 < (early.output_tokens or 0) < (whole.output_tokens or 0)
    assert late.output_tokens == whole.output_tokens


def test_a_stream_cut_before_its_last_event_told_everything_it_cost(stage: Stage) -> None:
    outcome = stage.meet(stage.stream, cut(at_event="message_stop", how="clean"))

    assert outcome.value.stop_reason == "end_turn"
    assert outcome.value.usage.output_tokens == outcome.charged[0].usage.output_tokens
    assert outcome.delivered == ["whole"]


def test_a_cut_beyond_the_end_of_the_stream_never_happened(stage: Stage) -> None:
    outcome = stage.meet(stage.stream, cut(at_event=10_000))

    assert (outcome.error, outcome.fired, outcome.delivered) == (None, (), ["whole"])


def test_a_fault_of_streams_passes_by_what_does_not_stream(stage: Stage) -> None:
    outcome = stage.meet(lambda: (stage.create(), stage.create()), cut(at_event=1))

    assert (outcome.error, outcome.fired) == (None, ())


@pytest.mark.parametrize("error_type", ["overloaded_error", "rate_limit_error", "api_error"])
def test_an_error_event_has_status_200_and_its_type(stage: Stage, error_type: Any) -> None:
    rule = Rule(on=MESSAGES, fault=ErrorEvent(at_event=3, error_type=error_type))
    outcome = stage.meet(stage.stream, rule)

    assert isinstance(outcome.error, anthropic.APIStatusError)
    assert (outcome.error.status_code, outcome.error.type) == (200, error_type)
    assert (fault_names(outcome), outcome.delivered) == (["error_event"], ["part"])


def test_an_unknown_event_is_delivered_and_harmless(stage: Stage) -> None:
    rule = Rule(on=MESSAGES, fault=UnknownEvent(at_event=3), every=True)
    raw, whole = stage.meet(stage.raw, rule), stage.meet(stage.stream, rule)

    assert "simulator.novelty" in kinds(raw.value)
    assert (whole.value.stop_reason, whole.delivered) == ("end_turn", ["whole"])


@pytest.mark.parametrize("keepalive", ["comment", "ping"])
def test_keepalives_defeat_the_read_timeout_and_silence_ends(simulation: Any, client_of: Any, keepalive: Any) -> None:
    with Simulator(simulation(time_scale=0.01)) as simulator:
        stage = Stage(simulator, client_of(simulator, timeout=0.4))
        fault = Silence(at_event=3, seconds=100, keepalive=keepalive, keepalive_ms=20)
        outcome = stage.meet(stage.stream, Rule(on=MESSAGES, fault=fault))

    assert (outcome.error, outcome.value.stop_reason) == (None, "end_turn")
    assert (fault_names(outcome), outcome.delivered) == (["silence"], ["whole"])


def test_silence_without_a_byte_is_a_bare_read_timeout(stage: Stage) -> None:
    client = stage.client.with_options(timeout=0.2)
    rule = Rule(on=MESSAGES, fault=Silence(at_event=3, keepalive="none"))

    def stream() -> Any:
        with client.messages.stream(**ASKED) as events:
            return events.get_final_message()

    outcome = stage.meet(stream, rule)

    assert type(outcome.error) is httpx2.ReadTimeout


def test_who_leaves_a_silent_stream_pays_for_what_was_written(stage: Stage) -> None:
    rule = Rule(on=MESSAGES, fault=Silence(at_event=4))
    charged = len(stage.simulator.ledger)
    with stage.injected(rule), stage.client.messages.create(**ASKED, stream=True) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break
    while len(stage.simulator.ledger) == charged:
        time.sleep(0.005)
    entry = stage.simulator.ledger[charged]

    assert entry.delivered == "part"


async def test_the_asynchronous_client_sees_the_same(stage: Stage) -> None:
    seen = []
    async with anthropic.AsyncAnthropic(api_key="key-1", base_url=stage.client.base_url, max_retries=0) as client:
        for how in ("abrupt", "reset", "clean"):
            try:
                with stage.injected(cut(at_event=4, how=how)):
                    async with client.messages.stream(**ASKED) as stream:
                        seen.append((await stream.get_final_message()).stop_reason)
            except httpx2.TransportError as error:
                seen.append(type(error).__name__)

    assert seen == ["RemoteProtocolError", "ReadError", None]


@pytest.fixture
def desk(stage: Stage) -> Bench:
    return stage.desk()


def heard(desk: Bench, session_id: str) -> list[Any]:
    """Open the stream, ask, and collect events until the stream or the turn is over."""
    seen = []
    for event in desk.stream(session_id, asks()):
        seen.append(event)
        if event.type == "session.status_idle":
            break
    return seen


@pytest.mark.parametrize(("how", "expected"), [("abrupt", httpx2.RemoteProtocolError), ("reset", httpx2.ReadError)])
def test_a_sessions_stream_breaks_off_and_the_session_works_on(
    stage: Stage, desk: Bench, how: Any, expected: type[Exception]
) -> None:
    session_id = desk.session()
    rule = Rule(on=EVENTS, fault=Cut(at_event="span.model_request_start", how=how))
    outcome = stage.meet(lambda: heard(desk, session_id), rule)
    desk.settled(session_id)

    assert type(outcome.error) is expected
    assert fault_names(outcome) == ["cut"]
    assert desk.events(session_id, "session.status_idle")


def test_a_sessions_stream_that_ends_early_just_ends(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    rule = Rule(on=EVENTS, fault=Cut(at_event="session.status_idle", how="clean"))
    outcome = stage.meet(lambda: heard(desk, session_id), rule)

    assert (outcome.error, kinds(outcome.value)[-1]) == (None, "session.usage")


def test_a_sessions_events_come_twice_under_one_id(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    outcome = stage.meet(lambda: heard(desk, session_id), Rule(on=EVENTS, fault=Duplicate()))
    ids = [(event.id, str(event.processed_at)) for event in outcome.value]
    listed = desk.events(session_id)

    assert ids[0::2] == [*ids[1::2], ids[-1]]
    assert len({event.id for event in listed}) == len(listed)


def test_one_event_of_a_session_comes_twice(stage: Stage, desk: Bench) -> None:
    rule = Rule(on=EVENTS, fault=Duplicate(at_event="agent.custom_tool_use"))
    outcome = stage.meet(lambda: heard(desk, desk.session()), rule)
    types = kinds(outcome.value)

    assert (types.count("agent.custom_tool_use"), types.count("session.usage")) == (2, 1)


def test_an_unknown_session_event_has_its_own_type(stage: Stage, desk: Bench) -> None:
    rule = Rule(on=EVENTS, fault=UnknownEvent(at_event=2))
    outcome = stage.meet(lambda: heard(desk, desk.session()), rule)

    assert kinds(outcome.value)[1] == "simulator.novelty"
    assert kinds(outcome.value)[-1] == "session.status_idle"


def test_an_error_event_ends_a_sessions_stream(stage: Stage, desk: Bench) -> None:
    rule = Rule(on=EVENTS, fault=ErrorEvent(at_event=3, error_type="api_error"))
    outcome = stage.meet(lambda: heard(desk, desk.session()), rule)

    assert isinstance(outcome.error, anthropic.APIStatusError)
    assert (outcome.error.status_code, outcome.error.type) == (200, "api_error")


def test_a_stream_that_never_delivers_leaves_everything_in_the_list(stage: Stage, desk: Bench) -> None:
    session_id = desk.session()
    rule = Rule(on=EVENTS, fault=Silence(keepalive="none"))
    client = stage.client.with_options(timeout=0.5)
    mute = Bench(client, desk.agent_id, desk.environment_id)
    outcome = stage.meet(lambda: heard(mute, session_id), rule)
    desk.settled(session_id)

    assert type(outcome.error) is httpx2.ReadTimeout
    assert kinds(desk.events(session_id))[-1] == "session.status_idle"


def test_a_stream_may_be_cut_while_it_calls_tools(stage: Stage) -> None:
    outcome = stage.meet(lambda: stage.stream(**SEARCH), cut(at_event="content_block_stop", how="clean"))

    assert (outcome.value.stop_reason, outcome.value.content[0].type) == (None, "tool_use")
