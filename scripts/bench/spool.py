"""The spool: durable rows a second, and its draining beside the bare driver's batched insert."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parents[2] / "tests" / "audit"))
sys.path.append(str(Path(__file__).parents[1]))
from attempts import BEGAN, a_call, an_ending, an_opening
from databases import Databases

from dispatcher.audit.background_drain import BackgroundDrain
from dispatcher.audit.bounds import SERVING
from dispatcher.audit.engine import connect, migrate_database, open_engine
from dispatcher.audit.record import AttemptOpening, new_log_id
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import MOST_AT_ONCE, Drain
from dispatcher.audit.spool_text import opening_text
from dispatcher.audit.spooling import Spooling
from dispatcher.audit.tables import calls, logs

SCRIPTS = Path(__file__).parents[1]
ROWS = 2000
DRAINED = 8000
CALLS = 3
AT_ONCE = {1: 64, 4: 16}
"""How many dispatches of a process spool at once, by how many processes there are."""
LEAST_ROWS_A_SECOND = 3000
LEAST_DRAINED = 0.5

Writer = Callable[[Sequence[AttemptOpening]], None]


def spool_at(folder: Path) -> Spool:
    return Spool(folder / "spool", "the database", Bounds(), lambda: BEGAN)


def writer_of(arm: str, folder: Path) -> Writer:
    """What makes openings durable: dispatches at once, the spool one by one, or the driver with one row a commit."""
    if arm.startswith("at once"):
        return at_once(folder, int(arm.removeprefix("at once ")))
    if arm == "one by one":
        spool = spool_at(folder)
        spool.prepare()
        return lambda openings: [spool.open(opening) for opening in openings] and None
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None, timeout=60)
    for setting in ("journal_mode=WAL", "synchronous=FULL"):
        bare.execute(f"PRAGMA {setting}").fetchall()
    bare.execute("CREATE TABLE IF NOT EXISTS entries (place INTEGER PRIMARY KEY, log_id TEXT UNIQUE, opening TEXT)")
    into = "INSERT INTO entries (log_id, opening) VALUES (?, ?)"
    return lambda openings: [bare.execute(into, (one.log_id, opening_text(one))) for one in openings] and None


def at_once(folder: Path, dispatches: int) -> Writer:
    """As the log of a process asks for it, on an event loop; the database is one that can't be reached."""
    spool = spool_at(folder)
    spool.prepare()
    nowhere = connect("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    spooling = Spooling(spool, BackgroundDrain(Drain(spool, nowhere)), patience_s=1.0)

    async def dispatch(openings: Iterator[AttemptOpening]) -> None:
        for opening in openings:
            await asyncio.wrap_future(spooling.open(opening))

    async def all_dispatches(openings: Sequence[AttemptOpening]) -> None:
        left = iter(openings)
        await asyncio.gather(*(dispatch(left) for _ in range(dispatches)))

    return lambda openings: asyncio.run(all_dispatches(openings))


def fill(arm: str, folder: Path, processes: int) -> float:
    """Openings a second that processes make durable in one file."""
    folder.mkdir()
    command = [sys.executable, __file__, "--fill", arm, str(folder), str(ROWS // processes)]
    programs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(processes)
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
    if arm != "bare":
        spool = spool_at(folder)
        if spool.status().waiting != ROWS:
            raise SystemExit(f"{ROWS} rows were spooled and {spool.status().waiting} are there")
        spool.shutdown()
    return rate


def fill_when_told(arm: str, folder: Path, count: int) -> None:
    """What each of `fill`'s processes does."""
    write, openings = writer_of(arm, folder), [an_opening() for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.readline()
    write(openings)
    print("done", flush=True)
    os._exit(0)


def drain(folder: Path, url: str) -> float:
    """Rows a second from the spool to the database, calls included."""
    spool = spool_at(folder)
    for _ in range(DRAINED // 10):
        ids = [new_log_id() for _ in range(10)]
        opened = [spool.opening(an_opening(log_id=log_id)) for log_id in ids]
        made = [a_call(ordinal=1 + place) for place in range(CALLS)]
        ended = [spool.ending(log_id, an_ending(), made, None) for log_id in ids]
        assert not any(spool.take([*opened, *ended]))
    engine = open_engine(url, SERVING)
    drainer = Drain(spool, engine)
    began = time.perf_counter()
    drained = drainer.run()
    rate = drained.landed / (time.perf_counter() - began)
    assert drained.landed == DRAINED
    drainer.shutdown()
    engine.dispose()
    spool.shutdown()
    return rate


def insert(source: str, url: str) -> float:
    """Rows a second of what was drained, by the driver alone: tuples made before, batches as large as the drain's."""
    of_drain = open_engine(source)
    with of_drain.connect() as connection:
        raw = connection.connection.cursor()
        found = []
        for table in (logs, calls):
            raw.execute(f"SELECT * FROM {table.name} ORDER BY log_id")  # noqa: S608 - our own tables
            found.append(raw.fetchall()[-DRAINED * (CALLS if table is calls else 1) :])
    of_drain.dispose()
    engine: sa.Engine = open_engine(url)
    target: Any = engine.raw_connection()
    sqlite = engine.dialect.name == "sqlite"
    if sqlite:
        target.driver_connection.isolation_level = None
    else:
        target.driver_connection.autocommit = True
    mark = "?" if sqlite else "%s"
    into = [
        f"INSERT INTO {table.name} VALUES ({','.join([mark] * len(rows[0]))})"  # noqa: S608 - marks
        for table, rows in zip((logs, calls), found, strict=True)
    ]
    cursor = target.cursor()
    began = time.perf_counter()
    for first in range(0, DRAINED, MOST_AT_ONCE):
        cursor.execute("BEGIN IMMEDIATE" if sqlite else "BEGIN")
        cursor.executemany(into[0], found[0][first : first + MOST_AT_ONCE])
        cursor.executemany(into[1], found[1][CALLS * first : CALLS * (first + MOST_AT_ONCE)])
        cursor.execute("COMMIT")
    rate = DRAINED / (time.perf_counter() - began)
    target.close()
    engine.dispose()
    return rate


@contextlib.contextmanager
def places(folder: Path, engine: str) -> Iterator[Callable[[], str]]:
    """What makes the URL of an empty log on the engine."""
    if engine == "sqlite":
        yield lambda: f"sqlite:///{tempfile.mkdtemp(dir=folder)}/log.db"
        return
    command = [sys.executable, str(SCRIPTS / "databases.py")]
    data = ["--data", str(folder / "databases")]
    subprocess.run([*command, "start", *data], check=True, stdout=subprocess.DEVNULL)
    try:
        server = Databases(folder / "databases", volatile=False).url(engine)
        yield lambda: _made(server)
    finally:
        subprocess.run([*command, "reset", *data], check=True, stdout=subprocess.DEVNULL)


def _made(server: sa.URL) -> str:
    """An empty log in a database of its own."""
    name = f"bench_{time.time_ns()}"
    maker = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with maker.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    maker.dispose()
    url = server.set(database=name).render_as_string(hide_password=False)
    migrate_database(url)
    return url


def one_round(folder: Path, new_url: Callable[[], str]) -> dict[str, float]:
    rates = {}
    for processes, dispatches in AT_ONCE.items():
        name = f"{processes} x {dispatches} at once"
        rates[name] = fill(f"at once {dispatches}", folder / name, processes)
    for processes in AT_ONCE:
        for arm in ("one by one", "bare"):
            rates[f"{arm} {processes}"] = fill(arm, folder / f"{arm}-{processes}", processes)
    drained = new_url()
    return rates | {"drained": drain(folder / "drain", drained), "inserted": insert(drained, new_url())}


def main(rounds: int, engine: str) -> int:
    series = []
    with tempfile.TemporaryDirectory() as kept, places(Path(kept), engine) as new_url:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                series.append(one_round(Path(folder), new_url))
    found = {name: statistics.median(one[name] for one in series) for name in series[0]}
    table = Table(title=f"The spool, drained to {engine}: medians of {rounds} interleaved rounds")
    for column in ("what", "rows/s", "driver alone", "ratio", "at least"):
        table.add_column(column)
    good = True
    for processes, dispatches in AT_ONCE.items():
        name = f"{processes} x {dispatches} at once"
        good &= found[name] >= LEAST_ROWS_A_SECOND
        table.add_row(f"spooled, {name}", f"{found[name]:,.0f}", "", "", f"{LEAST_ROWS_A_SECOND:,} rows/s")
    # One that is alone waits for the disk, whoever asks.
    alone = [(f"one by one {count}", f"bare {count}", 0.0) for count in AT_ONCE]
    for what, peer, least in [*alone, ("drained", "inserted", LEAST_DRAINED)]:
        ratio = statistics.median(one[what] / one[peer] for one in series)
        good &= ratio >= least
        table.add_row(what, f"{found[what]:,.0f}", f"{found[peer]:,.0f}", f"{ratio:.2f}", f"{least or ''}")
    Console().print(table)
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fill"]:
        fill_when_told(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--on", choices=("sqlite", "postgresql"), default="sqlite")
        parser.add_argument("rounds", nargs="?", type=int, default=5)
        chosen = parser.parse_args()
        sys.exit(main(chosen.rounds, chosen.on))
