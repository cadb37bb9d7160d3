"""Fallback, breaker, retries and queue of a dispatch, against a provider that fails on demand."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import pytest
import yaml

from dispatcher import AttemptStarted, DuplicateAction, Limits, RequestStarted, RetryScheduled
from dispatcher.dispatch.dispatcher import Dispatcher
from dispatcher.simulator.faults import DropAfter, DropBefore, Rule, Stall, Status
from dispatcher.wiring.serving import build_dispatcher

OVERLOADED = Status(status=529)


@pytest.fixture
def inject(live_simulator):
    yield live_simulator.inject
    live_simulator.clear_faults()


@pytest.fixture
def build(live_settings):
    made = []

    def build(fallback=None, **conduct):
        """A dispatcher that waits hardly at all; `fallback` maps variants to theirs."""
        file = live_settings.policies_dir / "agent_research.yml"
        policy = yaml.safe_load(file.read_text())
        policy["conduct"] |= {"retries": {"attempts": 2, "first_wait_s": 0.01, "longest_wait_s": 0.02}} | conduct
        for name, to in (fallback or {}).items():
            policy["variants"][name]["fallback"] = to
        file.write_text(yaml.safe_dump(policy))
        made.append(build_dispatcher(live_settings))
        return made[-1]

    yield build
    for dispatcher in made:
        dispatcher.close()


def test_a_failing_path_falls_back_once_and_both_rows_are_charged_to_the_routed_variant(build, ask, rows, inject):
    dispatcher = build({"managed-sonnet-4-6": "legacy"})
    inject(Rule(on="sessions.create", fault=OVERLOADED, every=True))
    told = []
    result = dispatcher.dispatch_research(ask("acme", variant="managed-sonnet-4-6"), told.append).raise_for_status()
    columns = ("attempt", "role", "variant", "routed_variant", "status", "error_type", "dispatch_id")
    assert [tuple(row[column] for column in columns) for row in rows()] == [
        (1, "served", "managed-sonnet-4-6", "managed-sonnet-4-6", "error", "overloaded", result.dispatch_id),
        (2, "fallback", "legacy", "managed-sonnet-4-6", "success", None, result.dispatch_id),
    ]
    assert (result.attempts, result.decision.variant.name) == (2, "legacy")
    assert [event.attempt for event in told if isinstance(event, AttemptStarted)] == [1, 2]
    assert result.cost_nanousd == sum(row["cost_nanousd"] for row in rows())
    assert result.timings.response_time_ms >= sum(row["response_time_ms"] for row in rows()) - 1


def test_a_plan_is_finite_where_each_variant_names_the_other(build, ask, rows, inject):
    dispatcher = build({"managed-sonnet-4-6": "legacy", "legacy": "managed-sonnet-4-6"})
    inject(Rule(on="sessions.create", fault=OVERLOADED, every=True))
    inject(Rule(on="messages.create", fault=OVERLOADED, every=True))
    result = dispatcher.dispatch_research(ask("acme", variant="managed-sonnet-4-6"))
    assert (result.attempts, [row["variant"] for row in rows()]) == (2, ["managed-sonnet-4-6", "legacy"])


def test_without_a_policy_a_failure_is_the_answer(build, ask, rows, inject):
    dispatcher = build()
    inject(Rule(on="messages.create", fault=OVERLOADED, every=True))
    result = dispatcher.dispatch_research(ask())
    assert (result.status, result.error_type, result.attempts) == ("error", "overloaded", 1)
    assert [(row["retries"], row["cost_nanousd"], row["iterations"]) for row in rows()] == [(1, 0, 0)]


def test_the_kill_switch_is_not_got_around_by_a_fallback(build, ask, rows, inject, live_settings):
    dispatcher = build({"legacy": "managed-sonnet-4-6"})
    (live_settings.policies_dir / "KILL").write_text("legacy")
    inject(Rule(on="messages.create", fault=OVERLOADED, every=True))
    dispatcher.dispatch_research(ask("acme"))
    assert [row["variant"] for row in rows()] == ["legacy"]


def test_a_defect_on_the_way_to_a_fallback_leaves_no_row_open(build, ask, rows, inject):
    parts = build({"legacy": "managed-sonnet-4-6"})._parts
    switch = iter([None])

    def look():
        for value in switch:
            return value
        raise OSError("the switch broke")

    dispatcher = Dispatcher(lambda _: replace(parts, router=replace(parts.router, look_at_kill_switch=look)))
    inject(Rule(on="messages.create", fault=OVERLOADED, every=True))
    with pytest.raises(OSError, match="the switch broke"):
        asyncio.run(dispatcher.adispatch_research(ask("acme", variant="legacy")))
    assert [(row["status"], row["error_type"]) for row in rows()] == [("error", "overloaded")]


def test_a_keyed_action_stays_one_through_its_fallback(build, ask, rows, inject):
    dispatcher = build({"managed-sonnet-4-6": "legacy"})
    inject(Rule(on="sessions.create", fault=OVERLOADED, every=True))

    def asked():
        return ask("acme", variant="managed-sonnet-4-6", idempotency_key="k-1")

    dispatcher.dispatch_research(asked()).raise_for_status()
    with pytest.raises(DuplicateAction):
        dispatcher.dispatch_research(asked())
    assert len(rows()) == 2


def test_a_conversation_goes_on_after_a_fallback(build, ask, rows, inject):
    dispatcher = build({"managed-sonnet-4-6": "legacy"})
    inject(Rule(on="sessions.create", fault=OVERLOADED, times=2))

    def turn(**more):
        asked = ask("acme", variant="managed-sonnet-4-6", conversation_id="c-1", **more)
        return dispatcher.dispatch_research(asked).raise_for_status()

    turn(history=turn().transcript)
    found = [(row["turn"], row["attempt"], row["variant"], row["transcript_form"]) for row in rows()]
    assert found == [
        (1, 1, "managed-sonnet-4-6", "native"),
        (1, 2, "legacy", "native"),
        (2, 1, "managed-sonnet-4-6", "flattened"),
    ]


def test_a_path_that_keeps_failing_is_left_alone_and_then_tried_once(build, ask, rows, inject, live_simulator):
    dispatcher = build(breaker={"failures": 2, "cooldown_s": 0.2})
    inject(Rule(on="messages.create", fault=OVERLOADED, every=True))
    ended = [dispatcher.dispatch_research(ask()).error_type for _ in range(4)]
    assert ended == ["overloaded", "overloaded", "circuit_open", "circuit_open"]
    assert [(row["status"], row["cost_nanousd"], row["error_stage"]) for row in rows()][2] == ("error", 0, "queue")
    live_simulator.clear_faults()
    while (result := dispatcher.dispatch_research(ask())).error_type == "circuit_open":
        pass
    assert result.status == "success"
    assert dispatcher.dispatch_research(ask()).status == "success"


async def test_cancelled_dispatches_do_not_open_the_breaker(build, ask, rows):
    dispatcher = build(breaker={"failures": 1, "cooldown_s": 60})
    for _ in range(3):
        async with aclosing(dispatcher.astream_research(ask())) as events:
            async for event in events:
                if isinstance(event, RequestStarted):
                    break
    assert [row["status"] for row in rows()] == ["cancelled"] * 3
    assert (await dispatcher.adispatch_research(ask())).status == "success"


def test_one_callers_short_deadlines_do_not_shut_the_path_for_everybody(build, ask, rows, inject, live_simulator):
    dispatcher = build(breaker={"failures": 1, "cooldown_s": 60})
    inject(Rule(on="messages.create", fault=Stall(), every=True))
    ended = [dispatcher.dispatch_research(ask(limits=Limits(deadline_s=0.2))).error_type for _ in range(3)]
    # On a busy machine a deadline may have passed before the request was sent.
    live_simulator.clear_faults()
    assert ended == ["deadline"] * 3
    assert dispatcher.dispatch_research(ask("globex", variant="legacy")).status == "success"


async def test_who_waited_for_a_place_while_the_path_was_shut_sends_nothing(build, ask, rows, inject, live_simulator):
    dispatcher = build(
        breaker={"failures": 1, "cooldown_s": 60}, concurrency={"messages": 1, "managed": 1, "queue": 100}
    )
    inject(Rule(on="messages.create", fault=Status(status=529, should_retry=False), every=True))
    before = len(live_simulator.faults_fired)
    results = await asyncio.gather(*(dispatcher.adispatch_research(ask()) for _ in range(6)))
    assert sorted(result.error_type for result in results) == ["circuit_open"] * 5 + ["overloaded"]
    assert len(live_simulator.faults_fired) - before == 1


def test_our_own_limits_neither_keep_a_failing_path_open_nor_shut_a_sound_one(build, ask, inject):
    dispatcher = build(breaker={"failures": 2, "cooldown_s": 60})
    inject(Rule(on="messages.create", fault=OVERLOADED, every=True))
    ended = [
        dispatcher.dispatch_research(ask(limits=limits)).error_type
        for limits in (Limits(), Limits(tokens=1), Limits(), Limits(tokens=1))
    ]
    assert ended == ["overloaded", "token_cap", "overloaded", "circuit_open"]


@pytest.mark.parametrize("brake", ["off", "removed"])
def test_a_fallback_does_not_get_around_an_operators_flag(build, ask, rows, inject, live_settings, brake):
    file = live_settings.policies_dir / "flags.json"
    flags = json.loads(file.read_text())
    if brake == "off":
        flags["features"] = [{**feature, "enabled": False} for feature in flags["features"]]
    else:
        (flag,) = (feature for feature in flags["features"] if feature["name"] == "agent-research")
        (strategy,) = (one for one in flag["strategies"] if one.get("title") == "capped pilot")
        strategy["variants"][0]["name"] = "legacy"
    file.write_text(json.dumps(flags))
    dispatcher = build({"legacy": "managed-sonnet-4-6"})
    inject(Rule(on="messages.create", fault=OVERLOADED, every=True))
    result = dispatcher.dispatch_research(ask("acme"))
    assert (result.decision.reason, [row["variant"] for row in rows()]) == (brake, ["legacy"])


async def test_a_wait_that_ends_in_the_queue_is_on_record(build, ask, rows, inject):
    dispatcher = build(concurrency={"messages": 1, "managed": 1, "queue": 100})
    inject(Rule(on="messages.create", fault=Stall()))
    inside = asyncio.Event()

    def on_event(event):
        if isinstance(event, RequestStarted):
            inside.set()

    first = asyncio.ensure_future(dispatcher.adispatch_research(ask(limits=Limits(deadline_s=2)), on_event))
    await inside.wait()
    second = await dispatcher.adispatch_research(ask("initech", limits=Limits(deadline_s=0.3)))
    await first
    (row,) = rows("SELECT * FROM ai_outbound_logs WHERE tenant = 'initech'")
    assert (second.error_type, row["error_stage"], row["queue_ms"] > 0) == ("deadline", "queue", True)


async def test_more_than_may_run_at_once_wait_and_say_how_long(build, ask, rows):
    dispatcher = build(concurrency={"messages": 1, "managed": 1, "queue": 100})
    results = await asyncio.gather(*(dispatcher.adispatch_research(ask()) for _ in range(4)))
    assert [result.status for result in results] == ["success"] * 4
    waited = sorted(row["queue_ms"] for row in rows())
    assert waited[0] == 0
    assert waited[1] > 0
    for row in rows():
        assert row["queue_ms"] <= row["response_time_ms"]


async def test_more_than_may_wait_are_refused_with_their_row(build, ask, rows):
    dispatcher = build(concurrency={"messages": 1, "managed": 1, "queue": 0})
    results = await asyncio.gather(*(dispatcher.adispatch_research(ask()) for _ in range(3)))
    assert sorted(str(result.error_type) for result in results) == ["None", "queue_full", "queue_full"]
    assert len(rows()) == 3


@pytest.mark.parametrize("variant", ["legacy", "managed-sonnet-4-6"])
def test_a_transient_failure_is_sent_again_and_counted_with_its_wait(build, ask, rows, inject, variant):
    dispatcher = build()
    on = "messages.create" if variant == "legacy" else "sessions.create"
    inject(Rule(on=on, fault=Status(status=429, retry_after_ms=30)))
    told = []
    dispatcher.dispatch_research(ask("acme", variant=variant), told.append).raise_for_status()
    assert [event.error_type for event in told if isinstance(event, RetryScheduled)] == ["rate_limited"]
    assert [(row["retries"], row["retry_wait_ms"] >= 30, row["usage_quality"] != "partial") for row in rows()] == [
        (1, True, True)
    ]


@pytest.mark.parametrize("fault", [DropBefore(), DropAfter()], ids=["before", "after"])
@pytest.mark.parametrize(("on", "sent"), [("sessions.create", None), ("events.send", "user.message")])
def test_what_is_not_idempotent_lands_once_however_its_answer_was_lost(
    build, ask, rows, inject, live_simulator, fault, on, sent
):
    dispatcher = build()
    before = len(live_simulator.ledger)
    inject(Rule(on=on, sent=sent, fault=fault))
    dispatcher.dispatch_research(ask("acme", variant="managed-sonnet-4-6")).raise_for_status()
    (row,) = rows()
    charged = live_simulator.ledger[before:]
    assert {entry.session_id for entry in charged} == {row["session_id"]}
    assert row["cost_nanousd"] == sum(entry.cost_nanousd for entry in charged)
    assert live_simulator.running_sessions == 0
