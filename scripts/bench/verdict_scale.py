"""The weekly verdict on millions of rows beside the plain statement over the same rows, in time and in memory.

A verdict is a record's, registered and reached as every week: what its statements take, the definitions that ran among
them, and what it takes to judge what they counted, which is the same however many rows there are.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from verdict_scale_rows import START, WEEKS, fill

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "verdict")]
from postgres_server import Postgres, install_postgres  # noqa: E402 - found by the line above
from verdict_worlds import COST, HASHES, MANAGED, P95, VALID, block, record  # noqa: E402 - as above

from dispatcher.audit.engine import migrate_database, open_engine  # noqa: E402 - as above
from dispatcher.audit.record import Origin  # noqa: E402 - as above
from dispatcher.audit.registrations import Registration, append_registration, registrations_of  # noqa: E402 - as above
from dispatcher.verdict.looks import Looks  # noqa: E402 - as above
from dispatcher.verdict.measurement.definitions import definitions  # noqa: E402 - as above
from dispatcher.verdict.measurement.measure import measure  # noqa: E402 - as above
from dispatcher.verdict.measurement.population import Population  # noqa: E402 - as above
from dispatcher.verdict.reach import Samples, reach_verdict  # noqa: E402 - as above

MOST_TIMES, MOST_MEMORY = 2.0, 1.25
WHATS = ("plain statement", "statements", "verdict")
_SERVER_GONE_S = 0.3
"""Until a server's process has ended after its connection."""
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


@dataclass(frozen=True)
class Taken:
    """What a process of its own took, and the server for it: seconds, seconds of a processor, and its own MiB."""

    seconds: float
    processor: float
    mebibytes: float


def in_a_process(server: Postgres, url: str, what: str) -> Taken:
    """What one of WHATS takes."""
    # What used the server before is still ending.
    time.sleep(_SERVER_GONE_S)
    before = of_children(server)
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, url], capture_output=True, text=True, check=True
    )
    seconds, own, mebibytes = json.loads(done.stdout)
    time.sleep(_SERVER_GONE_S)
    return Taken(seconds, own + of_children(server) - before, mebibytes)


def of_children(server: Postgres) -> float:
    """The processor's seconds that a server's ended processes have taken."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")


def measured(what: str, url: str) -> None:
    engine = open_engine(url)
    began, own = time.monotonic(), time.process_time()
    if what == "plain statement":
        # Without a cursor, which would keep PostgreSQL from working in parallel; nothing is made of the rows.
        with engine.connect() as connection:
            connection.exec_driver_sql(PLAIN)
    elif what == "statements":
        read(engine)
    else:
        asked = population()
        judged = record(asked.block)
        reach_verdict(judged, asked.origin, asked.looks.as_of, engine, Samples({}, frozenset()))
    took, own = time.monotonic() - began, time.process_time() - own
    engine.dispose()
    print(json.dumps([took, own, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def read(engine: sa.Engine) -> None:
    """All that a verdict reads of the log's rows."""
    asked = population()
    start, as_of = dt.datetime.fromisoformat(START), asked.looks.as_of
    definitions(engine, asked.block, asked.origin, since=start, as_of=as_of)
    measure(engine, asked)


def registered(engine: sa.Engine) -> None:
    """Start the record's clock where the rows begin, unless that was done."""
    asked = population()
    id_ = record(asked.block).id
    if not registrations_of(engine, id_, asked.origin):
        start = dt.datetime.fromisoformat(START)
        stated = {"candidate_hash": HASHES[MANAGED], "record_hash": asked.block.hash, "block": asked.block.canonical}
        append_registration(engine, Registration(record=id_, origin=asked.origin, epoch=1, start=start, **stated))


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
    registered(engine)
    engine.dispose()
    return text


def run(rows: int, rounds: int, data: Path) -> int:
    data.mkdir(parents=True, exist_ok=True)
    settings = ("-c fsync=off", "-c full_page_writes=off", "-c max_wal_size=8GB")
    server = Postgres(install_postgres(), data / "postgresql", role="dispatcher", way_out="delete it", options=settings)
    sockets = server.start()
    try:
        whole, tenth = (filled(sockets, f"rows_{count}", count) for count in (rows, rows // 10))
        taken: dict[str, list[Taken]] = {what: [] for what in WHATS}
        for _ in range(rounds):
            for what, seen in taken.items():
                seen.append(in_a_process(server, whole, what))
        memory = [in_a_process(server, url, "statements").mebibytes for url in (tenth, whole)]
    finally:
        server.stop()
    Console().print(table_of(taken, f"{rows:,} rows, {TENANTS} tenants, five criteria"))
    print(f"MiB for the statements at a tenth and at all rows: {memory[0]:.0f}, {memory[1]:.0f}")
    seconds = {what: median(seen, "seconds") for what, seen in taken.items()}
    slow = seconds["verdict"] > MOST_TIMES * seconds["plain statement"]
    return int(slow or memory[1] > MOST_MEMORY * memory[0])


def table_of(taken: Mapping[str, Sequence[Taken]], title: str) -> Table:
    table = Table("", "seconds", "times", "processor", "times", title=title)
    plain = taken["plain statement"]
    for what, seen in taken.items():
        cells = []
        for name in ("seconds", "processor"):
            took = median(seen, name)
            cells += [f"{took:.2f}", f"{took / median(plain, name):.2f}"]
        table.add_row(what, *cells)
    return table


def median(seen: Sequence[Taken], name: str) -> float:
    return statistics.median(getattr(each, name) for each in seen)


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
