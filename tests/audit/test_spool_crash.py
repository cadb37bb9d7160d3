"""Programs that are killed while they spool and drain."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from attempts import BEGAN
from log_contract import rows

from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.tables import calls

ROOT = Path(__file__).parents[2]
PREAMBLE = f"""
import os, signal, sqlite3, sys
sys.path.append({str(Path(__file__).parent)!r})
from pathlib import Path
from attempts import BEGAN, a_call, an_ending, an_opening
from dispatcher.audit.engine import open_engine
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import Drain

engine = open_engine(sys.argv[1])
spool = Spool(Path(sys.argv[2]), "the database", Bounds(), lambda: BEGAN)

def attempt():
    opening = an_opening()
    spool.open(opening)
    print(opening.log_id, "accepted", flush=True)
    spool.note_session(opening.log_id, "sesn_1", "agent_1", 7)
    spool.close(opening.log_id, an_ending(session_id=None), [a_call(), a_call(ordinal=2)])
    print(opening.log_id, "closed", flush=True)
"""

# Every SQLite connection of the program tells its statements before they run; the program dies at one of them.
DIE_AT = """
words, left = sys.argv[3], int(sys.argv[4])

def look(statement):
    global left
    if statement.startswith(words):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

def connect(*arguments, of_sqlite=sqlite3.connect, **options):
    connection = of_sqlite(*arguments, **options)
    connection.set_trace_callback(look)
    return connection

sqlite3.connect = sqlite3.dbapi2.connect = connect
engine.dispose()
for _ in range(3):
    attempt()
Drain(spool, engine).run()
for _ in range(3):
    attempt()
spool.open(an_opening())
Drain(spool, engine).run()
"""

WRITE_FOR_EVER = """
while True:
    attempt()
"""

# No file of the program may grow beyond a size, so that the disk is full to it.
FILL_THE_DISK = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
attempt()
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
from dispatcher.errors import LogUnavailable
try:
    while True:
        attempt()
except LogUnavailable as error:
    print(error, flush=True)
"""

DRAIN_FOR_EVER = """
drain = Drain(spool, engine)
print("draining", flush=True)
while True:
    drain.run()
"""


def _start(code: str, database: Path, spool: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, f"sqlite:///{database}", str(spool), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _check(engine: sa.Engine, directory: Path, lines: list[str], *, in_flight: int) -> None:
    """Drain what is left; then what was accepted is a row, what was closed is ended with its calls, and all once."""
    said = Counter(tuple(line.split()) for line in lines)
    accepted = {log_id for log_id, word in said if word == "accepted"}
    closed = {log_id for log_id, word in said if word == "closed"}
    spool = Spool(directory, "the database", Bounds(), lambda: BEGAN)
    drain = Drain(spool, engine)
    drained = drain.run()
    assert (drained.quarantined, drained.left, drained.stopped) == (0, 0, None)
    assert spool.status().quarantined == 0
    drain.shutdown()
    spool.shutdown()
    status = {row["log_id"]: row["status"] for row in rows(engine)}
    ended = {log_id for log_id, one in status.items() if one == "success"}
    assert accepted <= status.keys()
    assert closed <= ended
    assert len(status) - len(accepted) <= in_flight
    assert sorted(row["log_id"] for row in rows(engine, calls)) == sorted([*ended, *ended])


@pytest.mark.parametrize(
    ("words", "time"),
    [
        ("INSERT INTO entries (log_id, opening", 2),
        ("INSERT INTO entries (log_id, session", 2),
        ("INSERT INTO entries (log_id, ended", 2),
        ("COMMIT", 2),
        ("COMMIT", 4),
        ("INSERT INTO ai_outbound_logs", 1),
        ("INSERT INTO ai_outbound_calls", 3),
        ("DELETE FROM entries", 1),
        ("DELETE FROM entries", 5),
    ],
)
def test_a_program_killed_at_any_step_loses_and_doubles_nothing(
    engine: sa.Engine, database: Path, tmp_path: Path, words: str, time: int
) -> None:
    with _start(DIE_AT, database, tmp_path / "spool", words, str(time)) as program:
        said = program.communicate(timeout=60)[0]
    assert program.returncode == -signal.SIGKILL
    _check(engine, tmp_path / "spool", said.splitlines(), in_flight=1)


def test_programs_killed_amid_spooling_and_draining_lose_and_double_nothing(
    engine: sa.Engine, database: Path, tmp_path: Path
) -> None:
    writers = [_start(WRITE_FOR_EVER, database, tmp_path / "spool") for _ in range(3)]
    drainer = _start(DRAIN_FOR_EVER, database, tmp_path / "spool")
    said: list[str] = []
    for program in (drainer, *writers):
        assert program.stdout is not None
        said += [program.stdout.readline() for _ in range(1 if program is drainer else 40)]
    for program in (drainer, *writers):
        program.kill()
    for program in (drainer, *writers):
        assert program.stdout is not None
        said += program.stdout.readlines()
        program.stdout.close()
        program.wait(60)
    whole = [line for line in said if line.split()[1:] in (["accepted"], ["closed"])]
    assert len(whole) >= 120
    _check(engine, tmp_path / "spool", whole, in_flight=3)


def test_a_full_disk_is_one_clear_error_and_loses_nothing_that_was_accepted(
    engine: sa.Engine, database: Path, tmp_path: Path
) -> None:
    with _start(FILL_THE_DISK, database, tmp_path / "spool") as program:
        *said, error = program.communicate(timeout=60)[0].splitlines()
    assert program.returncode == 0
    assert str(tmp_path / "spool" / "spool.db") in error
    assert "the disk" in error
    _check(engine, tmp_path / "spool", said, in_flight=0)
