"""The orphan sweep: what was left behind is put away, and nothing that may be in use is touched."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from managed_world import (
    HAIKU,
    answered,
    make_job,
    make_path,
    make_sending,
    run_once,
    run_watched,
    simulating,
)

from dispatcher.action.decision import CapMode
from dispatcher.action.observation import Status
from dispatcher.paths.managed.creation import LOG_ID_KEY
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.sweep import LoggedRow, SweepRules, TaggedSession, Verb, verb_for
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.server import Simulator

NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)
RULES = SweepRules(now=NOW, since=NOW - 24 * HOUR, session_ttl=2 * HOUR, grace=dt.timedelta(minutes=5))


def row(status: Status, **changes: object) -> LoggedRow:
    """A row of a conversation that was used a moment ago, its deadline past."""
    facts = {"session_id": "sesn_1", "deadline_at": NOW - HOUR, "conversation_used_at": NOW, **changes}
    return LoggedRow(status=status, **facts)


def session(status: str = "idle") -> TaggedSession:
    return TaggedSession("sesn_1", "log-1", status)


@pytest.mark.parametrize(
    ("logged", "idle", "running"),
    [
        # A row that another log has may be at work there.
        (None, Verb.LEAVE, Verb.LEAVE),
        (row(Status.STARTED, deadline_at=NOW + HOUR), Verb.LEAVE, Verb.LEAVE),
        (row(Status.STARTED, deadline_at=NOW - RULES.grace), Verb.LEAVE, Verb.LEAVE),
        (row(Status.STARTED), Verb.ARCHIVE, Verb.STOP),
        (row(Status.LOST), Verb.ARCHIVE, Verb.STOP),
        (row(Status.ERROR), Verb.ARCHIVE, Verb.STOP),
        (row(Status.CANCELLED), Verb.ARCHIVE, Verb.STOP),
        (row(Status.SUCCESS), Verb.LEAVE, Verb.STOP),
        (row(Status.SUCCESS, conversation_used_at=NOW - 3 * HOUR), Verb.ARCHIVE, Verb.STOP),
        (row(Status.SUCCESS, conversation_used_at=None), Verb.ARCHIVE, Verb.STOP),
        (row(Status.SUCCESS, session_id="sesn_2"), Verb.ARCHIVE, Verb.STOP),
    ],
)
def test_what_becomes_of_a_session_follows_from_its_row(logged: LoggedRow | None, idle: Verb, running: Verb):
    assert verb_for(session("idle"), logged, RULES) is idle
    assert verb_for(session("running"), logged, RULES) is running
    assert verb_for(session("rescheduling"), logged, RULES) is running
    assert verb_for(session("terminated"), logged, RULES) is Verb.LEAVE


MOMENTS = st.timedeltas(-3 * HOUR, 3 * HOUR).map(lambda offset: NOW + offset)


@given(
    st.builds(
        LoggedRow,
        status=st.sampled_from(Status),
        session_id=st.sampled_from(["sesn_1", "sesn_2", None]),
        deadline_at=MOMENTS,
        conversation_used_at=MOMENTS | st.none(),
    ),
    st.sampled_from(["idle", "running", "rescheduling"]),
)
def test_nothing_is_touched_while_its_row_may_be_at_work(logged: LoggedRow, status: str):
    if logged.status is Status.STARTED and logged.deadline_at + RULES.grace >= NOW:
        assert verb_for(session(status), logged, RULES) is Verb.LEAVE
    elif status != "idle":
        assert verb_for(session(status), logged, RULES) is Verb.STOP


@pytest.fixture
def simulator(shop: Checkout) -> Iterator[Simulator]:
    with simulating(shop, time_scale=0.05) as running:
        yield running


async def abandoned(path: ManagedPath, log_id: str, *, message: str | None = None, tagged: bool = True) -> str:
    """A session as a process that was killed leaves it: created, or running."""
    client = path._claude.client()
    provision = await path._provisions.of(HAIKU, CapMode.INTERRUPT, make_sending())
    created = await client.beta.sessions.create(
        agent=provision.agent_id,
        environment_id=provision.environment_id,
        metadata={LOG_ID_KEY: log_id} if tagged else {},
    )
    if message:
        said = {"type": "user.message", "content": [{"type": "text", "text": message}]}
        await client.beta.sessions.events.send(created.id, events=[said])
    return created.id


async def swept(path: ManagedPath, rows: Mapping[str, LoggedRow], *, dry_run: bool = False):
    asked: list[frozenset[str]] = []

    async def look_up(log_ids: frozenset[str]) -> Mapping[str, LoggedRow]:
        asked.append(log_ids)
        return {log_id: rows[log_id] for log_id in log_ids if log_id in rows}

    return await path.sweep(look_up, RULES, dry_run=dry_run), asked


async def test_a_sweep_stops_archives_and_leaves_what_it_should(simulator: Simulator, shop: Checkout):
    path = make_path(simulator.base_url, simulated=True)
    job = make_job(shop, cap=8, log_id="log-kept", keeps_session=True)
    _, kept = await run_once(path, job)
    assert kept.session is not None
    ids = {
        "ran": await abandoned(path, "log-ran", message="Where is the kill switch looked at?"),
        "idle": await abandoned(path, "log-idle"),
        "at work": await abandoned(path, "log-at-work", message="Where are orders taken?"),
        "foreign": await abandoned(path, "log-foreign"),
        "untagged": await abandoned(path, "none", tagged=False),
        "kept": kept.session.session_id,
    }
    rows = {
        "log-ran": row(Status.LOST, session_id=ids["ran"]),
        "log-idle": row(Status.STARTED, session_id=None),
        "log-at-work": row(Status.STARTED, deadline_at=NOW + HOUR),
        "log-kept": row(Status.SUCCESS, session_id=ids["kept"]),
    }
    planned, _ = await swept(path, rows, dry_run=True)
    running_before = simulator.running_sessions
    report, asked = await swept(path, rows)

    assert planned == report
    assert (running_before, simulator.running_sessions) == (2, 1)
    assert asked == [frozenset(["log-ran", "log-idle", "log-at-work", "log-foreign", "log-kept"])]
    assert (report.stopped, report.archived, report.failed) == ((ids["ran"],), (ids["idle"],), ())
    assert set(report.left) == {ids["at work"], ids["foreign"], ids["kept"]}
    assert set(report.looked_at) == set(ids.values()) - {ids["untagged"]}
    assert await _statuses(path) == {
        ids["ran"]: "terminated",
        ids["idle"]: "terminated",
        ids["at work"]: "running",
        ids["foreign"]: "idle",
        ids["untagged"]: "idle",
        ids["kept"]: "idle",
    }


async def test_a_sweep_finds_sessions_on_every_page_and_of_agents_that_are_no_longer_used(
    simulator: Simulator, shop: Checkout
):
    path = make_path(simulator.base_url, simulated=True)
    provision = await path._provisions.of(HAIKU, CapMode.INTERRUPT, make_sending())
    for number in range(105):
        await abandoned(path, f"log-{number}")
    await path._claude.client().beta.agents.archive(provision.agent_id)
    report, _ = await swept(path, {f"log-{number}": row(Status.LOST) for number in range(105)})

    assert len(report.archived) == 105


async def test_a_session_that_a_later_turn_took_up_belongs_to_that_turns_row(simulator: Simulator, shop: Checkout):
    """So a turn that is at work is never taken for what its conversation left behind."""
    path = make_path(simulator.base_url, simulated=True)
    job = make_job(shop, cap=8, log_id="log-1", keeps_session=True)
    seed = answered(job, *await run_once(path, job))
    _, watched = await run_watched(path, make_job(shop, cap=8, log_id="log-2", keeps_session=True, seed=seed))
    report, asked = await swept(path, {"log-1": row(Status.LOST)})

    assert asked == [frozenset(["log-2"])]
    assert (report.left, report.stopped) == ((watched.noted[0].session_id,), ())


async def _statuses(path: ManagedPath) -> dict[str, str]:
    listed = path._claude.client().beta.sessions.list(include_archived=True)
    return {session.id: session.status async for session in listed}
