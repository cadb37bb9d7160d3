"""The weekly verdict on millions of rows beside the plain statement over the same rows, in time and in memory."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from verdict_scale_rows import START, WEEKS, fill

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "verdict")]
from postgres_server import Postgres, install_postgres  # noqa: E402 - found by the line above
from verdict_worlds import COST, HASHES, MANAGED, P95, VALID, block  # noqa: E402 - as above

from dispatcher.audit.engine import migrate_database, open_engine  # noqa: E402 - as above
from dispatcher.audit.record import Origin  # noqa: E402 - as above
from dispatcher.verdict.looks import Looks  # noqa: E402 - as above
from dispatcher.verdict.measurement.measure import measure  # noqa: E402 - as above
from dispatcher.verdict.measurement.population import Population  # noqa: E402 - as above

MOST_TIMES, MOST_MEMORY = 2.0, 1.25
TENANTS = 1000
PLAIN = (
    "SELECT tenant, conversation_id, COUNT(*), SUM(response_time_ms), SUM(cost_nanousd) FROM ai_outbound_logs"
    " WHERE feature = 'agent_research' AND origin = 'production' GROUP BY tenant, conversation_id"
)


def population() -> Population:
    """Five criteria on 1 000 tenants, ten weeks after the start."""
    start = dt.datetime.fromisoformat(START)
    own: dict[str, Any] = {"baseline": {"source": "own-target"}}
    slow = [P95 | own | {"id": f"P-{limit}", "at_most": {"value": limit}} for limit in (4000, 6000, 9000)]
    acceptance = block(
        COST,
        *slow,
        VALID,
        tenants={f"tenant-{number}": 1 / TENANTS for number in range(TENANTS)},
        unit={"by": "conversation", "window": "1d"},
        assignment={"kind": "sticky_share", "by": "conversation", "share": 0.5},
    )
    looks = Looks(
        start=start,
        as_of=start + dt.timedelta(weeks=WEEKS, days=5),
        window=acceptance.unit.window,
        settle=acceptance.looks.settle,
        max_weeks=52,
    )
    return Population(acceptance, Origin.PRODUCTION, looks, HASHES[MANAGED])


def in_a_process(url: str, what: str) -> tuple[float, float]:
    """Seconds and MiB that a process of its own takes for one of the two."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, url], capture_output=True, text=True, check=True
    )
    seconds, mebibytes = json.loads(done.stdout)
    return seconds, mebibytes


def measured(what: str, url: str) -> None:
    engine = open_engine(url)
    began = time.monotonic()
    if what == "plain":
        # Without a cursor, which would keep PostgreSQL from working in parallel; nothing is made of the rows.
        with engine.connect() as connection:
            connection.exec_driver_sql(PLAIN)
    else:
        measure(engine, population())
    took = time.monotonic() - began
    print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def filled(server: Path, name: str, rows: int) -> str:
    """The URL of a database with so many rows, made where it isn't there yet."""
    url = sa.URL.create("postgresql+psycopg", "dispatcher", database="postgres", query={"host": str(server)})
    system = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with system.connect() as connection:
        there = connection.execute(sa.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}).first()
        if there is None:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    system.dispose()
    text = url.set(database=name).render_as_string(hide_password=False)
    migrate_database(text)
    engine = open_engine(text)
    with engine.connect() as connection:
        empty = connection.exec_driver_sql("SELECT 1 FROM ai_outbound_logs LIMIT 1").first() is None
    if empty:
        fill(engine, rows, TENANTS)
    engine.dispose()
    return text


def run(rows: int, rounds: int, data: Path) -> int:
    data.mkdir(parents=True, exist_ok=True)
    settings = ("-c fsync=off", "-c full_page_writes=off", "-c max_wal_size=8GB")
    server = Postgres(install_postgres(), data / "postgresql", role="dispatcher", way_out="delete it", options=settings)
    sockets = server.start()
    try:
        whole, tenth = (filled(sockets, f"rows_{count}", count) for count in (rows, rows // 10))
        times: dict[str, list[float]] = {"plain": [], "verdict": []}
        for _ in range(rounds):
            for what, seen in times.items():
                seen.append(in_a_process(whole, what)[0])
        memory = [in_a_process(url, "verdict")[1] for url in (tenth, whole)]
    finally:
        server.stop()
    plain, verdict = (statistics.median(seen) for seen in times.values())
    table = Table("", "plain statement", "verdict", "times", title=f"{rows:,} rows, {TENANTS} tenants, five criteria")
    table.add_row("seconds", f"{plain:.2f}", f"{verdict:.2f}", f"{verdict / plain:.2f}")
    table.add_row("MiB at a tenth, at all rows", f"{memory[0]:.0f}", f"{memory[1]:.0f}", f"{memory[1] / memory[0]:.2f}")
    Console().print(table)
    return int(verdict > MOST_TIMES * plain or memory[1] > MOST_MEMORY * memory[0])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ROOT / ".databases" / "verdict_scale")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "URL"))
    given = parser.parse_args()
    if given.measure:
        measured(*given.measure)
        return 0
    return run(given.rows, given.rounds, given.data)


if __name__ == "__main__":
    sys.exit(main())
