from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import a_call, an_ending, an_opening
from budget_contract import ROOM, BudgetContract
from claim_contract import HASH, ClaimContract, keyed
from kept_contract import KeptContract
from log_contract import LogContract, rows

from dispatcher.audit.log import Log
from dispatcher.audit.tables import calls, idempotency_keys
from dispatcher.errors import LogUnavailable


class OnSqlite:
    @pytest.fixture
    def engine(self, engine: sa.Engine) -> sa.Engine:
        return engine


class TestLogOnSqlite(OnSqlite, LogContract):
    pass


class TestClaimsOnSqlite(OnSqlite, ClaimContract):
    pass


class TestBudgetsOnSqlite(OnSqlite, BudgetContract):
    pass


class TestKeptContentOnSqlite(OnSqlite, KeptContract):
    pass


@pytest.fixture
def log(engine: sa.Engine) -> Iterator[Log]:
    log = Log(engine)
    yield log
    log.shutdown()


@contextlib.contextmanager
def held(database: Path) -> Iterator[None]:
    """Another program holds the write lock, so every statement of the log waits."""
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def impatient(engine: sa.Engine, *pragmas: str) -> None:
    """Wait for a lock for 50 ms only, and set what else makes a statement fail."""
    engine.dispose()
    for pragma in ("busy_timeout=50", *pragmas):
        sa.event.listen(engine, "connect", lambda connection, _record, p=pragma: connection.execute(f"PRAGMA {p}"))


@pytest.mark.parametrize("claims", [{}, {"request_hash": HASH, "room": ROOM}], ids=["alone", "with claims"])
async def test_a_cancelled_open_is_settled_before_the_cancellation_is_raised(
    log: Log, engine: sa.Engine, database: Path, claims: dict[str, Any]
) -> None:
    """Its row is there with what it claims, and the caller closes it."""
    opening = an_opening(reserved_nanousd=1, idempotency_key="order-7" if claims else None)
    with held(database):
        task = asyncio.ensure_future(log.open(opening, **claims))
        await asyncio.sleep(0.05)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.02)
        assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        await task
    await log.close(opening.log_id, an_ending(), [])
    assert [row["status"] for row in rows(engine)] == ["success"]
    assert [claim["log_id"] for claim in rows(engine, idempotency_keys)] == [opening.log_id] * bool(claims)


async def test_a_cancelled_open_that_still_waits_for_its_turn_is_carried_out_too(
    log: Log, engine: sa.Engine, database: Path
) -> None:
    with held(database):
        tasks = [asyncio.ensure_future(log.open(an_opening())) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [asyncio.CancelledError] * 5 == [type(outcome) for outcome in outcomes]
    assert len(rows(engine)) == 5


async def test_a_cancelled_open_that_the_database_refuses_leaves_no_row(
    log: Log, engine: sa.Engine, database: Path
) -> None:
    impatient(engine)
    opening = an_opening()
    with held(database):
        task = asyncio.ensure_future(log.open(opening))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(LogUnavailable, match="no such row"):
        await log.close(opening.log_id, an_ending(), [])
    assert rows(engine) == []


async def test_a_cancelled_close_lands(log: Log, engine: sa.Engine, database: Path) -> None:
    opening = an_opening()
    await log.open(opening)
    with held(database):
        task = asyncio.ensure_future(log.close(opening.log_id, an_ending(), [a_call()]))
        await asyncio.sleep(0.05)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ([row["status"] for row in rows(engine)], len(rows(engine, calls))) == (["success"], 1)


async def test_the_event_loop_runs_on_while_the_database_waits(log: Log, database: Path) -> None:
    with held(database):
        task = asyncio.ensure_future(log.open(an_opening()))
        turns = 0
        for _ in range(50):
            await asyncio.sleep(0.002)
            turns += 1
        assert not task.done()
    await task
    assert turns == 50


@pytest.mark.parametrize(
    ("pragma", "words"),
    [
        ("max_page_count=1", "the disk is full; free some space"),
        ("query_only=ON", "it is read-only; give this user the right to write"),
    ],
    ids=["disk full", "read-only"],
)
async def test_a_row_that_the_database_cannot_take_is_one_clear_error(
    log: Log, engine: sa.Engine, database: Path, pragma: str, words: str
) -> None:
    impatient(engine, pragma)
    with pytest.raises(LogUnavailable) as refusal:
        # A row of many pages, so that the pages the file has left over don't hold it.
        await log.open(an_opening(repository="/" + "x" * 1_000_000))
    text = str(refusal.value)
    assert "\n" not in text
    assert f"nothing was sent to the provider: the database file {database}: {words}" in text


async def test_a_lock_held_too_long_is_one_clear_error_and_the_log_goes_on_after_it(
    log: Log, engine: sa.Engine, database: Path
) -> None:
    impatient(engine)
    opening = an_opening()
    await log.open(opening)
    with held(database):
        with pytest.raises(LogUnavailable, match="another program holds it locked"):
            await log.open(an_opening())
        with pytest.raises(LogUnavailable, match="another program holds it locked"):
            await log.open(keyed(), request_hash=HASH)
        with pytest.raises(LogUnavailable, match=f"can't end row {opening.log_id}: .* holds it locked"):
            await log.close(opening.log_id, an_ending(), [a_call()])
    await log.close(opening.log_id, an_ending(), [a_call()])
    assert ([row["status"] for row in rows(engine)], len(rows(engine, calls))) == (["success"], 1)


async def test_an_ending_whose_calls_cannot_be_taken_leaves_the_row_open(log: Log, engine: sa.Engine) -> None:
    """Row and calls end in one transaction: half of it is none of it."""
    opening = an_opening()
    await log.open(opening)
    twice = [a_call(ordinal=1), a_call(ordinal=1)]
    with pytest.raises(LogUnavailable, match="can't end row"):
        await log.close(opening.log_id, an_ending(), twice)
    assert ([row["status"] for row in rows(engine)], rows(engine, calls)) == (["started"], [])
    await log.close(opening.log_id, an_ending(), twice[:1])
    assert ([row["status"] for row in rows(engine)], len(rows(engine, calls))) == (["success"], 1)


async def test_a_text_that_no_database_can_hold_is_one_clear_error(log: Log, engine: sa.Engine) -> None:
    with pytest.raises(LogUnavailable, match="surrogates not allowed"):
        await log.open(an_opening(repository="/src/\udcff"))
    assert rows(engine) == []


async def test_no_message_shows_what_a_row_holds(log: Log, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE ai_outbound_logs")
    with pytest.raises(LogUnavailable) as refusal:
        await log.open(an_opening(tenant="tenant-of-secrets"))
    assert "no such table: ai_outbound_logs" in str(refusal.value)
    assert "tenant-of-secrets" not in str(refusal.value)


async def test_the_production_query_of_the_source_runs_unchanged(log: Log, engine: sa.Engine) -> None:
    """The seed's SQL finds recent successes of the feature, and nothing else."""
    now = dt.datetime.now(dt.UTC)
    inside, outside = now - dt.timedelta(days=29), now - dt.timedelta(days=31)
    for opening, status in (
        (an_opening(created_at=inside), "success"),
        (an_opening(created_at=inside), "error"),
        (an_opening(created_at=outside), "success"),
        (an_opening(created_at=inside, feature="other"), "success"),
    ):
        await log.open(opening)
        await log.close(
            opening.log_id, an_ending(status=status, response_time_ms=19_000, input_tokens=7, output_tokens=8), []
        )
    await log.open(an_opening(created_at=inside))
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT response_time_ms, input_tokens, output_tokens FROM ai_outbound_logs "
            "WHERE feature='agent_research' AND status='success' AND created_at >= datetime('now','-30 days')"
        ).all()
    assert found == [(19_000, 7, 8)]
