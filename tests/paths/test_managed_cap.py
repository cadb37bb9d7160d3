"""The iteration cap of the managed path, whatever the order in which a reply is announced."""

from __future__ import annotations

import itertools
import json

import pytest
from managed_world import make_job, make_path, run_once
from scripted_sessions import ScriptedSessions
from session_scripts import (
    AWAIT_ANSWER,
    FOREVER,
    INVALID_REPORT,
    REPORT,
    Event,
    custom_use,
    echo,
    idle,
    message,
    request_end,
    request_start,
    requires,
    tool_result,
    tool_use,
)

from dispatcher.action.observation import EndedBy, ErrorType, Status, UsageQuality

CAP = 2
FIRST: tuple[Event, ...] = (echo(), request_start(1), tool_use("t1"), request_end(1), tool_result("t1"))


async def play(server: ScriptedSessions):
    async with server.serving():
        return await run_once(make_path(server.base_url, simulated=False), make_job(cap=CAP))


@pytest.mark.parametrize("reply", [[tool_use("t2"), request_end(2)], [request_end(2), tool_use("t2")]])
async def test_a_run_that_goes_on_past_the_cap_is_stopped_before_the_next_request(reply: list[Event]):
    server = ScriptedSessions([*FIRST, request_start(2), *reply, FOREVER])
    outcome, seen = await play(server)

    assert (outcome.status, outcome.ended_by) == (Status.ERROR, EndedBy.ITERATION_CAP)
    assert (outcome.error_type, outcome.output) == (ErrorType.ITERATION_CAP, None)
    assert (seen.iterations, server.interrupts, server.status) == (CAP, 1, "terminated")
    assert seen.usage_quality is UsageQuality.SPLIT_INFERRED


async def test_a_request_beyond_the_cap_is_stopped_and_counted():
    script = [*FIRST, request_start(2), request_end(2), tool_use("t2"), tool_result("t2"), request_start(3), FOREVER]
    server = ScriptedSessions(script)
    outcome, seen = await play(server)

    assert (outcome.ended_by, seen.iterations, server.interrupts) == (EndedBy.ITERATION_CAP, CAP + 1, 1)
    # The interrupted request has no end in this history, so its tokens are unknown and so is the cost.
    assert (seen.usage_quality, seen.cost_nanousd) == (UsageQuality.PARTIAL, None)


@pytest.mark.parametrize("order", [*itertools.permutations("RSE"), *itertools.permutations("SE")], ids="".join)
async def test_a_report_submitted_in_the_last_allowed_request_is_never_cut_off(order: tuple[str, ...]):
    """A reply that reads (R) and submits (S), announced in any order around the end of its request (E)."""
    announced = {"R": tool_use("t2"), "S": custom_use("s", REPORT), "E": request_end(2)}
    reply = [announced[one] for one in order]
    script = [*FIRST, request_start(2), *reply, requires("w", "s"), AWAIT_ANSWER, idle("i")]
    server = ScriptedSessions(script, pause_s=0.02)
    outcome, seen = await play(server)

    assert (outcome.status, server.interrupts, seen.iterations) == (Status.SUCCESS, 0, CAP)


@pytest.mark.parametrize("late", [False, True])
async def test_a_report_in_text_at_the_cap_is_no_reason_to_interrupt(late: bool):
    reply = [message("m", json.dumps(REPORT)), request_end(2)]
    server = ScriptedSessions([*FIRST, request_start(2), *(reply[::-1] if late else reply), idle("i")])
    outcome, _ = await play(server)

    assert (outcome.status, server.interrupts) == (Status.SUCCESS, 0)


async def test_the_closing_request_after_an_accepted_report_may_lie_beyond_the_cap():
    script = [*FIRST, request_start(2), custom_use("s", REPORT), request_end(2), requires("w", "s"), AWAIT_ANSWER]
    server = ScriptedSessions([*script, request_start(3), request_end(3), idle("i")])
    outcome, seen = await play(server)

    assert (outcome.status, server.interrupts, seen.iterations) == (Status.SUCCESS, 0, CAP + 1)


async def test_an_invalid_report_at_the_cap_is_not_sent_back():
    """Its correction would be a request beyond the cap."""
    script = [*FIRST, request_start(2), custom_use("s", INVALID_REPORT), request_end(2), requires("w", "s"), FOREVER]
    server = ScriptedSessions(script)
    outcome, _ = await play(server)

    assert (outcome.ended_by, len(server.answers), server.interrupts) == (EndedBy.ITERATION_CAP, 0, 1)


async def test_a_run_that_passed_the_cap_unseen_is_still_over_the_cap():
    """The connection was away while it happened, and then it was all there at once."""
    beyond = [request_start(3), message("m", json.dumps(REPORT)), request_end(3), idle("i")]
    script = [*FIRST, request_start(2), tool_use("t2"), request_end(2), tool_result("t2"), *beyond]
    outcome, seen = await play(ScriptedSessions(script, cut={len(FIRST)}))

    assert (outcome.ended_by, outcome.output, seen.iterations) == (EndedBy.ITERATION_CAP, None, CAP + 1)
