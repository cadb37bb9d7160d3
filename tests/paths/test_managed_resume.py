"""A session that can't go on costs the conversation nothing: the same turn is told the earlier ones in a fresh one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from managed_world import (
    answered,
    make_job,
    make_path,
    make_sending,
    run_once,
    run_watched,
    simulating,
)
from scripted_sessions import ScriptedSessions
from session_scripts import SUBMITS
from starlette.responses import JSONResponse

from dispatcher.action.observation import EndedBy, ErrorType, Status, UsageQuality
from dispatcher.action.transcript import TranscriptForm
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.resume import CannotGoOn, taken_up
from dispatcher.paths.managed.session import RemoteSession
from dispatcher.paths.path import PastSession, Resume
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.faults.rule import Rule
from dispatcher.simulator.server import Simulator

FOLLOW_UP = "Where are orders taken?"


@pytest.fixture(scope="module")
def simulator(shop: Checkout) -> Iterator[Simulator]:
    with simulating(shop, time_scale=0) as running:
        yield running


@pytest.fixture
def path(simulator: Simulator) -> Iterator[ManagedPath]:
    yield make_path(simulator.base_url, simulated=True)
    simulator.clear_faults()


async def first_turn(path: ManagedPath, shop: Checkout) -> Resume:
    job = make_job(shop, cap=6, keeps_session=True)
    return answered(job, *await run_once(path, job))


async def second_turn(path: ManagedPath, shop: Checkout, seed: Resume, **changes: Any):
    changes = {"cap": 6, "log_id": "log-2", "keeps_session": True, "question": FOLLOW_UP, "seed": seed, **changes}
    return await run_watched(path, make_job(shop, **changes))


async def status_of(path: ManagedPath, session_id: str) -> str:
    return (await path._claude.client().beta.sessions.retrieve(session_id)).status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "claude-sonnet-4-6"),
        ("repository", "https://github.com/acme/another"),
        ("commit_sha", "f" * 40),
        ("project", "another"),
        ("prefix_fingerprint", "0" * 16),
        ("agent_id", "agent_another"),
        ("agent_version", 2),
    ],
)
async def test_a_session_made_for_something_else_is_replaced_by_one_that_is_told_everything(
    path: ManagedPath, shop: Checkout, name: str, value: object
):
    seed = await first_turn(path, shop)
    changed = replace(seed, session=replace(seed.session, **{name: value}))
    outcome, watched = await second_turn(path, shop, changed)

    assert (outcome.status, watched.seen.transcript_form) == (Status.SUCCESS, TranscriptForm.FLATTENED)
    assert [session.session_id != seed.session.session_id for session in watched.noted] == [True]
    assert await status_of(path, seed.session.session_id) == "terminated"


def test_every_fact_of_a_past_session_is_held_against_the_present():
    """A new fact needs a row above."""
    assert {field.name for field in fields(PastSession)} == {
        "session_id",
        "model",
        "repository",
        "commit_sha",
        "project",
        "prefix_fingerprint",
        "agent_id",
        "agent_version",
    }


async def archived(path: ManagedPath, session_id: str) -> None:
    await path._claude.client().beta.sessions.archive(session_id)


async def deleted(path: ManagedPath, session_id: str) -> None:
    await path._claude.client().beta.sessions.delete(session_id)


@pytest.mark.parametrize("put_away", [archived, deleted])
async def test_a_session_that_is_gone_is_replaced_in_the_same_turn(
    path: ManagedPath, shop: Checkout, put_away: Callable[[ManagedPath, str], Awaitable[None]]
):
    seed = await first_turn(path, shop)
    await put_away(path, seed.session.session_id)
    outcome, watched = await second_turn(path, shop, seed)

    assert (outcome.status, watched.seen.transcript_form) == (Status.SUCCESS, TranscriptForm.FLATTENED)


async def test_a_session_that_takes_no_message_is_replaced_in_the_same_turn(
    path: ManagedPath, shop: Checkout, simulator: Simulator
):
    seed = await first_turn(path, shop)
    simulator.inject(Rule(on="events.send", sent="user.message", fault={"name": "status", "status": 400}))
    outcome, watched = await second_turn(path, shop, seed)

    assert (outcome.status, watched.seen.transcript_form) == (Status.SUCCESS, TranscriptForm.FLATTENED)
    # The row was told the session that it first meant to use, and then the one that it used.
    assert [session.session_id == seed.session.session_id for session in watched.noted] == [True, False]
    assert await status_of(path, seed.session.session_id) == "terminated"


async def test_a_session_that_somebody_else_runs_is_stopped_and_replaced(shop: Checkout):
    with simulating(shop, time_scale=0.05) as simulator:
        path = make_path(simulator.base_url, simulated=True)
        seed = await first_turn(path, shop)
        simulator.inject(Rule(on="model_request", fault={"name": "rescheduled", "seconds": 60}))
        text = {"type": "text", "text": "Where is everything?"}
        session_id = seed.session.session_id
        await path._claude.client().beta.sessions.events.send(
            session_id, events=[{"type": "user.message", "content": [text]}]
        )
        outcome, watched = await second_turn(path, shop, seed)

        assert (outcome.status, watched.seen.transcript_form) == (Status.SUCCESS, TranscriptForm.FLATTENED)
        assert (simulator.running_sessions, await status_of(path, session_id)) == (0, "terminated")


@pytest.mark.parametrize("on", ["sessions.retrieve", "sessions.update", "events.list", "events.stream"])
async def test_a_failure_that_passes_does_not_drop_the_session(
    path: ManagedPath, shop: Checkout, simulator: Simulator, on: Any
):
    seed = await first_turn(path, shop)
    simulator.inject(Rule(on=on, fault={"name": "status", "status": 503}))
    outcome, watched = await second_turn(path, shop, seed)

    assert (outcome.status, watched.seen.transcript_form) == (Status.SUCCESS, TranscriptForm.SESSION)
    assert (watched.seen.session is not None, watched.seen.retries) == (True, 1)


@pytest.mark.parametrize("on", ["sessions.retrieve", "sessions.update", "events.stream"])
async def test_a_failure_that_stays_fails_the_turn_and_leaves_the_session_as_it_was(
    path: ManagedPath, shop: Checkout, simulator: Simulator, on: Any
):
    seed = await first_turn(path, shop)
    simulator.inject(Rule(on=on, every=True, fault={"name": "status", "status": 503}))
    outcome, _ = await second_turn(path, shop, seed)
    simulator.clear_faults()

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.PROVIDER_ERROR)
    assert await status_of(path, seed.session.session_id) == "idle"
    again, watched = await second_turn(path, shop, seed, log_id="log-3")
    assert (again.status, watched.seen.transcript_form) == (Status.SUCCESS, TranscriptForm.SESSION)


async def test_a_status_that_lags_behind_is_no_reason_for_another_session(
    path: ManagedPath, shop: Checkout, simulator: Simulator
):
    simulator.inject(Rule(on="session.idle", every=True, fault={"name": "stale_status", "ms": 150}))
    seed = await first_turn(path, shop)
    _, watched = await second_turn(path, shop, seed)

    assert watched.seen.transcript_form is TranscriptForm.SESSION


async def test_a_session_whose_closing_words_are_too_slow_is_stopped_and_goes_on_all_the_same(shop: Checkout):
    """The caller waits two seconds for it, its stopping included; the figures of the turn are complete nevertheless."""
    with simulating(shop, time_scale=0.01) as simulator:
        path = make_path(simulator.base_url, simulated=True)
        _, usual = await run_once(path, make_job(shop, cap=6))
        closing = {"name": "rescheduled", "seconds": 400}
        simulator.inject(Rule(on="model_request", at=usual.iterations, fault=closing))
        job = make_job(shop, cap=6, log_id="log-slow", keeps_session=True)
        outcome, seen = await run_once(path, job)
        _, watched = await second_turn(path, shop, answered(job, outcome, seen))

    assert (outcome.ended_by, seen.usage_quality) == (EndedBy.COMPLETED, UsageQuality.SPLIT_INFERRED)
    assert 1500 <= (seen.drain_ms or 0) <= 2500
    assert (watched.seen.transcript_form, watched.seen.session) == (TranscriptForm.SESSION, seen.session)


async def test_the_sessions_own_budget_has_room_for_every_turn(path: ManagedPath, shop: Checkout):
    """It is the backstop: raised before each turn to what is consumed, the cap and a reserve."""
    seed = await first_turn(path, shop)
    client = path._claude.client()
    before = await client.beta.sessions.retrieve(seed.session.session_id)
    await second_turn(path, shop, seed)
    after = await client.beta.sessions.retrieve(seed.session.session_id)

    cap_cents, reserve_cents = 500, 250
    assert int(before.budget.max_list_cost.amount) == cap_cents + reserve_cents + 1
    consumed = int(before.usage.list_cost.amount)
    assert int(after.budget.max_list_cost.amount) == consumed + cap_cents + reserve_cents + 1


async def test_a_turn_that_fails_leaves_no_session_for_the_next_one(
    path: ManagedPath, shop: Checkout, simulator: Simulator
):
    seed = await first_turn(path, shop)
    simulator.inject(Rule(on="model_request", at=2, fault={"name": "foreign_interrupt"}))
    outcome, _ = await second_turn(path, shop, seed)

    assert outcome.ended_by is EndedBy.INTERRUPT
    assert await status_of(path, seed.session.session_id) == "terminated"


async def test_a_session_whose_budget_has_unknown_room_is_replaced():
    """It would end the turn below its own cap."""

    class Unpriced(ScriptedSessions):
        async def _retrieve(self, request):
            budget = {"type": "limit", "max_list_cost": {"amount": "751", "currency": "USD"}}
            facts = {"id": "sessions_1", "status": "idle", "budget": budget}
            return JSONResponse({**facts, "usage": {**self._usage(), "list_cost": None}})

    async with Unpriced(SUBMITS).serving() as server:
        path = make_path(server.base_url, simulated=False)
        answer = await taken_up(RemoteSession(path._client(), "sessions_1"), make_job(), make_sending())

    assert isinstance(answer, CannotGoOn)
    assert server.updates == []
