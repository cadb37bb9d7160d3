"""Keeping to the caps by confirmation: allowed below the cap, denied at it, and never left waiting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from managed_world import Watched, make_caps, make_job, make_path, run_watched, simulating
from scripted_sessions import ScriptedSessions
from session_scripts import (
    AWAIT_ANSWER,
    FOREVER,
    INVALID_REPORT,
    REPORT,
    Event,
    asking,
    custom_use,
    echo,
    idle,
    request_end,
    request_start,
    requires,
    tool_result,
)

from dispatcher.action.decision import CapMode
from dispatcher.action.event import CapReached
from dispatcher.action.observation import EndedBy, ErrorType, Status
from dispatcher.paths.path import Outcome
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.server import Simulator

CAP = 2


async def play(script: list[Event], **caps: Any) -> tuple[Outcome, Watched, ScriptedSessions]:
    async with ScriptedSessions(script).serving() as server:
        job = make_job(caps=make_caps(CAP, **caps), mode=CapMode.CONFIRM)
        outcome, watched = await run_watched(make_path(server.base_url, simulated=False), job)
    assert server.status == "terminated"
    return outcome, watched, server


def asks(number: int, *names: str) -> list[Event]:
    """A request whose reply asks for tools, up to our answer."""
    uses = [asking(f"t{number}{place}", name) for place, name in enumerate(names or ("read",))]
    waits = requires(f"w{number}", *(use["id"] for use in uses))
    return [
        request_start(number),
        *uses,
        request_end(number),
        waits,
        AWAIT_ANSWER,
        *(tool_result(u["id"]) for u in uses),
    ]


def submits(number: int, report: object = REPORT) -> list[Event]:
    use = custom_use(f"s{number}", report)
    return [request_start(number), use, request_end(number), requires(f"w{number}", use["id"]), AWAIT_ANSWER]


def given(server: ScriptedSessions) -> list[str]:
    return [confirmation["result"] for confirmation in server.confirmations]


async def test_below_the_cap_every_call_is_allowed_at_once():
    outcome, watched, server = await play([echo(), *asks(1, "read", "grep"), *submits(2), idle("i")])

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert (given(server), watched.seen.tool_calls, watched.seen.tool_errors) == (["allow", "allow"], 3, 0)
    assert [event for event in watched.told if isinstance(event, CapReached)] == []


async def test_at_the_cap_calls_are_denied_and_the_answer_that_follows_counts():
    outcome, watched, server = await play([echo(), *asks(1), *asks(2, "read", "glob"), *submits(3), idle("i")])

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.ITERATION_CAP)
    assert given(server) == ["allow", "deny", "deny"]
    assert "submit_result" in server.confirmations[-1]["deny_message"]
    assert server.interrupts == 0
    # What was denied never ran: one call that read, and the report.
    assert (watched.seen.tool_calls, watched.seen.tool_errors) == (2, 0)
    assert [event for event in watched.told if isinstance(event, CapReached)] == [
        CapReached(ended_by=EndedBy.ITERATION_CAP)
    ]


async def test_two_requests_may_follow_the_cap_and_no_third():
    outcome, watched, server = await play([echo(), *asks(1), *asks(2), *asks(3), *asks(4), FOREVER])

    assert (outcome.status, outcome.ended_by) == (Status.ERROR, EndedBy.ITERATION_CAP)
    assert outcome.error_type is ErrorType.ITERATION_CAP
    assert (given(server), server.interrupts) == (["allow", "deny", "deny"], 1)
    assert watched.seen.iterations == CAP + 2


async def test_a_report_that_needs_correction_at_the_cap_is_corrected_within_the_grace():
    script = [echo(), *asks(1), *submits(2, INVALID_REPORT), *submits(3), idle("i")]
    outcome, watched, _ = await play(script)

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.ITERATION_CAP)
    assert watched.seen.repairs == 1


async def test_the_cap_on_tool_calls_is_exact():
    outcome, _, server = await play([echo(), *asks(1, "read", "read", "read"), *submits(2), idle("i")], tool_calls=2)

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.TOOL_CALL_CAP)
    assert given(server) == ["allow", "allow", "deny"]


async def test_a_tool_that_was_never_offered_is_denied_and_the_run_goes_on():
    outcome, _, server = await play([echo(), *asks(1, "read", "bash"), *submits(2), idle("i")])

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert given(server) == ["allow", "deny"]


async def test_a_call_that_waits_beside_a_valid_report_is_denied():
    both = [asking("t", "read"), custom_use("s", REPORT), request_end(1), requires("w", "t", "s"), AWAIT_ANSWER]
    outcome, _, server = await play([echo(), request_start(1), *both, idle("i")])

    assert (outcome.status, given(server), len(server.answers)) == (Status.SUCCESS, ["deny"], 1)


@pytest.mark.parametrize("cap", [3, 4, 5])
async def test_no_run_on_the_simulator_exceeds_the_cap_and_its_grace(simulator: Simulator, shop: Checkout, cap: int):
    path = make_path(simulator.base_url, simulated=True)
    names = ("kill_switch_is_set", "take_order", "KILL_FILE", "order", "path", "switch", "orders", "README")
    for number, name in enumerate(names):
        job = make_job(shop, cap=cap, mode=CapMode.CONFIRM, log_id=f"{cap}-{number}", question=f"Where is {name}?")
        outcome, watched = await run_watched(path, job)

        after_the_report = outcome.status is Status.SUCCESS
        assert watched.seen.iterations <= cap + 2 + after_the_report


@pytest.fixture(scope="module")
def simulator(shop: Checkout) -> Iterator[Simulator]:
    with simulating(shop, time_scale=0) as running:
        yield running
