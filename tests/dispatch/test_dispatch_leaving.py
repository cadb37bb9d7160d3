"""What leaves in the middle of a dispatch, a caller, a loop or a program, leaves an ended row and nothing running."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest

from dispatcher import CalledOnEventLoop, RequestFinished
from dispatcher.action.observation import Status


async def opened(rows):
    """Wait until a row is there; it is committed by another thread, so there is nothing to be told by."""
    before = len(rows())
    while len(rows()) == before:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("tenant", ["umbrella", "globex"])
async def test_a_cancelled_dispatch_closes_its_row_and_leaves_no_session_running(
    dispatcher, rows, ask, live_simulator, tenant
):
    running = asyncio.ensure_future(dispatcher.adispatch_research(ask(tenant)))
    await opened(rows)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await dispatcher.settle()

    [row] = rows()
    assert (row["status"], row["ended_by"], row["error_type"]) == ("cancelled", "cancel", "cancelled")
    assert live_simulator.running_sessions == 0


@pytest.mark.parametrize("variant", ["legacy", "managed-haiku-4-5-cap8"])
async def test_a_cancelled_dispatch_has_its_row_with_its_usage_and_its_cost(dispatcher, rows, ask, variant):
    """What was spent until then, request by request; on the managed path also what came while it was stopped."""
    told = []

    def cancel_after_the_first_request(event):
        if isinstance(event, RequestFinished) and not told:
            told.append(event.call)
            running.cancel()

    action = dispatcher.adispatch_research(ask("acme", variant=variant), cancel_after_the_first_request)
    running = asyncio.ensure_future(action)
    with pytest.raises(asyncio.CancelledError):
        await running
    await dispatcher.settle()

    [row], calls = rows(), rows("SELECT * FROM ai_outbound_calls ORDER BY ordinal")
    assert (row["status"], row["iterations"], row["log_id"]) == ("cancelled", len(calls), calls[0]["log_id"])
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cost_nanousd")
    of_requests = {name: row[name] for name in names}
    of_requests["cost_nanousd"] -= row["runtime_cost_nanousd"] or 0
    assert of_requests == {name: sum(call[name] for call in calls) for name in names}
    [first] = told
    assert {name: calls[0][name] for name in names[:2]} == {name: getattr(first.usage, name) for name in names[:2]}
    assert row["output_tokens"] > 0
    assert row["cost_nanousd"] > 0


@pytest.mark.parametrize("tenant", ["umbrella", "globex"])
def test_a_loop_that_ends_by_cancelling_everything_leaves_every_row_ended_and_nothing_running(
    dispatcher, rows, ask, live_simulator, tenant
):
    async def cancelled_and_left(moment: float) -> None:
        running = asyncio.ensure_future(dispatcher.adispatch_research(ask(tenant)))
        await opened(rows)
        await asyncio.sleep(moment)
        running.cancel()

    for moment in (0, 0.005, 0.02, 0.05, 0.1):
        before = len(rows())
        asyncio.run(cancelled_and_left(moment))
        assert len(rows()) == before + 1

    assert {row["status"] for row in rows()} <= {"cancelled", "success"}
    assert live_simulator.running_sessions == 0


def test_closing_with_a_dispatch_under_way_cancels_it_and_ends_its_row(dispatcher, rows, ask, live_simulator):
    def call() -> None:
        with pytest.raises(asyncio.CancelledError):
            dispatcher.dispatch_research(ask("globex"))

    caller = threading.Thread(target=call)
    caller.start()
    while not rows():
        time.sleep(0.001)
    dispatcher.close()
    caller.join(10)

    assert not caller.is_alive()
    assert rows()[0]["status"] == "cancelled"
    assert live_simulator.running_sessions == 0


async def test_closing_on_a_loops_thread_is_refused_and_changes_nothing(dispatcher, ask):
    with pytest.raises(CalledOnEventLoop):
        dispatcher.close()

    result = await dispatcher.adispatch_research(ask())
    assert result.status is Status.SUCCESS


def test_an_exit_in_the_middle_of_a_dispatch_ends_its_row(dispatcher, rows, ask):
    async def leave() -> None:
        running = asyncio.ensure_future(dispatcher.adispatch_research(ask()))
        await opened(rows)
        running.get_loop().call_soon(sys.exit, 3)
        await running

    with pytest.raises(SystemExit):
        asyncio.run(leave())

    assert rows()[0]["status"] == "cancelled"


async def test_closing_from_another_thread_ends_what_awaiting_callers_wait_for_with_its_row(dispatcher, ask, rows):
    started = asyncio.Event()
    running = asyncio.ensure_future(dispatcher.adispatch_research(ask(), lambda _event: started.set()))
    await started.wait()
    await asyncio.to_thread(dispatcher.close)
    await asyncio.wait({running})
    assert running.cancelled()
    assert [row["status"] for row in rows()] in ([], ["cancelled"])
