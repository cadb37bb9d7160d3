"""A million rows into the log and out of it: memory that doesn't grow, a bar that moves, and what a kill leaves."""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import parquet
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parents[1]))
from databases import Databases
from drawing_program import Cost, Program

from dispatcher.audit.engine import migrate_database
from dispatcher.audit.tables import logs

SMALL = 10_000
MOST_GROWN = 1.5
PARTS = 10
_KILLED_AT = 30
_SYSTEM = {"postgresql": "postgres", "mariadb": "mysql"}
VERBS = ("import csv", "import parquet", "export csv", "export parquet")
MAP = """\
schema: 1
source: million
key: [run]
columns:
  created_at: {from: began}
  status: {from: outcome, map: {ok: success, bad: error, "": lost}}
  variant: {from: arm}
  model: {from: model}
  conversation_id: {from: run}
  response_time_ms: {from: wall, unit: s}
  input_tokens: {from: prompt, less: cached}
  cache_read_input_tokens: {from: cached}
  output_tokens: {from: answer}
  cost_nanousd: {from: cost, unit: usd}
  iterations: {from: requests}
constants: {feature: agent_research, tenant: bench}
"""
HEADER = ("run", "began", "outcome", "arm", "model", "wall", "prompt", "cached", "answer", "cost", "requests")
NUMBERS = ("prompt", "cached", "answer", "requests")
BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def lines(rows: int) -> Iterator[tuple[object, ...]]:
    """Rows as another program might have them; the same ones every time."""
    for place in range(rows):
        mixed = place * 2654435761 % 2**32
        began = (BEGAN + dt.timedelta(seconds=place * 10)).isoformat()
        outcome = ("ok", "ok", "ok", "ok", "ok", "ok", "ok", "bad", "ok", "")[mixed % 10]
        tokens = (2_000 + mixed % 90_000, mixed % 2_000, 100 + mixed % 3_000)
        money, arm = f"0.{mixed % 10**9:09}", ("legacy", "managed-haiku-4-5-cap8")[mixed % 2]
        yield f"run-{place:09}", began, outcome, arm, "claude-haiku-4-5", f"{mixed % 60_000 / 1000}", *tokens, money, 3


def write_sources(folder: Path, rows: int) -> None:
    """The rows as a CSV and as a Parquet file."""
    with (folder / f"{rows}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(lines(rows))
    schema = pa.schema([(name, pa.int64() if name in NUMBERS else pa.string()) for name in HEADER])
    with parquet.ParquetWriter(folder / f"{rows}.parquet", schema) as written:
        remaining = lines(rows)
        while some := list(islice(remaining, SMALL)):
            columns = [
                pa.array(values, field.type) for values, field in zip(zip(*some, strict=True), schema, strict=True)
            ]
            written.write_table(pa.Table.from_arrays(columns, schema=schema))


class Ground:
    """A folder, and databases of one engine in it."""

    def __init__(self, folder: Path, servers: Databases | None, engine: str) -> None:
        self.folder = folder
        self._servers = servers
        self._engine = engine

    def url(self, name: str) -> str:
        """Where the log of a name is."""
        if self._servers is None:
            return f"sqlite:///{self.folder}/{name}.db"
        return self._servers.url(self._engine, name).render_as_string(hide_password=False)

    def empty(self, name: str) -> str:
        """The URL of an empty log that is made for it."""
        if self._servers is not None:
            address = self._servers.url(self._engine, _SYSTEM[self._engine])
            system = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
            with system.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        migrate_database(self.url(name))
        return self.url(name)


@contextmanager
def ground(engine: str) -> Iterator[Ground]:
    """A ground that is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="dispatcher-million-") as name:
        folder = Path(name)
        (folder / "map.yml").write_text(MAP)
        servers = None if engine == "sqlite" else Databases(folder / "servers", volatile=False)
        if servers is None:
            yield Ground(folder, None, engine)
            return
        (folder / "servers").mkdir(mode=0o700)
        folder.chmod(0o755)
        servers.start()
        try:
            yield Ground(folder, servers, engine)
        finally:
            servers.stop()


def take(place: Ground, rows: int) -> dict[str, Cost]:
    """Import so many rows and export them in both forms."""
    write_sources(place.folder, rows)
    url, costs = place.empty(f"log_{rows}"), {}
    for form, log in (("csv", url), ("parquet", place.empty(f"log_of_parquet_{rows}"))):
        costs[f"import {form}"] = Program(log, *import_words(place, form, rows)).end()
        refuse_other(f"rows imported from {form}", json.loads(costs[f"import {form}"].output)["added"], rows)
    for form in ("csv", "parquet"):
        out = place.folder / f"{rows}-{form}"
        costs[f"export {form}"] = Program(url, *export_words(out, form, rows)).end()
        refuse_other(f"rows exported to {form}", json.loads(costs[f"export {form}"].output)["rows"], rows)
    return costs


def import_words(place: Ground, form: str, rows: int) -> list[object]:
    return ["logs", "import", place.folder / f"{rows}.{form}", "--map", place.folder / "map.yml", "--json"]


def export_words(out: Path, form: str, rows: int) -> list[object]:
    return ["logs", "export", out, "--format", form, "--rows-per-part", max(rows // PARTS, 1), "--json"]


def refuse_other(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise SystemExit(f"{found} {what} and not {expected}")


def killed_import(place: Ground, rows: int) -> str:
    """A killed import leaves nothing, and run again it has everything."""
    url = place.empty("killed")
    words = import_words(place, "csv", rows)
    program = Program(url, *words)
    program.kill_when(lambda: bool(program.shown) and program.shown[-1] >= _KILLED_AT)
    refuse_other("rows left by the killed import", count(url), 0)
    again = json.loads(Program(url, *words).end().output)
    refuse_other("rows of the import that was run again", count(url), rows)
    refuse_other("rows added by it", again["added"], rows)
    return f"an import killed at {program.shown[-1]} % left 0 rows; run again it added {rows:,}"


def killed_export(place: Ground, rows: int) -> str:
    """An export that was killed goes on and has the bytes of one that wasn't."""
    out, whole = place.folder / "killed-csv", place.folder / f"{rows}-csv"
    url = place.url(f"log_{rows}")
    program = Program(url, *export_words(out, "csv", rows))
    program.kill_when((out / "part-000003.csv").exists)
    report = json.loads(Program(url, *export_words(out, "csv", rows)).end().output)
    for path in sorted(whole.glob("part-*")):
        if path.read_bytes() != (out / path.name).read_bytes():
            raise SystemExit(f"{path.name} of the continued export isn't that of the whole one")
    refuse_other("rows of the continued export", report["rows"], rows)
    return f"an export killed in its part 3 or 4 went on behind part {report['resumed']}: the same bytes in every file"


def count(url: str) -> int:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(logs)).scalar_one())


def bare_import(place: Ground, rows: int) -> float:
    """Seconds of the same rows through SQLite's driver alone: read from the file, inserted in one transaction."""
    url = place.empty("bare")
    began = time.perf_counter()
    with (
        closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as target,
        (place.folder / f"{rows}.csv").open(newline="") as file,
    ):
        reader = csv.reader(file)
        next(reader)
        target.execute("BEGIN IMMEDIATE")
        target.executemany(
            "INSERT INTO ai_outbound_logs (log_id, dispatch_id, attempt, role, origin, time_scale, feature, tenant,"
            " created_at, status, variant, model, response_time_ms, input_tokens, cache_read_input_tokens,"
            " output_tokens, cost_nanousd, iterations) VALUES (?1, ?1, 1, 'served', 'import', 1.0, 'agent_research',"
            " 'bench', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            reader,
        )
        target.execute("COMMIT")
    return time.perf_counter() - began


def bare_export(place: Ground, rows: int) -> float:
    """Seconds of the same rows through SQLite's driver and Python's CSV writer alone."""
    began = time.perf_counter()
    with (
        closing(sqlite3.connect(place.folder / f"log_{rows}.db")) as source,
        (place.folder / "bare.csv").open("w", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerows(source.execute("SELECT * FROM ai_outbound_logs ORDER BY created_at, log_id"))
    return time.perf_counter() - began


def main(rows: int, engine: str) -> int:
    with ground(engine) as place:
        small, large = take(place, SMALL), take(place, rows)
        told = [killed_import(place, rows), killed_export(place, rows)]
        bare: dict[str, float] = {}
        if engine == "sqlite":
            bare = {"import csv": bare_import(place, rows), "export csv": bare_export(place, rows)}
    title = f"{rows:,} rows on {engine}, beside {SMALL:,}"
    columns = ("what", "seconds", "rows/s", "× the driver alone", "MB at most", f"MB with {SMALL:,}", "ratio", "bar")
    table = Table(*columns, title=title)
    good = True
    for verb in VERBS:
        cost, grown = large[verb], large[verb].rss_mb / small[verb].rss_mb
        steps = len(set(cost.shown))
        good &= grown <= MOST_GROWN and steps > 1
        figures = (f"{cost.wall_s:.1f}", f"{rows / cost.wall_s:,.0f}")
        beside = f"{cost.wall_s / bare[verb]:.1f}" if verb in bare else ""
        memory = (f"{cost.rss_mb:.0f}", f"{small[verb].rss_mb:.0f}", f"{grown:.2f} ≤ {MOST_GROWN}")
        table.add_row(verb, *figures, beside, *memory, f"{steps} steps")
    console = Console(width=120)
    console.print(table)
    for sentence in told:
        console.print(sentence)
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--on", dest="engine", choices=("sqlite", "postgresql", "mariadb"), default="sqlite")
    chosen = parser.parse_args()
    sys.exit(main(chosen.rows, chosen.engine))
