"""Interrupts that are obeyed late, or never."""

from __future__ import annotations

from typing import Any

from fault_driving import Outcome, Stage, asks, fault_names, kinds
from simulator_driving import INTERRUPT, Bench, Shop

from dispatcher.simulator.faults import IgnoredInterrupt, Rule, SlowInterrupt

SEND = "events.send"


def interrupted(desk: Bench, session_id: str) -> list[Any]:
    """Interrupt at the first model request, and collect events to the first idle."""
    seen = []
    for event in desk.stream(session_id, asks()):
        seen.append(event)
        if kinds(seen).count("span.model_request_start") == 1 and event.type == "span.model_request_start":
            desk.send(session_id, INTERRUPT)
        if event.type == "session.status_idle":
            break
    return seen


def requests_after_the_interrupt(outcome: Outcome) -> int:
    types = kinds(outcome.value)
    return types[types.index("user.interrupt") :].count("span.model_request_start")


def test_a_slow_interrupt_is_obeyed_later_and_billed_until_then(slow_stage: Stage, shop: Shop) -> None:
    desk = slow_stage.desk()
    session_id = desk.session(shop)
    prompt = slow_stage.meet(lambda: interrupted(desk, desk.session(shop)))
    late = slow_stage.meet(
        lambda: interrupted(desk, session_id), Rule(on=SEND, sent="user.interrupt", fault=SlowInterrupt(seconds=25))
    )

    assert late.value[-1].stop_reason.type == prompt.value[-1].stop_reason.type == "end_turn"
    assert (requests_after_the_interrupt(prompt), requests_after_the_interrupt(late) >= 2) == (0, True)
    assert slow_stage.runtime(late) > slow_stage.runtime(prompt) + 5_000
    assert fault_names(late) == ["slow_interrupt"]


def test_an_ignored_interrupt_is_obeyed_after_so_many_requests(slow_stage: Stage, shop: Shop) -> None:
    desk = slow_stage.desk()
    rule = Rule(on=SEND, fault=IgnoredInterrupt(requests=3))
    outcome = slow_stage.meet(lambda: interrupted(desk, desk.session(shop)), rule)

    assert outcome.value[-1].stop_reason.type == "end_turn"
    assert requests_after_the_interrupt(outcome) == 4


def test_an_interrupt_that_is_ignored_for_good_leaves_the_turn_alone(slow_stage: Stage, shop: Shop) -> None:
    desk = slow_stage.desk()
    session_id = desk.session(shop)
    outcome = slow_stage.meet(lambda: interrupted(desk, session_id), Rule(on=SEND, fault=IgnoredInterrupt()))

    assert outcome.value[-1].stop_reason.type == "requires_action"
    assert desk.events(session_id, "user.interrupt")[0].processed_at is not None


def test_an_interrupt_of_an_idle_session_meets_no_such_fault(stage: Stage, shop: Shop) -> None:
    desk = stage.desk()
    outcome = stage.meet(lambda: desk.send(desk.session(shop), INTERRUPT), Rule(on=SEND, fault=IgnoredInterrupt()))

    assert outcome.fired == ()
