"""The drain's promises on SQLite, and what the spool promises by itself."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from spool_contract import DrainContract

from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import new_log_id
from dispatcher.audit.spool import Bounds, Spool, SpoolStatus
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.spool_text import OPENING, opening_text
from dispatcher.errors import LogUnavailable


class TestDrainToSqlite(DrainContract):
    @pytest.fixture
    def engine(self, database: Path) -> Iterator[sa.Engine]:
        engine = open_engine(f"sqlite:///{database}")
        yield engine
        engine.dispose()


class Clock:
    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", "the database", Bounds(bytes=200_000, age=dt.timedelta(days=1)), clock)
    yield spool
    spool.shutdown()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "spool.db"


def test_what_was_taken_is_there_for_another_process_at_once(spool: Spool, tmp_path: Path) -> None:
    opening = an_opening()
    spool.open(opening)
    other = Spool(tmp_path / "spool", "the database", Bounds(), lambda: BEGAN)
    assert [opening.log_id] == [entry.log_id for entry in other.waiting(9)]
    other.shutdown()


def test_an_unused_spool_is_empty_and_creates_nothing(spool: Spool, tmp_path: Path) -> None:
    assert (spool.status(), spool.quarantined()) == (SpoolStatus(), [])
    assert not (tmp_path / "spool").exists()


def test_nobody_else_may_read_what_waits(spool: Spool, file: Path) -> None:
    spool.open(an_opening())
    kept = [file.parent, *file.parent.iterdir()]
    assert {path.name: 0 for path in kept} == {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in kept}


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        ({"idempotency_key": "order-7"}, "an idempotency key is claimed in the database that all hosts share"),
        ({"reserved_nanousd": 1}, "a budget is kept in the database that all hosts share"),
        ({"conversation_id": "c", "turn": 1}, "a turn of a conversation is claimed in the database that all hosts"),
        ({"actor": "x" * 121}, "actor has 121 characters, and at most 120 fit"),
        ({"repository": "/src/\0"}, "repository holds a NUL character"),
        ({"repository": "/src/\udcff"}, "surrogates not allowed"),
        ({"deadline_at": BEGAN.replace(tzinfo=None)}, "deadline_at has no time zone"),
        ({"iteration_cap": 2**31}, "iteration_cap is out of range"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_database_must_grant_or_would_never_take_is_not_accepted(
    spool: Spool, asks: dict[str, object], words: str
) -> None:
    with pytest.raises(LogUnavailable, match=f"the spool can't take the row: .*{words}"):
        spool.open(an_opening(**asks))
    assert spool.status().waiting == 0


def test_the_fallback_in_a_conversation_has_its_turn_already(spool: Spool) -> None:
    spool.open(an_opening(conversation_id="c", turn=1, attempt=2))
    assert spool.status().waiting == 1


def test_every_statement_may_be_repeated(spool: Spool) -> None:
    opening = an_opening()
    for _ in range(2):
        spool.open(opening)
    for _ in range(2):
        spool.note_session(opening.log_id, "sesn_1", "agent_1", 7)
    for _ in range(2):
        spool.close(opening.log_id, an_ending(), [a_call()])
    spool.note_session(opening.log_id, "sesn_1", "agent_1", 7)
    assert spool.status().waiting == 1


def test_an_id_belongs_to_one_attempt(spool: Spool) -> None:
    opening = an_opening()
    spool.open(opening)
    with pytest.raises(LogUnavailable, match="another attempt has its id"):
        spool.open(an_opening(log_id=opening.log_id))
    (entry,) = spool.waiting(9)
    assert opening.dispatch_id in str(entry.opening)


def test_an_ending_that_waits_never_changes_and_takes_no_session(spool: Spool) -> None:
    log_id = new_log_id()
    spool.close(log_id, an_ending(cost_nanousd=1), [])
    before = spool.waiting(9)
    spool.close(log_id, an_ending(cost_nanousd=2), [a_call()])
    with pytest.raises(LogUnavailable, match="no such row is open"):
        spool.note_session(log_id, "sesn_1", "agent_1", 7)
    assert before == spool.waiting(9)


def test_what_is_added_while_an_entry_is_drained_stays(spool: Spool) -> None:
    opening = an_opening()
    spool.open(opening)
    drained = spool.waiting(9)
    spool.close(opening.log_id, an_ending(), [])
    spool.landed(drained)
    spool.quarantine(drained[0], "of old")
    (left,) = spool.waiting(9)
    assert (left.version, spool.status().quarantined) == (2, 0)
    spool.landed([left])
    assert spool.status().waiting == 0


def test_a_full_spool_refuses_openings_loudly_and_takes_endings(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    accepted: list[str] = []
    while spool.status().bytes < 200_000:
        accepted.append(new_log_id())
        spool.open(an_opening(log_id=accepted[-1]))
    with pytest.raises(LogUnavailable, match=r"\d+ bytes wait, and it may hold 200000; bring the database back"):
        spool.open(an_opening())
    for log_id in accepted:
        spool.close(log_id, an_ending(), [a_call()])
    found = spool.status()
    assert (found.refused, found.waiting) == (1, len(accepted))
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    spool.landed(spool.waiting(10**6))
    spool.open(an_opening())


def test_a_spool_that_nobody_drains_refuses_openings(spool: Spool, clock: Clock) -> None:
    spool.open(an_opening())
    clock.now += dt.timedelta(hours=23, minutes=59)
    spool.open(an_opening())
    clock.now += dt.timedelta(minutes=1)
    with pytest.raises(LogUnavailable, match="an entry waits since 2026-11-20 09:30 UTC, longer than 1 day"):
        spool.open(an_opening())
    clock.now = BEGAN - dt.timedelta(days=9)
    spool.open(an_opening())
    assert (spool.status().oldest, spool.status().refused) == (BEGAN, 1)


def test_one_process_drains_and_another_says_so(spool: Spool, engine: sa.Engine, tmp_path: Path) -> None:
    spool.open(an_opening())
    other = Spool(tmp_path / "spool", "the database", Bounds(), lambda: BEGAN)
    drain = Drain(other, engine)
    with spool.draining() as alone:
        assert alone
        drained = drain.run()
    assert (drained.landed, drained.left, drained.stopped) == (0, 1, "another process drains the spool")
    assert drain.run().landed == 1
    drain.shutdown()
    other.shutdown()


@pytest.mark.parametrize("others_land", [True, False])
def test_an_entry_that_alone_is_refused_is_set_aside_in_the_end(
    spool: Spool, engine: sa.Engine, others_land: bool
) -> None:
    """Sooner where others land; where none else waits, it is refused ten times while another row would be taken."""
    with engine.begin() as connection:
        # To SQLite an error of the database, not of the row, as a trigger's refusal is to MariaDB's driver.
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON ai_outbound_logs WHEN NEW.tenant = 'acme' "
            "BEGIN SELECT json_extract('{', '$'); END"
        )
    poison = an_opening(tenant="acme")
    drain = Drain(spool, engine)
    spool.open(poison)
    outcomes = []
    for _ in range(3 if others_land else 10):
        if others_land:
            spool.open(an_opening())
        drained = drain.run()
        outcomes.append((drained.quarantined, drained.left, drained.stopped is None))
    assert outcomes[-2:] == [(0, 1, False), (1, 0, True)]
    assert [poison.log_id] == [aside.log_id for aside in spool.quarantined()]
    drain.shutdown()


def test_what_a_newer_program_wrote_is_set_aside_whole(spool: Spool, engine: sa.Engine, file: Path) -> None:
    opening = an_opening()
    spool.open(opening)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        mark, *values = json.loads(opening_text(opening))
        names = json.dumps([[*OPENING.names[0], "mood"]])
        connection.execute("INSERT INTO shapes VALUES (?, ?)", ("newer", names))
        connection.execute("UPDATE entries SET opening = ?", (json.dumps(["newer", *values, "good"]),))
        assert mark == OPENING.mark
    drain = Drain(spool, engine)
    assert drain.run().quarantined == 1
    assert spool.quarantined()[0].reason == "a newer program wrote it, this one doesn't know mood"
    drain.shutdown()


@pytest.mark.parametrize("damage", ["garbage", "newer", "directory"])
def test_a_file_that_cannot_be_used_is_one_clear_error(spool: Spool, file: Path, damage: str) -> None:
    file.parent.mkdir()
    if damage == "garbage":
        file.write_bytes(b"no database" * 1000)
    elif damage == "directory":
        file.mkdir()
    else:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA user_version = 99")
    words = {
        "garbage": "the file is not a SQLite database; move it away, or set another DISPATCHER_SPOOL_DIR",
        "directory": "it is a directory; move it away, or set another DISPATCHER_SPOOL_DIR",
        "newer": "a newer program wrote it; drain it with that program",
    }[damage]
    with pytest.raises(LogUnavailable, match=f"the spool can't take the row: {file}: {words}"):
        spool.open(an_opening())


def test_a_file_that_somebody_took_away_is_made_anew_and_not_written_to_any_more(
    spool: Spool, file: Path, tmp_path: Path
) -> None:
    spool.open(an_opening())
    file.parent.rename(tmp_path / "away")
    spool.open(an_opening())
    assert file.exists()
    spool.shutdown()
    assert spool.status().waiting == 1


def test_the_write_ahead_log_stays_small(spool: Spool, file: Path) -> None:
    for _ in range(400):
        log_id = new_log_id()
        spool.close(log_id, an_ending(), [])
        spool.landed(spool.waiting(9))
    assert file.with_name("spool.db-wal").stat().st_size < 8 << 20


async def test_threads_of_a_process_share_a_spool(spool: Spool) -> None:
    openings = [an_opening() for _ in range(20)]
    await asyncio.gather(*(asyncio.to_thread(spool.open, opening) for opening in openings))
    assert {opening.log_id for opening in openings} == {entry.log_id for entry in spool.waiting(99)}


def test_a_forked_child_writes_to_the_spool_it_inherited(spool: Spool) -> None:
    spool.open(an_opening())
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            spool.open(an_opening())
            code = 0
        os._exit(code)
    spool.open(an_opening())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spool.status().waiting == 3
