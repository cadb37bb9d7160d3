"""What a session that came to rest after its attempt had ended tells of it, and is left as it is."""

from __future__ import annotations

from functools import reduce

import pytest
from managed_world import HAIKU, answered, make_job, make_path, run_once
from test_managed_salvage import TABLE, TODAY, as_rows_have_it, figures, is_archived, session

from dispatcher.action.observation import UsageQuality
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.salvage import LeftSession, Salvage, Unsalvageable
from dispatcher.paths.managed.totals import NOTHING_YET
from dispatcher.paths.observation import Observation
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.sums import SessionTotals
from dispatcher.simulator.server import Simulator

TURNS = ("log-1", "log-2", "log-3")


@pytest.fixture
def path(simulator: Simulator) -> ManagedPath:
    return make_path(simulator.base_url, simulated=True)


def left(
    session_id: str,
    log_id: str = "log-1",
    before: SessionTotals | None = NOTHING_YET,
    turns: tuple[str, ...] = (),
) -> LeftSession:
    return LeftSession(session_id=session_id, log_id=log_id, model=HAIKU, on=TODAY, before=before, turns=turns)


async def conversation(path: ManagedPath, shop: Checkout) -> list[Observation]:
    """Three turns in one session, each as its own attempt saw it."""
    job = make_job(shop, cap=8, keeps_session=True)
    outcome, seen = await run_once(path, job)
    told = [seen]
    for log_id in TURNS[1:]:
        job = make_job(shop, cap=8, log_id=log_id, keeps_session=True, seed=answered(job, outcome, seen))
        outcome, seen = await run_once(path, job)
        told.append(seen)
    assert len({seen.session for seen in told}) == 1
    return told


def beside(told: list[Observation], number: int) -> SessionTotals:
    """What the rows of the other turns have."""
    return reduce(_added, (as_rows_have_it(seen) for place, seen in enumerate(told) if place != number))


def _added(one: SessionTotals, other: SessionTotals) -> SessionTotals:
    assert None not in (one.active_ms, other.active_ms, one.list_cost_nanousd, other.list_cost_nanousd)
    return SessionTotals(
        usage=one.usage + other.usage,
        active_ms=one.active_ms + other.active_ms,
        list_cost_nanousd=one.list_cost_nanousd + other.list_cost_nanousd,
    )


async def test_each_turn_of_a_session_is_told_what_it_did_itself_whichever_came_after_it(
    path: ManagedPath, shop: Checkout
):
    """To the token and the nano-dollar, from what the other turns' rows have; and the session may go on."""
    told = await conversation(path, shop)
    assert told[0].session is not None
    session_id = told[0].session.session_id
    for number, log_id in enumerate(TURNS):
        read = await path.read_at_rest(left(session_id, log_id, beside(told, number), TURNS), TABLE)
        assert isinstance(read, Salvage)
        assert figures(read.seen) == figures(told[number])
        assert read.seen.cost_nanousd is not None
    assert not await is_archived(path, session_id)


async def test_a_turn_that_is_taken_for_another_has_no_cost(path: ManagedPath, shop: Checkout):
    """What its requests used isn't what the platform counted for it."""
    told = await conversation(path, shop)
    assert told[0].session is not None
    asked = left(told[0].session.session_id, "log-1", beside(told, 0), ("log-2", "log-1", "log-3"))
    read = await path.read_at_rest(asked, TABLE)
    assert isinstance(read, Salvage)
    assert (read.seen.usage_quality, read.seen.cost_nanousd) == (UsageQuality.PARTIAL, None)


async def test_nothing_is_told_where_there_are_more_turns_than_messages(path: ManagedPath, shop: Checkout):
    told = await conversation(path, shop)
    assert told[0].session is not None
    asked = left(told[0].session.session_id, "log-1", beside(told, 0), (*TURNS, "log-4"))
    read = await path.read_at_rest(asked, TABLE)
    assert isinstance(read, Salvage)
    assert (read.seen.calls, read.seen.cost_nanousd) == ((), None)


async def test_a_session_that_runs_is_left_running(path: ManagedPath, simulator: Simulator):
    session_id = await session(path, "log-1", message="Where is the kill switch looked at?")
    assert await path.read_at_rest(left(session_id), TABLE) is Unsalvageable.STILL_RUNS
    assert simulator.running_sessions == 1


async def test_a_session_that_a_turn_unknown_to_the_log_took_up_is_not_read(path: ManagedPath):
    session_id = await session(path, "log-9")
    asked = left(session_id, "log-1", turns=("log-1", "log-2"))
    assert await path.read_at_rest(asked, TABLE) is Unsalvageable.TAKEN_UP


async def test_a_session_beside_turns_that_are_not_known_is_not_told(path: ManagedPath):
    assert (
        await path.read_at_rest(left(await session(path, "log-1"), before=None), TABLE)
        is Unsalvageable.EARLIER_TURNS_UNKNOWN
    )


async def test_a_deleted_session_is_gone(path: ManagedPath):
    session_id = await session(path, "log-1")
    await path._claude.client().beta.sessions.delete(session_id)
    assert await path.read_at_rest(left(session_id), TABLE) is Unsalvageable.GONE
