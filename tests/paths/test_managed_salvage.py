"""What can still be told of an attempt by its session, when the process that ran it is gone."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from managed_world import HAIKU, PRICES, answered, make_job, make_path, make_sending, run_once

from dispatcher.action.decision import CapMode
from dispatcher.action.observation import ZERO_USAGE, UsageQuality
from dispatcher.paths.managed.creation import LOG_ID_KEY
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.salvage import LeftSession, Salvage, Unsalvageable
from dispatcher.paths.managed.totals import NOTHING_YET
from dispatcher.paths.observation import Observation
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.sums import SessionTotals
from dispatcher.prices import PriceTable
from dispatcher.simulator.server import Simulator

TABLE = PriceTable.load(PRICES)
TODAY = dt.datetime.now(dt.UTC).date()


@pytest.fixture
def path(simulator: Simulator) -> ManagedPath:
    return make_path(simulator.base_url, simulated=True)


def left(session_id: str, log_id: str = "log-1", before: SessionTotals | None = NOTHING_YET) -> LeftSession:
    return LeftSession(session_id=session_id, log_id=log_id, model=HAIKU, on=TODAY, before=before)


def as_rows_have_it(seen: Observation) -> SessionTotals:
    """What the log keeps of a session's count: not the split of its cache writes."""
    assert seen.totals is not None
    usage = replace(seen.totals.usage, cache_creation_5m_input_tokens=None, cache_creation_1h_input_tokens=None)
    return replace(seen.totals, usage=usage)


def figures(seen: Observation) -> tuple[object, ...]:
    """All that ties out of an attempt, apart from what only its own process could measure."""
    calls = tuple(replace(call, latency_ms=None) for call in seen.calls)
    money = (seen.cost_nanousd, seen.runtime_cost_nanousd, seen.tool_cost_nanousd)
    work = (seen.iterations, seen.tool_calls, seen.tool_errors)
    return (calls, seen.usage, seen.usage_quality, money, work, seen.totals, seen.session)


async def session(path: ManagedPath, log_id: str, *, message: str | None = None) -> str:
    client = path._claude.client()
    provision = await path._provisions.of(HAIKU, CapMode.INTERRUPT, make_sending())
    created = await client.beta.sessions.create(
        agent=provision.agent_id, environment_id=provision.environment_id, metadata={LOG_ID_KEY: log_id}
    )
    if message:
        said = {"type": "user.message", "content": [{"type": "text", "text": message}]}
        await client.beta.sessions.events.send(created.id, events=[said])
    return created.id


async def is_archived(path: ManagedPath, session_id: str) -> bool:
    return (await path._claude.client().beta.sessions.retrieve(session_id)).archived_at is not None


async def test_what_a_session_tells_of_its_attempt_is_what_the_attempt_had_seen(path: ManagedPath, shop: Checkout):
    """To the token and the nano-dollar, turn by turn of a conversation, whose count the session adds up."""
    job = make_job(shop, cap=8, keeps_session=True)
    outcome, seen = await run_once(path, job)
    assert seen.session is not None
    later = make_job(shop, cap=8, log_id="log-2", keeps_session=True, seed=answered(job, outcome, seen))
    _, seen_later = await run_once(path, later)
    assert seen_later.session == seen.session

    told = await path.salvage(left(seen.session.session_id, "log-2", as_rows_have_it(seen)), TABLE)
    assert isinstance(told, Salvage)
    assert figures(told.seen) == figures(seen_later)
    assert told.seen.usage_quality is UsageQuality.SPLIT_INFERRED
    assert told.stop_reason == "end_turn"
    assert await is_archived(path, seen.session.session_id)
    # Put away by now, it tells the same again.
    assert await path.salvage(left(seen.session.session_id, "log-2", as_rows_have_it(seen)), TABLE) == told


async def test_the_only_turn_of_a_session_is_all_that_it_did(path: ManagedPath, shop: Checkout):
    _, seen = await run_once(path, make_job(shop, cap=8, keeps_session=True))
    assert seen.session is not None
    told = await path.salvage(left(seen.session.session_id), TABLE)
    assert isinstance(told, Salvage)
    assert figures(told.seen) == figures(seen)
    assert seen.cost_nanousd is not None


async def test_a_session_that_still_runs_is_stopped_and_then_read(path: ManagedPath, simulator: Simulator):
    session_id = await session(path, "log-1", message="Where is the kill switch looked at?")
    told = await path.salvage(left(session_id), TABLE)
    assert isinstance(told, Salvage)
    assert simulator.running_sessions == 0
    assert await is_archived(path, session_id)
    assert told.seen.totals is not None


async def test_a_session_in_which_nothing_was_said_cost_nothing(path: ManagedPath):
    told = await path.salvage(left(await session(path, "log-1")), TABLE)
    assert isinstance(told, Salvage)
    assert (told.seen.usage, told.seen.calls, told.seen.cost_nanousd) == (ZERO_USAGE, (), 0)
    assert told.seen.usage_quality is UsageQuality.SPLIT_INFERRED


async def test_a_turn_that_never_came_to_run_is_not_told_what_the_turn_before_it_did(path: ManagedPath, shop: Checkout):
    _, seen = await run_once(path, make_job(shop, cap=8, keeps_session=True))
    assert seen.session is not None
    told = await path.salvage(left(seen.session.session_id, before=as_rows_have_it(seen)), TABLE)
    assert isinstance(told, Salvage)
    assert (told.seen.calls, told.seen.iterations, told.stop_reason) == ((), 0, None)
    assert told.seen.usage == ZERO_USAGE


async def test_where_the_earlier_turns_are_not_known_the_session_is_put_away_all_the_same(path: ManagedPath):
    session_id = await session(path, "log-1", message="Where is the kill switch looked at?")
    assert await path.salvage(left(session_id, before=None), TABLE) is Unsalvageable.EARLIER_TURNS_UNKNOWN
    assert await is_archived(path, session_id)


async def test_a_session_that_another_turn_took_up_is_left_alone(path: ManagedPath):
    session_id = await session(path, "log-2")
    assert await path.salvage(left(session_id, "log-1"), TABLE) is Unsalvageable.TAKEN_UP
    assert not await is_archived(path, session_id)


async def test_a_session_that_was_deleted_tells_nothing(path: ManagedPath):
    session_id = await session(path, "log-1")
    await path._claude.client().beta.sessions.delete(session_id)
    assert await path.salvage(left(session_id), TABLE) is Unsalvageable.GONE


async def test_sessions_are_found_by_the_tags_of_their_rows_archived_ones_too(path: ManagedPath):
    ids = {f"log-{number}": await session(path, f"log-{number}") for number in range(3)}
    await path._claude.client().beta.sessions.archive(ids["log-1"])
    since = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    found = await path.sessions_of(["log-1", "log-2", "log-9"], since)
    assert found == {name: ids[name] for name in ("log-1", "log-2")}
