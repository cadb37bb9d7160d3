"""What a process spools at once, and what it says of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from outages import refusing

from dispatcher.audit.background_drain import BackgroundDrain
from dispatcher.audit.gap_file import GapFile
from dispatcher.audit.record import Origin
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.spooled_log import log_with_spool
from dispatcher.audit.spooling import Spooling
from dispatcher.errors import LogUnavailable


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", "the database", Bounds(), lambda: BEGAN)
    spool.prepare()
    yield spool
    spool.shutdown()


@contextlib.contextmanager
def spooling_to(spool: Spool, engine: sa.Engine) -> Iterator[Spooling]:
    """A spooling whose database takes nothing meanwhile."""
    with refusing(engine):
        spooling = Spooling(spool, BackgroundDrain(Drain(spool, engine)), patience_s=1.0)
        yield spooling
        spooling.shutdown()


def commits_of(file: Path) -> int:
    """How many transactions the file's write-ahead log holds: its frames that end one."""
    content = file.with_name(f"{file.name}-wal").read_bytes()
    page = int.from_bytes(content[8:12], "big")
    frames = range(32, len(content) - page, 24 + page)
    return sum(content[start + 4 : start + 8] != bytes(4) for start in frames)


def test_what_comes_together_is_one_write_and_is_on_the_disk_when_each_caller_knows(
    spool: Spool, engine: sa.Engine, tmp_path: Path
) -> None:
    file = tmp_path / "spool" / "spool.db"
    held = sqlite3.connect(file, isolation_level=None)
    with spooling_to(spool, engine) as spooling, contextlib.closing(held):
        spooling.open(an_opening()).result(30)
        before = commits_of(file)
        held.execute("BEGIN IMMEDIATE")
        openings = [an_opening() for _ in range(64)]
        asked = [spooling.open(opening) for opening in openings]
        assert not any(future.done() for future in asked)
        held.execute("COMMIT")
        assert [future.result(30) for future in asked] == [None] * 64
        # The first may have begun alone; and the drain notes what is refused.
        assert commits_of(file) - before < 16
        with contextlib.closing(sqlite3.connect(file)) as other:
            there = {log_id for (log_id,) in other.execute("SELECT log_id FROM entries")}
        assert {opening.log_id for opening in openings} <= there


def test_one_that_is_refused_refuses_no_other_of_its_write(spool: Spool) -> None:
    known, fresh = an_opening(), [an_opening() for _ in range(3)]
    spool.open(known)
    other = an_opening(log_id=known.log_id)
    problems = spool.take(
        [spool.opening(opening) for opening in (fresh[0], other, fresh[1])]
        + [spool.ending(fresh[0].log_id, an_ending(), [a_call()], None)]
        + [spool.session(fresh[0].log_id, "sesn_1", "agent_1", 7), spool.opening(fresh[2])]
    )
    said = [None if problem is None else str(problem).rpartition(": ")[2] for problem in problems]
    assert said == [None, "another attempt has its id", None, None, "no such row is open", None]
    waiting = {entry.log_id: entry for entry in spool.waiting(9)}
    assert waiting.keys() == {known.log_id, *(opening.log_id for opening in fresh)}
    assert known.dispatch_id in str(waiting[known.log_id].opening)
    assert waiting[fresh[0].log_id].session is None


def test_what_cannot_be_written_refuses_its_own_caller_alone(spool: Spool, engine: sa.Engine) -> None:
    with spooling_to(spool, engine) as spooling:
        good, bad = an_opening(), an_opening(repository="/src/\udcff")
        asked = [spooling.open(opening) for opening in (bad, good)]
        with pytest.raises(LogUnavailable, match="surrogates not allowed"):
            asked[0].result(30)
        assert asked[1].result(30) is None


def test_after_a_shutdown_nothing_is_taken(spool: Spool, engine: sa.Engine) -> None:
    with spooling_to(spool, engine) as spooling:
        spooling.shutdown()
        with pytest.raises(LogUnavailable, match="shut down"):
            spooling.open(an_opening())
    assert spool.status().waiting == 0


async def test_a_database_that_answers_questions_and_takes_no_row_is_said_once(
    engine: sa.Engine, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    log = log_with_spool(engine, spool, patience_s=5.0)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON ai_outbound_logs BEGIN SELECT json_extract('{', '$'); END"
        )
    with caplog.at_level(logging.WARNING, "dispatcher.audit"):
        for _ in range(20):
            await log.open(an_opening())
            await log.conversation("script", "agent_research", "c", origin=Origin.PRODUCTION, now=BEGAN)
    said = [record.message.partition(":")[0] for record in caplog.records]
    assert said.count(f"rows go to the spool {spool.directory}") == 1
    assert "rows go to the database again" not in said
    assert spool.status().waiting == 20
    await asyncio.to_thread(log.shutdown)


async def test_that_the_database_takes_rows_again_is_said_once_when_it_has_taken_all(
    engine: sa.Engine, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    log = log_with_spool(engine, spool, patience_s=5.0)
    with caplog.at_level(logging.WARNING, "dispatcher.audit.spooling"):
        for _ in range(2):
            with refusing(engine):
                await log.open(an_opening())
        async with asyncio.timeout(60):
            while "rows go to the database again" not in caplog.messages:
                await log.open(an_opening())
                await asyncio.sleep(0.05)
    said = [record.message.partition(" /")[0] for record in caplog.records]
    assert said == ["rows go to the spool", "rows go to the database again"]
    assert spool.status().waiting == 0
    await asyncio.to_thread(log.shutdown)


def test_the_name_of_a_gap_file_is_on_the_disk_before_any_gap_is(tmp_path: Path) -> None:
    """Its directory's, and that of every directory that is made for it."""
    synced: list[str] = []

    def look(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called in {os.fsync, os.fdatasync}:
            synced.append(str(Path(f"/proc/self/fd/{frame.f_locals['descriptor']}").readlink()))

    gaps = GapFile(tmp_path / "a" / "b" / "gaps")
    sys.setprofile(look)
    try:
        gaps.note(feature="agent_research", origin="production", at=BEGAN, owner="host", reason="no disk")
    finally:
        sys.setprofile(None)
    first = synced.index(str(tmp_path / "a" / "b" / "gaps"))
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= set(synced[:first])
