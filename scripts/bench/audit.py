"""The log beside the bare driver: one row after the other, and 64 writers at once."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parents[2] / "tests" / "audit"))
sys.path.append(str(Path(__file__).parents[1]))
from attempts import BEGAN, a_call, an_ending, an_opening
from databases import Databases

from dispatcher.action.observation import Call
from dispatcher.audit.bounds import SERVING
from dispatcher.audit.engine import migrate_database, open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.record import AttemptEnding, AttemptOpening
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spooled_log import log_with_spool
from dispatcher.audit.tables import calls, logs

SCRIPTS = Path(__file__).parents[1]
ROWS = 50
BLOCKS = 6
WRITERS = 64
EACH = 20
CLOSES = 150
THREADS = {"sqlite": 1, "postgresql": 4}
MOST_TIMES = 1.6
LEAST_THROUGHPUT = 0.7
MADE = [a_call(ordinal=ordinal) for ordinal in (1, 2)]
CALL = [field.name for field in fields(Call) if field.name != "usage"]
USAGE = [field.name for field in fields(type(MADE[0].usage))]


class Bare:
    """The driver alone: the log's statements with all their columns, and values that it takes as they are."""

    def __init__(self, engine: str, url: str) -> None:
        self._connection = _driver(engine, url)
        self._sqlite = engine == "sqlite"
        mark = "?" if self._sqlite else "%s"
        self._opening = [field.name for field in fields(AttemptOpening)]
        self._ending = [field.name for field in fields(AttemptEnding)]
        now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')" if self._sqlite else "clock_timestamp()"
        columns = (", ".join(self._opening), ", ".join([mark] * len(self._opening)))
        self._open = f"INSERT INTO ai_outbound_logs ({columns[0]}, status) VALUES ({columns[1]}, 'started')"  # noqa: S608
        told = ", ".join(f"{name} = {mark}" for name in self._ending)
        still = f"WHERE log_id = {mark} AND status = 'started'"
        self._end = f"UPDATE ai_outbound_logs SET {told}, landed_at = {now} {still}"  # noqa: S608
        names = ["log_id", *CALL, *USAGE]
        marks = ", ".join([mark] * len(names))
        self._call = f"INSERT INTO ai_outbound_calls ({', '.join(names)}) VALUES ({marks})"  # noqa: S608

    def open(self, opening: AttemptOpening) -> None:
        self._connection.execute(self._open, self._values(opening, self._opening))

    def close(self, log_id: str, ending: AttemptEnding, made: Sequence[Call]) -> float:
        """End a row; the seconds that its statements took, without the commit."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE" if self._sqlite else "BEGIN")
        began = time.perf_counter()
        cursor.execute(self._end, (*self._values(ending, self._ending), log_id))
        cursor.executemany(
            self._call, [(log_id, *self._values(call, CALL), *self._values(call.usage, USAGE)) for call in made]
        )
        took = time.perf_counter() - began
        cursor.execute("COMMIT")
        return took

    def _values(self, value: object, names: Sequence[str]) -> tuple[Any, ...]:
        return tuple(self._plain(getattr(value, name)) for name in names)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, dt.datetime) and self._sqlite:
            return value.strftime("%Y-%m-%d %H:%M:%S.%f")
        return str(value) if isinstance(value, str) else value

    def end(self) -> None:
        self._connection.close()


def _driver(engine: str, url: str) -> Any:
    if engine == "sqlite":
        path = url.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
        connection.execute("PRAGMA synchronous=FULL")
        return connection
    import psycopg  # noqa: PLC0415 - only the engine that needs it pays for it

    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True)


async def one_by_one(open_row: Callable[..., Any], close_row: Callable[..., Any]) -> float:
    """Seconds a row."""
    openings = [an_opening() for _ in range(ROWS)]
    ending = an_ending()
    began = time.perf_counter()
    for opening in openings:
        await open_row(opening)
        await close_row(opening.log_id, ending, MADE)
    return (time.perf_counter() - began) / ROWS


async def logged_one_by_one(log: Log) -> float:
    return await one_by_one(log.open, log.close)


async def bare_one_by_one(bare: Bare) -> float:
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)

    def handed(work: Callable[..., None]) -> Callable[..., Any]:
        return lambda *values: loop.run_in_executor(thread, work, *values)

    took = await one_by_one(handed(bare.open), handed(bare.close))
    thread.shutdown()
    return took


def close_s(bare: Bare) -> float:
    """Seconds that the statements take that end a row, the median of `CLOSES`; a commit's would hide the triggers'."""
    ending, took = an_ending(), []
    for opening in [an_opening() for _ in range(CLOSES)]:
        bare.open(opening)
        took.append(bare.close(opening.log_id, ending, MADE))
    return statistics.median(took)


def trigger_costs(engine: str, url: str) -> tuple[float, float]:
    """Seconds to end a row with the append-only triggers, and in the same database when they have been taken away."""
    bare = Bare(engine, url)
    close_s(bare)
    with_them = close_s(bare)
    database = open_engine(url)
    with database.begin() as connection:
        if engine == "sqlite":
            names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
            off = [f"DROP TRIGGER {name}" for name in names]
        else:
            off = [f"ALTER TABLE {table.name} DISABLE TRIGGER USER" for table in (logs, calls)]
        for statement in off:
            connection.exec_driver_sql(statement)
    database.dispose()
    without = close_s(bare)
    bare.end()
    return with_them, without


async def logged_at_once(log: Log) -> float:
    """Rows a second of 64 writers."""
    ending = an_ending()

    async def writer() -> None:
        for opening in [an_opening() for _ in range(EACH)]:
            await log.open(opening)
            await log.close(opening.log_id, ending, MADE)

    began = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return WRITERS * EACH / (time.perf_counter() - began)


def bare_at_once(engine: str, url: str) -> float:
    """Rows a second of the driver, from as many threads as the log has."""
    count = THREADS[engine]
    drivers = [Bare(engine, url) for _ in range(count)]
    ending = an_ending()

    def writer(bare: Bare) -> None:
        for opening in [an_opening() for _ in range(WRITERS * EACH // count)]:
            bare.open(opening)
            bare.close(opening.log_id, ending, MADE)

    with ThreadPoolExecutor(count) as pool:
        began = time.perf_counter()
        list(pool.map(writer, drivers))
        rate = WRITERS * EACH / (time.perf_counter() - began)
    for bare in drivers:
        bare.end()
    return rate


async def one_round(engine: str, url: str, folder: Path) -> dict[str, float]:
    database = open_engine(url, SERVING)
    before = rows_in(database)
    spool = Spool(folder / f"spool-{engine}", "the database", Bounds(), lambda: BEGAN)
    log = log_with_spool(database, spool, patience_s=30.0)
    await logged_one_by_one(log)
    bare = Bare(engine, url)
    # In turns as short as may be, because a machine that has other work is seldom as busy as a moment ago.
    blocks = [(await bare_one_by_one(bare), await logged_one_by_one(log)) for _ in range(BLOCKS)]
    found = {
        name: statistics.median(each) for name, each in zip(("bare row", "row"), zip(*blocks, strict=True), strict=True)
    }
    found["times"] = statistics.median(row / peer for peer, row in blocks)
    bare.end()
    found |= {"bare at once": bare_at_once(engine, url), "at once": await logged_at_once(log)}
    await asyncio.to_thread(log.shutdown)
    written = rows_in(database) - before
    database.dispose()
    expected = (2 * BLOCKS + 1) * ROWS + 2 * WRITERS * EACH
    if written != expected:
        raise SystemExit(f"{engine}: {expected} rows were written and {written} are there")
    return found


def rows_in(database: sa.Engine) -> int:
    with database.connect() as connection:
        query = sa.select(sa.func.count()).select_from(logs).where(logs.c.status == "success")
        return connection.execute(query).scalar_one()


@contextlib.contextmanager
def places(folder: Path) -> Iterator[dict[str, str]]:
    """The URLs of an empty log on each engine."""
    command = [sys.executable, str(SCRIPTS / "databases.py")]
    data = ["--data", str(folder / "databases")]
    subprocess.run([*command, "start", *data], check=True, stdout=subprocess.DEVNULL)
    try:
        url = Databases(folder / "databases", volatile=False).url("postgresql").render_as_string(hide_password=False)
        found = {"sqlite": f"sqlite:///{folder / 'log.db'}", "postgresql": url}
        for place in found.values():
            migrate_database(place)
        yield found
    finally:
        subprocess.run([*command, "reset", *data], check=True, stdout=subprocess.DEVNULL)


def main(rounds: int) -> int:
    series: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, places(Path(folder)) as urls:
        for _ in range(rounds):
            for engine, url in urls.items():
                series.setdefault(engine, []).append(asyncio.run(one_round(engine, url, Path(folder))))
        triggers = {engine: trigger_costs(engine, url) for engine, url in urls.items()}
    table = Table(title=f"The log beside the bare driver, medians of {rounds} interleaved rounds")
    for column in ("what", "log", "driver", "ratio", "bound"):
        table.add_column(column)
    good = True
    for engine, found in series.items():
        median = {name: statistics.median(one[name] for one in found) for name in found[0]}
        times = median["times"]
        share = statistics.median(one["at once"] / one["bare at once"] for one in found)
        row, bare = (f"{1e6 * median[name]:,.0f} µs" for name in ("row", "bare row"))
        table.add_row(f"{engine}: a row", row, bare, f"{times:.2f}", f"≤ {MOST_TIMES}")
        rate, bare = (f"{median[name]:,.0f} rows/s" for name in ("at once", "bare at once"))
        table.add_row(f"{engine}: {WRITERS} at once", rate, bare, f"{share:.2f}", f"≥ {LEAST_THROUGHPUT}")
        with_them, without = (f"{1e6 * took:,.0f} µs" for took in triggers[engine])
        cost = triggers[engine][0] / triggers[engine][1]
        table.add_row(
            f"{engine}: a close's statements, with triggers and without", with_them, without, f"{cost:.2f}", ""
        )
        good &= times <= MOST_TIMES and share >= LEAST_THROUGHPUT
    Console().print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 5))
