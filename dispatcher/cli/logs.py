"""`dispatcher logs`: bring rows into the log and out of it, summarise it, put away what its attempts left behind."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.log_export import export
from dispatcher.cli.log_retention import retention
from dispatcher.cli.log_spool import drain, status
from dispatcher.cli.log_sweep import sweep
from dispatcher.cli.progress_bar import progress_bar
from dispatcher.cli.telemetry import ORIGINS, number, page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dispatcher.settings import Settings
    from dispatcher.telemetry.import_map import ImportMap
    from dispatcher.telemetry.importer import ImportReport
    from dispatcher.telemetry.lines import Lines
    from dispatcher.telemetry.summary import SummaryRow


@click.group()
def logs() -> None:
    """Import and export rows, summarise the log, and put away what its attempts left behind."""


@logs.command("import")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--map", "map_file", type=click.Path(path_type=Path), help="YAML column map; see examples/imports.")
@click.option("--source", metavar="NAME", help="A table of policies/sources.yml instead of a file.")
@click.option("--dry-run", is_flag=True, help="Read everything and say what would be added; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_rows(file: Path | None, map_file: Path | None, source: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Import FILE (.csv, .csv.gz or .parquet) into the log by a column map, all of it or nothing; or another
    application's table, which is only read.

    The rows have origin `import`. What isn't mapped stays unknown. Importing the same again adds nothing.
    """
    import json

    from dispatcher.settings import load_settings
    from dispatcher.telemetry.importer import import_lines
    from dispatcher.wiring.doors import database_to_import

    settings = load_settings()
    with (
        _to_import(file, map_file, source, settings) as (subject, column_map, lines),
        database_to_import(settings, dry_run=dry_run) as engine,
        progress_bar(f"importing {subject}") as on_progress,
    ):
        report = import_lines(engine, column_map, lines, subject, dry_run=dry_run, on_progress=on_progress)
    if as_json:
        click.echo(json.dumps(import_document(report, subject, dry_run=dry_run), indent=2, ensure_ascii=False))
    else:
        click.echo(import_text(report, subject, dry_run=dry_run))


@contextmanager
def _to_import(
    file: Path | None, map_file: Path | None, source: str | None, settings: Settings
) -> Iterator[tuple[str, ImportMap, Lines]]:
    from dispatcher.cli.adr_rooms import url_of
    from dispatcher.errors import InvalidImport
    from dispatcher.telemetry.import_map import read_map
    from dispatcher.telemetry.importer import open_lines
    from dispatcher.telemetry.table_lines import open_table
    from dispatcher.verdict.pinning.sources import read_sources

    if source is None:
        if file is None or map_file is None:
            raise click.UsageError("name a FILE and its --map, or a --source")
        column_map = read_map(map_file)
        with open_lines(file, column_map.needed) as lines:
            yield str(file), column_map, lines
        return
    if file is not None or map_file is not None:
        raise click.UsageError("--source is mapped by policies/sources.yml: leave FILE and --map out")
    known = read_sources(settings.policies_dir)
    if source not in known:
        raise InvalidImport(f"source {source}", [f"isn't in sources.yml, which has {', '.join(known) or 'none'}"])
    url = url_of(known[source], settings)
    if url == settings.database_url.get_secret_value():
        raise InvalidImport(f"source {source}", ["is in the log's own database"])
    with open_table(source, known[source], url) as (column_map, rows):
        yield f"source {source}", column_map, rows


logs.add_command(drain)
logs.add_command(export)
logs.add_command(retention)
logs.add_command(status)
logs.add_command(sweep)


@logs.command("summary")
@click.option("--origin", type=click.Choice(ORIGINS), help="Rows of one origin only.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts and their SQL as JSON.")
def summarise(origin: str | None, *, as_json: bool) -> None:
    """Count the rows of the log by origin, status, path and variant."""
    import json

    from dispatcher.audit.reading import reading
    from dispatcher.audit.record import Origin
    from dispatcher.settings import load_settings
    from dispatcher.telemetry.distribution import sql_text
    from dispatcher.telemetry.summary import summary, summary_statement
    from dispatcher.wiring.doors import read_database

    chosen = None if origin is None else Origin(origin)
    engine = read_database(load_settings())
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


def import_document(report: ImportReport, subject: str, *, dry_run: bool) -> dict[str, Any]:
    """An import's report as JSON holds it."""
    return {
        "file": subject,
        "source": report.source,
        "dry_run": dry_run,
        "lines": report.lines,
        "added": report.added,
        "repeated": report.repeated,
        "statuses": dict(report.statuses),
        "unknown": dict(report.unknown),
    }


def import_text(report: ImportReport, subject: str, *, dry_run: bool) -> str:
    """An import's report for a person to read."""
    added = "would be added" if dry_run else "added"
    counts = f"{number(report.lines)} lines, {number(report.added)} rows {added}"
    lines = [f"{Path(subject).name} as {report.source}: {counts}, {number(report.repeated)} were there already"]
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
