"""The log with its spool: what becomes of statements when the database refuses or hangs, on every engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from claim_contract import HASH, keyed
from log_contract import rows
from outages import hanging, refusing

from dispatcher.audit.log import Log
from dispatcher.audit.record import Room
from dispatcher.audit.spool import Bounds, Spool, SpoolStatus
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.spooled_log import log_with_spool
from dispatcher.audit.tables import calls, log_gaps
from dispatcher.errors import LogUnavailable

PATIENCE_S = 0.3
SESSION: dict[str, Any] = {"session_id": "sesn_1", "agent_id": "agent_1", "agent_version": 7}


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """As other processes of the host see it."""
    return Spool(tmp_path / "spool", "the database", Bounds(), lambda: BEGAN)


@pytest.fixture
async def log(engine: sa.Engine, tmp_path: Path) -> AsyncIterator[Log]:
    spool = Spool(tmp_path / "spool", "the database", Bounds(bytes=1 << 20), lambda: BEGAN)
    spool.prepare()
    log = log_with_spool(engine, spool, patience_s=PATIENCE_S)
    yield log
    await asyncio.to_thread(log.shutdown)


async def drained(spool: Spool) -> None:
    """Wait until nothing waits any more."""
    async with asyncio.timeout(30):
        while spool.status().waiting or spool.gaps():  # noqa: ASYNC110 - another thread drains
            await asyncio.sleep(0.02)
    assert spool.status().quarantined == 0


async def test_what_the_database_refuses_is_accepted_and_lands_when_it_takes_something_again(
    log: Log, engine: sa.Engine, spool: Spool
) -> None:
    openings = [an_opening() for _ in range(20)]
    with refusing(engine):
        for opening in openings:
            await log.open(opening)
        await log.note_session(openings[0].log_id, *SESSION.values())
        for opening in openings[:10]:
            await log.close(opening.log_id, an_ending(**SESSION), [a_call()])
        assert spool.status().waiting == 20
    another = an_opening()
    await log.open(another)
    for log_id in [another.log_id, *(opening.log_id for opening in openings[10:])]:
        await log.close(log_id, an_ending(**SESSION), [a_call()])
    await drained(spool)
    assert sorted([another.log_id, *(o.log_id for o in openings)]) == [row["log_id"] for row in rows(engine)]
    assert {"success"} == {row["status"] for row in rows(engine)}
    assert len(rows(engine, calls)) == 21


async def test_what_a_slow_database_carries_out_after_all_is_one_row(log: Log, engine: sa.Engine, spool: Spool) -> None:
    """The opening's statement waits in the database while the attempt goes on, and is carried out when it has ended."""
    opened_before, opened_meanwhile = an_opening(), an_opening()
    await log.open(opened_before)
    with hanging(engine):
        await log.open(opened_meanwhile)
        for opening in (opened_before, opened_meanwhile):
            await log.note_session(opening.log_id, *SESSION.values())
            await log.close(opening.log_id, an_ending(**SESSION), [a_call(), a_call(ordinal=2)])
        assert spool.status().waiting == 2
    await drained(spool)
    assert [(row["status"], row["session_id"]) for row in rows(engine)] == [("success", "sesn_1")] * 2
    assert len(rows(engine, calls)) == 4


async def test_nobody_waits_behind_a_database_that_hangs(log: Log, engine: sa.Engine, spool: Spool) -> None:
    """After the first ones have, each as long as the patience, the others go to the spool at once."""
    loop = asyncio.get_running_loop()
    with hanging(engine):
        await asyncio.gather(*(log.open(an_opening()) for _ in range(8)))
        began = loop.time()
        for _ in range(40):
            await log.open(an_opening())
        assert loop.time() - began < 20 * PATIENCE_S
        assert spool.status().waiting == 48
    await drained(spool)
    assert len(rows(engine)) == 48


async def test_an_ending_goes_to_the_spool_although_its_caller_is_cancelled(
    log: Log, engine: sa.Engine, spool: Spool
) -> None:
    opening = an_opening()
    await log.open(opening)
    with hanging(engine):
        task = asyncio.ensure_future(log.close(opening.log_id, an_ending(input_tokens=7), [a_call()]))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert spool.status().waiting == 1
    await drained(spool)
    assert [(row["status"], row["input_tokens"]) for row in rows(engine)] == [("success", 7)]


async def test_what_the_database_must_grant_is_refused_with_the_reason_and_waits_nowhere(
    log: Log, engine: sa.Engine, spool: Spool
) -> None:
    wishes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"idempotency_key": "order-7"}, {"request_hash": HASH}),
        ({"reserved_nanousd": 1}, {"room": Room(nanousd=1, since=BEGAN)}),
        ({"conversation_id": "c", "turn": 1}, {}),
    ]
    with refusing(engine):
        for asks, grants in wishes:
            with pytest.raises(LogUnavailable, match="in the database that all hosts share"):
                await log.open(an_opening(**asks), **grants, fail_open=True)
    assert (spool.status().waiting, spool.gaps()) == (0, [])
    await log.open(keyed(), request_hash=HASH)


async def test_the_ending_of_an_attempt_that_was_refused_goes_nowhere(
    log: Log, engine: sa.Engine, spool: Spool
) -> None:
    opening = keyed()
    with refusing(engine):
        with pytest.raises(LogUnavailable):
            await log.open(opening, request_hash=HASH)
        with pytest.raises(LogUnavailable):
            await log.close(opening.log_id, an_ending(), [])
    assert spool.status().waiting == 0


@contextlib.contextmanager
def full(tmp_path: Path) -> Iterator[None]:
    """The spool's file can't be written, as by a full disk."""
    file, aside = tmp_path / "spool" / "spool.db", tmp_path / "aside"
    file.rename(aside)
    file.mkdir()
    try:
        yield
    finally:
        file.rmdir()
        aside.rename(file)


async def test_where_neither_accepts_the_action_is_refused_with_both_reasons(
    engine: sa.Engine, tmp_path: Path, spool: Spool
) -> None:
    log = log_with_spool(engine, spool, patience_s=PATIENCE_S)
    spool.prepare()
    await asyncio.to_thread(spool.shutdown)
    with refusing(engine), full(tmp_path), pytest.raises(LogUnavailable) as refusal:
        await log.open(an_opening())
    text = str(refusal.value)
    assert "nothing was sent to the provider" in text
    assert "ai_outbound_logs" in text
    assert "the spool can't take the row" in text
    assert "\n" not in text
    assert spool.gaps() == []
    await asyncio.to_thread(log.shutdown)


async def test_fail_open_carries_it_out_and_the_gap_is_in_the_database_as_soon_as_that_answers(
    engine: sa.Engine, tmp_path: Path, spool: Spool
) -> None:
    log = log_with_spool(engine, spool, patience_s=PATIENCE_S)
    spool.prepare()
    await asyncio.to_thread(spool.shutdown)
    moments = [BEGAN.replace(minute=minute) for minute in (31, 30, 34)]
    with refusing(engine), full(tmp_path):
        for moment in moments:
            opening = an_opening(created_at=moment)
            await log.open(opening, fail_open=True)
            await log.note_session(opening.log_id, *SESSION.values())
            await log.close(opening.log_id, an_ending(), [a_call()])
        await log.open(an_opening(origin="simulated"), fail_open=True)
        (one, other) = spool.gaps()
    assert [(one.origin, one.dispatches), (other.origin, other.dispatches)] == [("production", 3), ("simulated", 1)]
    await log.open(an_opening())
    await drained(spool)
    (found,) = (row for row in rows(engine, log_gaps) if row["origin"] == "production")
    assert (found["began_at"], found["ended_at"], found["dispatches"]) == (min(moments), max(moments), 3)
    assert "ai_outbound_logs" in found["reason"]
    assert len(rows(engine)) == 1
    await asyncio.to_thread(log.shutdown)


async def test_what_another_process_left_is_drained_at_the_start(
    engine: sa.Engine, tmp_path: Path, spool: Spool
) -> None:
    spool.open(an_opening())
    spool.shutdown()
    log = log_with_spool(engine, Spool(spool.directory, "the database", Bounds(), lambda: BEGAN), patience_s=PATIENCE_S)
    await drained(spool)
    assert len(rows(engine)) == 1
    await asyncio.to_thread(log.shutdown)


async def test_a_database_that_answers_leaves_the_spool_alone(log: Log, engine: sa.Engine, spool: Spool) -> None:
    opening = an_opening()
    await log.open(opening)
    await log.close(opening.log_id, an_ending(), [])
    assert (spool.status().waiting, SpoolStatus().waiting) == (0, 0)
    assert [row["status"] for row in rows(engine)] == ["success"]


async def test_a_database_that_hangs_keeps_no_log_from_ending(log: Log, engine: sa.Engine, spool: Spool) -> None:
    opening = an_opening()
    with hanging(engine):
        await log.open(opening)
        await asyncio.wait_for(asyncio.to_thread(log.shutdown), 20)
        assert spool.status().waiting == 1
    drain = Drain(spool, engine)
    async with asyncio.timeout(30):
        # The log's own drain may be in the middle of it.
        while (await asyncio.to_thread(drain.run)).left:  # noqa: ASYNC110 - another thread drains
            await asyncio.sleep(0.02)
    drain.shutdown()
    assert [opening.log_id] == [row["log_id"] for row in rows(engine)]


async def test_who_asks_for_the_end_of_a_row_that_was_refused_does_not_hang_with_the_database(
    log: Log, engine: sa.Engine
) -> None:
    """As a cancelled opening does; a cancellation couldn't cut it short."""
    with hanging(engine), pytest.raises(LogUnavailable, match=f"hasn't answered within {PATIENCE_S} s"):
        await log.close(an_opening().log_id, an_ending(), [])
