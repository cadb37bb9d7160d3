"""Databases that take the connection or the statement and say nothing: one clear refusal, and no thread kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from claim_contract import HASH, keyed
from log_contract import rows
from outages import hanging
from road import Road, road_to

from dispatcher.action.observation import Status
from dispatcher.audit.bounds import Patience
from dispatcher.audit.connections import BrokenOff, Connections
from dispatcher.audit.doubts import RowInDoubt
from dispatcher.audit.engine import open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.opener import Opener
from dispatcher.audit.record import Origin
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spooled_log import log_with_spool
from dispatcher.audit.tables import calls
from dispatcher.audit.units import carried_out
from dispatcher.errors import LogUnavailable, SourceUnreachable

# No connection of psycopg's is waited for for less than 2 s.
QUICK = Patience(connect_s=2, lock_s=1, statement_s=2, answer_s=3)
CONVERSATION: dict[str, Any] = {"conversation_id": "c", "turn": 1}


@pytest.fixture
def road(server_url: str) -> Iterator[tuple[Road, str]]:
    with road_to(server_url) as road:
        yield road


@pytest.fixture
def direct(server_url: str) -> Iterator[sa.Engine]:
    """The database, by another road."""
    engine = open_engine(server_url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(road: tuple[Road, str]) -> Iterator[sa.Engine]:
    engine = open_engine(road[1], QUICK)
    yield engine
    engine.dispose()


@pytest.fixture
async def log(engine: sa.Engine) -> AsyncIterator[Log]:
    log = Log(engine)
    yield log
    await asyncio.to_thread(log.shutdown)


async def become(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - a server comes to it
            await asyncio.sleep(0.02)


def at_the_commit(engine: sa.Engine, then: Callable[[], None]) -> None:
    """Do something once, when the next COMMIT is about to be sent."""
    done = []

    def look(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement == "COMMIT" and not done:
            done.append(statement)
            then()

    sa.event.listen(engine, "before_cursor_execute", look)


def test_a_server_that_takes_the_connection_and_says_nothing_is_one_clear_error(road: tuple[Road, str]) -> None:
    road[0].swallow()
    with pytest.raises(SourceUnreachable, match="can't be used"):
        open_engine(road[1], QUICK)


def test_a_server_that_says_nothing_to_a_statement_gives_its_thread_and_its_connection_back(
    road: tuple[Road, str], engine: sa.Engine
) -> None:
    connections = Connections(engine)

    def ask(connection: sa.Connection) -> object:
        return connection.exec_driver_sql("SELECT 1").scalar()

    assert connections.run(ask) == 1
    road[0].swallow()
    with pytest.raises(BrokenOff):
        connections.run(ask)
    assert engine.pool.checkedout() == 0
    road[0].let_through()
    assert connections.run(ask) == 1
    connections.release()


def test_a_verdict_may_take_its_time(server_url: str) -> None:
    """Only a process that serves is in a hurry: no other connection is told when a statement has to end."""
    seconds = QUICK.statement_s + 1
    engine = open_engine(server_url)
    sleep = "pg_sleep" if engine.dialect.name == "postgresql" else "sleep"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT {sleep}({seconds})")
        timeouts = "SHOW statement_timeout" if engine.dialect.name == "postgresql" else "SELECT @@max_statement_time"
        assert str(connection.exec_driver_sql(timeouts).scalar()).rstrip(".0") == ""
    engine.dispose()


async def test_what_another_program_holds_locked_is_refused_by_the_server_and_leaves_no_doubt(any_url: str) -> None:
    engine = open_engine(any_url, QUICK)
    log = Log(engine)
    with hanging(engine), pytest.raises(LogUnavailable) as refusal:
        await log.open(an_opening(**CONVERSATION))
    assert not isinstance(refusal.value, RowInDoubt)
    await asyncio.to_thread(log.shutdown)
    assert rows(engine) == []
    engine.dispose()


async def test_an_action_waits_no_longer_than_its_deadline(road: tuple[Road, str], log: Log, direct: sa.Engine) -> None:
    road[0].swallow()
    with pytest.raises(LogUnavailable, match=r"nothing was sent .* hasn't answered within 0.2 s; ask again"):
        await log.open(keyed(), request_hash=HASH, within_s=0.2)
    assert rows(direct) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda log: log.refuse_taken_key("script", "agent_research", "order-7", HASH),
        lambda log: log.conversation("script", "agent_research", "c", origin=Origin.PRODUCTION, now=BEGAN),
        lambda log: log.kept_result("script", "agent_research", "order-7", origin=Origin.PRODUCTION, now=BEGAN),
    ],
)
async def test_who_asks_what_only_the_database_knows_is_refused(
    road: tuple[Road, str], log: Log, ask: Callable[[Log], Any]
) -> None:
    road[0].swallow()
    with pytest.raises(LogUnavailable, match=r"the audit log can't say .*"):
        await ask(log)
    road[0].let_through()
    await ask(log)


async def test_a_row_whose_commit_was_not_answered_is_ended_when_the_database_answers_and_its_key_is_free(
    road: tuple[Road, str], engine: sa.Engine, log: Log, direct: sa.Engine
) -> None:
    """The action is refused, and nothing is spent; but the row is there, and its key taken."""
    opening = keyed()
    at_the_commit(engine, lambda: road[0].swallow(but_not_questions=True))
    with pytest.raises(RowInDoubt, match="nothing was sent to the provider"):
        await log.open(opening, request_hash=HASH)
    await log.close(opening.log_id, an_ending(status=Status.ERROR), [])
    assert [row["status"] for row in rows(direct)] == ["started"]
    road[0].let_through()

    async with asyncio.timeout(60):
        while rows(direct)[0]["status"] == "started":
            await log.conversation("script", "agent_research", "c", origin=Origin.PRODUCTION, now=BEGAN)
    assert [row["status"] for row in rows(direct)] == ["error"]
    again = keyed()
    await log.open(again, request_hash=HASH)
    await log.close(again.log_id, an_ending(), [])
    assert sorted(row["status"] for row in rows(direct)) == ["error", "success"]


async def test_a_row_is_in_doubt_too_where_the_server_is_gone_after_its_commit(
    road: tuple[Road, str], engine: sa.Engine, log: Log, direct: sa.Engine
) -> None:
    """Asked again on a new connection, it would say whose the row is; there is no new connection."""
    opening = keyed()
    at_the_commit(engine, lambda: road[0].swallow(but_not_questions=True))
    opened = asyncio.ensure_future(log.open(opening, request_hash=HASH))
    await become(lambda: bool(rows(direct)))
    road[0].close()
    with pytest.raises(RowInDoubt):
        await opened
    await log.close(opening.log_id, an_ending(status=Status.ERROR), [])
    road[0].let_through()
    road[0].open()

    async with asyncio.timeout(60):
        while rows(direct)[0]["status"] == "started":
            await log.conversation("script", "agent_research", "c", origin=Origin.PRODUCTION, now=BEGAN)
    assert [row["status"] for row in rows(direct)] == ["error"]


async def test_a_row_in_doubt_that_is_not_there_stays_away(
    road: tuple[Road, str], engine: sa.Engine, log: Log, direct: sa.Engine
) -> None:
    opening = keyed()
    at_the_commit(engine, road[0].swallow)
    with pytest.raises(RowInDoubt):
        await log.open(opening, request_hash=HASH)
    await log.close(opening.log_id, an_ending(status=Status.ERROR), [])
    road[0].let_through()
    again = keyed()

    async def accepted() -> bool:
        try:
            await log.open(again, request_hash=HASH)
        except LogUnavailable:
            return False
        return True

    async with asyncio.timeout(60):
        # The server holds the key until it notices that nobody is there any more.
        while not await accepted():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
    assert [row["log_id"] for row in rows(direct)] == [again.log_id]


def test_openings_whose_common_commit_was_not_answered_are_each_in_doubt_and_not_asked_for_again(
    road: tuple[Road, str], engine: sa.Engine, direct: sa.Engine
) -> None:
    connections, opener = Connections(engine), Opener(engine.dialect)
    units = [opener.opening(an_opening(), None, None) for _ in range(5)]
    at_the_commit(engine, lambda: road[0].swallow(but_not_questions=True))
    assert [type(outcome) for outcome in carried_out(connections, units)] == [BrokenOff] * 5
    assert len(rows(direct)) == 5
    road[0].let_through()
    assert carried_out(connections, units) == [None] * 5
    assert len(rows(direct)) == 5
    connections.release()


async def test_endings_whose_common_commit_was_not_answered_go_to_the_spool_and_are_told_once(
    road: tuple[Road, str], engine: sa.Engine, direct: sa.Engine, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", "the database", Bounds(), lambda: BEGAN)
    spool.prepare()
    log = log_with_spool(engine, spool, patience_s=0.5)
    openings = [an_opening() for _ in range(12)]
    await asyncio.gather(*(log.open(opening) for opening in openings))
    at_the_commit(engine, lambda: road[0].swallow(but_not_questions=True))
    await asyncio.gather(*(log.close(opening.log_id, an_ending(), [a_call()]) for opening in openings))
    road[0].let_through()
    await become(lambda: spool.status().waiting == 0)
    await asyncio.to_thread(log.shutdown)
    assert [row["status"] for row in rows(direct)] == ["success"] * 12
    assert (len(rows(direct, calls)), spool.status().quarantined) == (12, 0)


async def test_while_it_says_nothing_one_at_a_time_asks_whether_it_does_again_and_nobody_else_waits(
    road: tuple[Road, str], engine: sa.Engine, direct: sa.Engine, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", "the database", Bounds(), lambda: BEGAN)
    spool.prepare()
    log = log_with_spool(engine, spool, patience_s=0.3)
    await log.open(an_opening())
    road[0].swallow()
    await log.open(an_opening())
    await asyncio.gather(*(log.open(an_opening()) for _ in range(20)))
    at_work = log._asking._threads._began
    assert len(at_work) <= 2
    assert spool.status().waiting == 21
    road[0].let_through()
    async with asyncio.timeout(60):
        while spool.status().waiting:
            await log.open(an_opening())
    await asyncio.to_thread(log.shutdown)
    assert len(rows(direct)) >= 23
