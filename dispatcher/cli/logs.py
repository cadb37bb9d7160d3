"""`dispatcher logs`: bring rows into the log, summarise it, and put away what its attempts left behind."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.telemetry import ORIGINS, number, page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dispatcher.telemetry.importer import ImportReport
    from dispatcher.telemetry.summary import SummaryRow


@click.group()
def logs() -> None:
    """Import rows into the log, summarise it, and put away what its attempts left behind."""


@logs.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map", "map_file", required=True, type=click.Path(path_type=Path), help="YAML column map; see examples/imports."
)
@click.option("--dry-run", is_flag=True, help="Read everything and say what would be added; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_rows(file: Path, map_file: Path, *, dry_run: bool, as_json: bool) -> None:
    """Import FILE (.csv, .csv.gz or .parquet) into the log by a column map, all of it or nothing.

    The rows have origin `import`. What isn't mapped stays unknown. Importing the same file again adds nothing.
    """
    import json

    from dispatcher.settings import load_settings
    from dispatcher.telemetry.import_map import read_map
    from dispatcher.telemetry.importer import import_file
    from dispatcher.wiring import open_database

    column_map = read_map(map_file)
    engine = open_database(load_settings())
    try:
        with _progress(file) as on_progress:
            report = import_file(engine, column_map, file, dry_run=dry_run, on_progress=on_progress)
    finally:
        engine.dispose()
    if as_json:
        click.echo(json.dumps(import_document(report, file, dry_run=dry_run), indent=2, ensure_ascii=False))
    else:
        click.echo(import_text(report, file, dry_run=dry_run))


@logs.command("sweep")
@click.option(
    "--days", default=30, show_default=True, type=click.IntRange(1), help="Look at sessions of so many last days."
)
@click.option("--dry-run", is_flag=True, help="Say what would be stopped and archived; touch nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def sweep(days: int, *, dry_run: bool, as_json: bool) -> None:
    """Stop and archive the managed sessions that nobody needs any more.

    Left alone are sessions of attempts under way, sessions that a conversation may still go on in, and every session
    whose row isn't in this log.
    """
    import asyncio
    import datetime as dt
    import json
    from dataclasses import asdict

    from dispatcher.settings import load_settings
    from dispatcher.wiring import sweep_sessions

    now = dt.datetime.now(dt.UTC)
    report = asyncio.run(sweep_sessions(load_settings(), since=now - dt.timedelta(days=days), now=now, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **asdict(report)}, indent=2))
        return
    verb = "would be" if dry_run else "were"
    click.echo(
        f"{len(report.looked_at)} sessions looked at: {len(report.stopped)} {verb} stopped and archived, "
        f"{len(report.archived)} {verb} archived, {len(report.left)} left alone, {len(report.failed)} failed"
    )


@logs.command("summary")
@click.option("--origin", type=click.Choice(ORIGINS), help="Rows of one origin only.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts and their SQL as JSON.")
def summarise(origin: str | None, *, as_json: bool) -> None:
    """Count the rows of the log by origin, status, path and variant."""
    import json

    from dispatcher.audit.record import Origin
    from dispatcher.settings import load_settings
    from dispatcher.telemetry.connection import reading
    from dispatcher.telemetry.distribution import sql_text
    from dispatcher.telemetry.summary import summary, summary_statement
    from dispatcher.wiring import open_database

    chosen = None if origin is None else Origin(origin)
    engine = open_database(load_settings())
    try:
        with reading(engine) as connection:
            rows = summary(connection, chosen)
        sql = sql_text(summary_statement(chosen), engine.dialect)
    finally:
        engine.dispose()
    if as_json:
        document = {"sql": sql, "rows": [summary_document(row) for row in rows]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print_summary(rows)


def import_document(report: ImportReport, file: Path, *, dry_run: bool) -> dict[str, Any]:
    """An import's report as JSON holds it."""
    return {
        "file": str(file),
        "source": report.source,
        "dry_run": dry_run,
        "lines": report.lines,
        "added": report.added,
        "repeated": report.repeated,
        "statuses": dict(report.statuses),
        "unknown": dict(report.unknown),
    }


def import_text(report: ImportReport, file: Path, *, dry_run: bool) -> str:
    """An import's report for a person to read."""
    added = "would be added" if dry_run else "added"
    counts = f"{number(report.lines)} lines, {number(report.added)} rows {added}"
    lines = [f"{file.name} as {report.source}: {counts}, {number(report.repeated)} were there already"]
    if report.statuses:
        lines.append("status: " + ", ".join(f"{status} {number(n)}" for status, n in report.statuses.items()))
    if report.unknown:
        lines.append("unknown in: " + ", ".join(f"{name} {number(n)}" for name, n in report.unknown.items()))
    if dry_run:
        lines.append("nothing was written")
    return "\n".join(lines)


def summary_document(row: SummaryRow) -> dict[str, Any]:
    """A row of the summary as JSON holds it."""
    return {
        "origin": row.origin,
        "status": row.status,
        "path": row.path,
        "variant": row.variant,
        "n": row.n,
        "first": row.first.isoformat(),
        "last": row.last.isoformat(),
    }


def _print_summary(rows: Sequence[SummaryRow]) -> None:
    from rich import box
    from rich.table import Table

    if not rows:
        click.echo("no rows")
        return
    table = Table("origin", "status", "path", "variant", box=box.SIMPLE)
    table.add_column("rows", justify="right")
    table.add_column("first")
    table.add_column("last")
    for row in rows:
        moments = (row.first.isoformat(timespec="seconds"), row.last.isoformat(timespec="seconds"))
        table.add_row(row.origin, row.status, row.path or "unknown", row.variant or "unknown", number(row.n), *moments)
    page().print(table)


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import Progress

    # On standard error, so that what is printed can be piped; nothing is drawn where that isn't a terminal.
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"importing {file.name}", total=1.0)
        yield lambda done: progress.update(task, completed=done)
