"""A loop that ends while an attempt runs leaves no session behind, and what was accepted before stays accepted."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest
from managed_world import HAIKU, Watched, make_job, make_path, make_sending
from scripted_sessions import ScriptedSessions
from session_scripts import AWAIT_ANSWER, FOREVER, REPORT, SUBMITS, Event, echo, idle, message, request_end

from dispatcher.action.decision import CapMode
from dispatcher.action.observation import EndedBy, Status
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.server import Simulator

RUNS_ON_AFTER_ITS_REPORT: list[Event] = [*SUBMITS[: SUBMITS.index(AWAIT_ANSWER) + 1], FOREVER]


# The HTTP library connects in a task of its own, which a loop that ends can cancel before it has begun.
@pytest.mark.filterwarnings("ignore:.*connect_tcp:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*connect_tcp:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_told", [True, False], ids=["cancelled by main", "cancelled by the loop"])
@pytest.mark.parametrize("after_ms", [0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 200, 400])
def test_a_loop_that_ends_at_any_moment_leaves_no_session_that_is_not_archived(
    simulator: Simulator, shop: Checkout, after_ms: int, *, is_told: bool
):
    path = make_path(simulator.base_url, simulated=True)
    watched = Watched()

    async def main() -> None:
        await path._provisions.of(HAIKU, CapMode.INTERRUPT, make_sending())
        running = asyncio.create_task(path.run(make_job(shop, cap=100), watched.observer))
        await asyncio.sleep(after_ms / 1000)
        if is_told:
            running.cancel()

    asyncio.run(main())
    # Not even a task that would have put it away: that one could not have begun.
    assert path._beside == set()

    async def left() -> list[str]:
        client = make_path(simulator.base_url, simulated=True)._claude.client()
        return [session.status async for session in client.beta.sessions.list(include_archived=True)]

    gc.collect()
    assert simulator.running_sessions == 0
    assert set(asyncio.run(left())) <= {"terminated"}


async def run_until(server: ScriptedSessions, deadline_s: float) -> Watched:
    watched = Watched()
    async with server.serving():
        path = make_path(server.base_url, simulated=False)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await path.run(make_job(), watched.observer)
        await path.settle()
    return watched


async def test_a_report_accepted_before_the_deadline_is_remembered_though_the_session_runs_on():
    server = ScriptedSessions(RUNS_ON_AFTER_ITS_REPORT)
    watched = await run_until(server, 0.7)

    accepted = watched.observer.accepted
    assert accepted is not None
    assert (accepted.status, accepted.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert accepted.output is not None
    assert accepted.output.model_dump()["summary"] == REPORT["summary"]
    assert (server.interrupts, server.status) == (1, "terminated")
    assert watched.seen.drain_ms is not None
    assert watched.seen.totals is not None


async def test_a_report_in_the_last_message_is_remembered_though_the_deadline_falls_into_the_count():
    class Slow(ScriptedSessions):
        async def _retrieve(self, request):
            await asyncio.sleep(0.8)
            return await super()._retrieve(request)

    text = json.dumps(REPORT)
    script = [echo(), *SUBMITS[2:3], message("m", text), request_end(1), idle("i")]
    watched = await run_until(Slow(script), 0.6)

    assert watched.observer.accepted is not None


async def test_an_attempt_without_a_report_accepts_nothing():
    server = ScriptedSessions([echo(), *SUBMITS[2:3], FOREVER])
    watched = await run_until(server, 0.4)

    assert (watched.observer.accepted, server.status) == (None, "terminated")


async def test_a_session_that_runs_on_after_its_report_is_put_away_before_the_answer():
    server = ScriptedSessions(RUNS_ON_AFTER_ITS_REPORT)
    async with server.serving():
        path = make_path(server.base_url, simulated=False)
        outcome = await path.run(make_job(), Watched().observer)
        left = server.status
        await path.settle()

    assert (outcome.status, left) == (Status.SUCCESS, "terminated")
