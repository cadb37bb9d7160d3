"""The spool: durable rows a second, and its draining beside the bare driver's batched insert."""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parents[2] / "tests" / "audit"))
from attempts import BEGAN, a_call, an_ending, an_opening

from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import AttemptOpening, new_log_id
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import MOST_AT_ONCE, Drain
from dispatcher.audit.spool_entry import opening_text

ROWS = 2000
CALLS = 3
PROCESSES = (1, 4)
SPOOLED = {f"spool {count}" for count in PROCESSES}
LEAST_ROWS_A_SECOND = 3000
# A disk that is slow to sync makes fewer commits durable, whoever asks.
LEAST_SPOOLED = 0.7
LEAST_DRAINED = 0.5


def spool_at(folder: Path) -> Spool:
    return Spool(folder / "spool", "the database", Bounds(), lambda: BEGAN)


def writer_of(arm: str, folder: Path) -> Callable[[AttemptOpening], object]:
    """What makes one opening durable: the spool, or the driver alone with the same text and one row a commit."""
    if arm == "spool":
        spool = spool_at(folder)
        spool.waiting(1)
        return spool.open
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None, timeout=60)
    for setting in ("journal_mode=WAL", "synchronous=FULL"):
        bare.execute(f"PRAGMA {setting}").fetchall()
    bare.execute("CREATE TABLE IF NOT EXISTS entries (place INTEGER PRIMARY KEY, log_id TEXT UNIQUE, opening TEXT)")
    into = "INSERT INTO entries (log_id, opening) VALUES (?, ?)"
    return lambda opening: bare.execute(into, (opening.log_id, opening_text(opening)))


def fill(arm: str, folder: Path, processes: int) -> float:
    """Openings a second that processes make durable in one file, each one after the other."""
    writer_of(arm, folder)
    command = [sys.executable, __file__, "--fill", arm, str(folder), str(ROWS // processes)]
    programs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    began = time.perf_counter()
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    rate = ROWS / (time.perf_counter() - began)
    for program in programs:
        program.communicate()
    return rate


def fill_when_told(arm: str, folder: Path, count: int) -> None:
    """What each of `fill`'s processes does."""
    write, openings = writer_of(arm, folder), [an_opening() for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.readline()
    for opening in openings:
        write(opening)
    print("done", flush=True)


def drain(folder: Path, rows: int) -> float:
    """Rows a second from the spool to the database, calls included."""
    spool = spool_at(folder)
    for _ in range(rows):
        log_id = new_log_id()
        spool.open(an_opening(log_id=log_id))
        spool.close(log_id, an_ending(), [a_call(ordinal=1 + place) for place in range(CALLS)])
    engine = open_engine(f"sqlite:///{folder / 'drained.db'}")
    drainer = Drain(spool, engine)
    began = time.perf_counter()
    drained = drainer.run()
    rate = drained.landed / (time.perf_counter() - began)
    assert drained.landed == rows
    drainer.shutdown()
    engine.dispose()
    spool.shutdown()
    return rate


def insert(folder: Path) -> float:
    """Rows a second of what was drained, by the driver alone: tuples made before, batches as large as the drain's."""
    source = sqlite3.connect(folder / "drained.db")
    rows = source.execute("SELECT * FROM ai_outbound_logs").fetchall()
    made = source.execute("SELECT * FROM ai_outbound_calls").fetchall()
    source.close()
    engine: sa.Engine = open_engine(f"sqlite:///{folder / 'inserted.db'}")
    engine.dispose()
    target = sqlite3.connect(folder / "inserted.db", isolation_level=None)
    target.execute("PRAGMA synchronous=FULL")
    row = f"INSERT INTO ai_outbound_logs VALUES ({','.join('?' * len(rows[0]))})"  # noqa: S608 - question marks
    call = f"INSERT INTO ai_outbound_calls VALUES ({','.join('?' * len(made[0]))})"  # noqa: S608 - question marks
    began = time.perf_counter()
    for first in range(0, len(rows), MOST_AT_ONCE):
        target.execute("BEGIN IMMEDIATE")
        target.executemany(row, rows[first : first + MOST_AT_ONCE])
        target.executemany(call, made[CALLS * first : CALLS * (first + MOST_AT_ONCE)])
        target.execute("COMMIT")
    rate = len(rows) / (time.perf_counter() - began)
    target.close()
    return rate


def one_round(folder: Path) -> dict[str, float]:
    rates = {}
    for processes in PROCESSES:
        for arm in ("spool", "bare"):
            where = folder / f"{arm}-{processes}"
            where.mkdir()
            rates[f"{arm} {processes}"] = fill(arm, where, processes)
    return rates | {"drained": drain(folder, ROWS), "inserted": insert(folder)}


def main(rounds: int) -> int:
    series = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            series.append(one_round(Path(folder)))
    found = {name: statistics.median(one[name] for one in series) for name in series[0]}
    pairs = [(f"spool {count}", f"bare {count}", LEAST_SPOOLED) for count in PROCESSES]
    pairs.append(("drained", "inserted", LEAST_DRAINED))
    table = Table(title=f"The spool on SQLite, medians of {rounds} interleaved rounds")
    for column in ("what", "rows/s", "driver alone", "ratio", "at least"):
        table.add_column(column)
    good = True
    for what, peer, least in pairs:
        ratio = found[what] / found[peer]
        good &= ratio >= least or (what in SPOOLED and found[what] >= LEAST_ROWS_A_SECOND)
        bound = f"{least}" + (f", or {LEAST_ROWS_A_SECOND:,} rows/s" if what in SPOOLED else "")
        table.add_row(what, f"{found[what]:,.0f}", f"{found[peer]:,.0f}", f"{ratio:.2f}", bound)
    Console().print(table)
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fill"]:
        fill_when_told(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 5))
