"""A caller that gives up, or runs into its deadline, leaves nothing running and nothing unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from managed_world import Watched, make_job, make_path, run_once, simulating, until_a_request_started
from scripted_sessions import ScriptedSessions
from session_scripts import FOREVER, SUBMITS, echo, request_end, request_start

from dispatcher.action.observation import ZERO_USAGE, UsageQuality
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.server import Simulator


@pytest.fixture(scope="module")
def simulator(shop: Checkout) -> Iterator[Simulator]:
    with simulating(shop, time_scale=0.02) as running:
        yield running


@pytest.mark.parametrize("after_ms", [0, 10, 20, 40, 60, 90, 120, 180, 300, 700])
async def test_a_cancellation_at_any_moment_leaves_no_session_running(
    simulator: Simulator, shop: Checkout, after_ms: int
):
    path = make_path(simulator.base_url, simulated=True)
    watched = Watched()
    running = asyncio.create_task(path.run(make_job(shop, cap=100), watched.observer))
    await asyncio.sleep(after_ms / 1000)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left_running = simulator.running_sessions
    await path.settle()

    assert (left_running, simulator.running_sessions) == (0, 0)
    sessions = [session async for session in path._claude.client().beta.sessions.list(include_archived=True)]
    assert {session.status for session in sessions} <= {"terminated"}
    assert _charged(simulator, watched) == (watched.seen.usage if watched.noted else ZERO_USAGE)


def _charged(simulator: Simulator, watched: Watched) -> object:
    ours = {session.session_id for session in watched.noted}
    return sum((entry.usage for entry in simulator.ledger if entry.session_id in ours), ZERO_USAGE)


async def test_a_cancelled_run_has_the_usage_that_arrived_while_it_was_stopped():
    """The interrupted request ends after the caller is gone; its usage is read from the history."""

    class Late(ScriptedSessions):
        def _interrupted(self, event):
            self._emit(request_end(1, uncached=77))
            super()._interrupted(event)

    watched = Watched()
    async with Late([echo(), request_start(1), FOREVER]).serving() as server:
        path = make_path(server.base_url, simulated=False)
        running = asyncio.create_task(path.run(make_job(), watched.observer))
        await until_a_request_started(watched)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await path.settle()

    assert (watched.seen.usage.input_tokens, watched.seen.usage_quality) == (77, UsageQuality.SPLIT_INFERRED)
    assert server.status == "terminated"


async def test_a_second_cancellation_does_not_cut_the_clean_up_short():
    watched = Watched()
    async with ScriptedSessions([echo(), request_start(1), FOREVER]).serving() as server:
        path = make_path(server.base_url, simulated=False)
        running = asyncio.create_task(path.run(make_job(), watched.observer))
        await until_a_request_started(watched)
        for _ in range(3):
            running.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await running
        interrupts = server.interrupts
        await path.settle()

    assert (interrupts, server.status) == (1, "terminated")


async def test_a_session_created_while_the_caller_gave_up_is_put_away():
    class Slow(ScriptedSessions):
        async def _create(self, request):
            if request.url.path.endswith("/sessions"):
                creating.set()
                await asyncio.sleep(0.2)
            return await super()._create(request)

    creating = asyncio.Event()
    watched = Watched()
    async with Slow(SUBMITS).serving() as server:
        path = make_path(server.base_url, simulated=False)
        running = asyncio.create_task(path.run(make_job(), watched.observer))
        await creating.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await path.settle()

    assert (watched.noted, server.status, server.received) == ([], "terminated", [])


async def test_nothing_is_left_to_settle_after_settling():
    async with ScriptedSessions(SUBMITS).serving() as server:
        path = make_path(server.base_url, simulated=False)
        await run_once(path, make_job())

    assert path._beside == set()
