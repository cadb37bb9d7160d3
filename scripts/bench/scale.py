"""One log in three places: what it takes there, and how fast the statements are that everything else is made of."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from bench_world import HERE, PEERS, ROOT
from rich.console import Console
from rich.table import Table
from verdict_scale_rows import WEEKS, fill

sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "audit")]
from attempts import a_call, an_ending, an_opening
from databases import Databases

from dispatcher.audit.engine import migrate_database, open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.tables import logs
from dispatcher.telemetry.export_parts import Form
from dispatcher.telemetry.exporter import ExportOrder, export

ROUNDS = 5
AT_ONCE = 64
ATTEMPTS = 2_000
_BATCH = 5_000
# The first one; fewer rows than a million begin in fewer weeks.
_WEEK = "created_at >= '2026-06-01 00:00:00' AND created_at < '2026-06-08 00:00:00'"
_HISTOGRAM = "SELECT variant, status, response_time_ms, COUNT(*) FROM ai_outbound_logs {where} GROUP BY 1, 2, 3"
STATEMENTS = {
    "count": "SELECT COUNT(*) FROM ai_outbound_logs",
    "sums by variant": (
        "SELECT variant, COUNT(*), SUM(response_time_ms), SUM(cost_nanousd) FROM ai_outbound_logs GROUP BY 1"
    ),
    "histogram of one week": _HISTOGRAM.format(where=f"WHERE {_WEEK}"),
    "histogram of everything": _HISTOGRAM.format(where=""),
}

Ask = Callable[[str], tuple[float, list[Any]]]


class Place(NamedTuple):
    """Where the log is: how it is asked, and how many bytes it takes, its indexes included."""

    ask: Ask
    bytes: int


def ask_engine(engine: sa.Engine) -> Ask:
    def ask(statement: str) -> tuple[float, list[Any]]:
        with engine.connect() as connection:
            began = time.perf_counter()
            rows = connection.exec_driver_sql(statement).all()
            return time.perf_counter() - began, [tuple(row) for row in rows]

    return ask


@contextmanager
def duckdb_over(files: Path) -> Iterator[Ask]:
    command = [str(PEERS), str(HERE / "scale_duckdb.py"), str(files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def ask(statement: str) -> tuple[float, list[Any]]:
            program.stdin.write(json.dumps(statement) + "\n")
            answer = json.loads(program.stdout.readline())
            return answer["seconds"], [tuple(row) for row in answer["rows"]]

        try:
            yield ask
        finally:
            program.stdin.close()


def copy_rows(source: sa.Engine, target: sa.Engine) -> None:
    with source.connect().execution_options(yield_per=_BATCH) as reading, target.begin() as writing:
        for batch in reading.execute(sa.select(logs)).mappings().partitions():
            writing.execute(sa.insert(logs), [dict(row) for row in batch])
    with target.connect() as connection:
        connection.exec_driver_sql("ANALYZE")


def medians(places: dict[str, Place]) -> dict[str, dict[str, float]]:
    """Seconds of each statement by place: the median of interleaved rounds. Raises SystemExit where answers differ."""
    found: dict[str, dict[str, float]] = {}
    for name, statement in STATEMENTS.items():
        series: dict[str, list[float]] = {place: [] for place in places}
        answers = {}
        for _ in range(ROUNDS):
            for where, place in places.items():
                seconds, rows = place.ask(statement)
                series[where].append(seconds)
                answers[where] = sorted(tuple(map(str, row)) for row in rows)
        if len({tuple(answer) for answer in answers.values()}) > 1:
            raise SystemExit(f"the engines' answers differ: {name}")
        found[name] = {where: statistics.median(seconds) for where, seconds in series.items()}
    return found


async def attempts_a_second(url: str) -> float:
    """Attempts that one process opens and ends with 64 under way, each durable before the next step."""
    engine = open_engine(url)
    log, openings = Log(engine), iter([an_opening() for _ in range(ATTEMPTS)])

    async def carry_out() -> None:
        for opening in openings:
            await log.open(opening)
            await log.close(opening.log_id, an_ending(), [a_call()])

    began = time.perf_counter()
    await asyncio.gather(*(carry_out() for _ in range(AT_ONCE)))
    rate = ATTEMPTS / (time.perf_counter() - began)
    log.shutdown()
    engine.dispose()
    return rate


@contextmanager
def servers_in(folder: Path) -> Iterator[Databases]:
    """Servers whose commits are on the disk, as in production."""
    folder.mkdir(mode=0o700)
    servers = Databases(folder, volatile=False)
    servers.start()
    try:
        yield servers
    finally:
        servers.stop()


def main(rows: int) -> int:
    with tempfile.TemporaryDirectory(prefix="dispatcher-scale-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with servers_in(folder / "servers") as servers:
            urls = {
                "SQLite": f"sqlite:///{folder}/log.db",
                "PostgreSQL": servers.url("postgresql").render_as_string(hide_password=False),
            }
            for url in urls.values():
                migrate_database(url)
            rates = {where: asyncio.run(attempts_a_second(url)) for where, url in urls.items()}
            for url in urls.values():
                forget_rows(url)
            report(rows, rates, *measured(folder, urls, rows))
    return 0


def forget_rows(url: str) -> None:
    """Begin anew: what was logged can't be deleted."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            for path in Path(str(engine.url.database)).parent.glob("log.db*"):
                path.unlink()
        else:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    migrate_database(url)


def measured(
    folder: Path, urls: dict[str, str], rows: int
) -> tuple[dict[str, Place], dict[str, dict[str, float]], Sequence[str]]:
    engines = {where: open_engine(url) for where, url in urls.items()}
    fill(engines["PostgreSQL"], rows, 50)
    copy_rows(engines["PostgreSQL"], engines["SQLite"])
    now = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    order = ExportOrder(form=Form.PARQUET, origin=None, since=None, until=None, rows_per_part=100_000)
    exported = export(engines["SQLite"], folder / "parquet", order, now=now)
    with duckdb_over(folder / "parquet" / "*.parquet") as ask:
        places = {
            "SQLite": Place(ask_engine(engines["SQLite"]), (folder / "log.db").stat().st_size),
            "PostgreSQL": Place(ask_engine(engines["PostgreSQL"]), postgres_bytes(engines["PostgreSQL"])),
            "DuckDB on Parquet": Place(ask, sum(path.stat().st_size for path in (folder / "parquet").iterdir())),
        }
        found = medians(places)
    for engine in engines.values():
        engine.dispose()
    return places, found, [f"{exported.rows:,} rows in each, {WEEKS} weeks of them"]


def postgres_bytes(engine: sa.Engine) -> int:
    return int(ask_engine(engine)("SELECT pg_total_relation_size('ai_outbound_logs')")[1][0][0])


def report(
    rows: int,
    rates: dict[str, float],
    places: dict[str, Place],
    found: dict[str, dict[str, float]],
    notes: Sequence[str],
) -> None:
    table = Table("what", *places, title=f"A log of {rows:,} rows, medians of {ROUNDS} interleaved rounds")
    table.add_row("bytes a row", *(f"{place.bytes / rows:,.0f}" for place in places.values()))
    for name, seconds in found.items():
        table.add_row(f"{name}, ms", *(f"{1000 * seconds[where]:,.1f}" for where in places))
    table.add_row(
        f"attempts/s, {AT_ONCE} at once", *(f"{rates[where]:,.0f}" if where in rates else "" for where in places)
    )
    console = Console(width=110)
    console.print(table)
    for note in notes:
        console.print(note)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000))
