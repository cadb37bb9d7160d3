"""`dispatcher logs export`: the log's rows in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dispatcher.cli.progress_bar import progress_bar
from dispatcher.cli.telemetry import ORIGINS, number

if TYPE_CHECKING:
    import datetime as dt

    from dispatcher.telemetry.exporter import ExportOrder, ExportReport

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(("csv", "parquet")), default="csv", show_default=True)
@click.option("--origin", type=click.Choice(ORIGINS), help="Rows of one origin only.")
@click.option("--since", type=_DAY, metavar="DAY", help="Rows that began on this day (UTC) or later.")
@click.option(
    "--until", type=_DAY, metavar="DAY", help="Rows that began before this day (UTC); by default, before now."
)
@click.option(
    "--rows-per-part", default=100_000, show_default=True, type=click.IntRange(1), help="How many rows a file has."
)
@click.option("--dry-run", is_flag=True, help="Say how many rows would be written; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def export(
    directory: Path,
    form: str,
    origin: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    rows_per_part: int,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Export the rows that have ended into files in DIRECTORY, counted and added up against the log.

    An export that was interrupted goes on where it ended when it is run again.
    """
    import datetime as dt
    import json
    from dataclasses import asdict

    from dispatcher.settings import load_settings
    from dispatcher.telemetry import exporter
    from dispatcher.wiring.doors import read_database

    order = _order(form, origin, (since, until), rows_per_part)
    now = dt.datetime.now(dt.UTC)
    engine = read_database(load_settings())
    try:
        if dry_run:
            rows = exporter.count(engine, order, now=now)
            click.echo(json.dumps({"dry_run": True, "rows": rows}) if as_json else f"{number(rows)} rows to export")
            return
        with progress_bar(f"exporting to {directory.name}") as on_progress:
            report = exporter.export(engine, directory, order, now=now, on_progress=on_progress)
    finally:
        engine.dispose()
    click.echo(json.dumps({"dry_run": False, **asdict(report)}, indent=2) if as_json else export_text(report))


def _order(
    form: str, origin: str | None, span: tuple[dt.datetime | None, dt.datetime | None], rows_per_part: int
) -> ExportOrder:
    import datetime as dt

    from dispatcher.audit.record import Origin
    from dispatcher.telemetry.export_parts import Form
    from dispatcher.telemetry.exporter import ExportOrder

    since, until = (None if day is None else day.replace(tzinfo=dt.UTC) for day in span)
    if since is not None and until is not None and since >= until:
        raise click.BadParameter("is not after --since; the last day is excluded", param_hint="--until")
    chosen = None if origin is None else Origin(origin)
    return ExportOrder(form=Form(form), origin=chosen, since=since, until=until, rows_per_part=rows_per_part)


def export_text(report: ExportReport) -> str:
    """An export's report for a person to read."""
    parts = f"{number(report.rows)} rows in {number(report.parts)} files, {number(report.resumed)} of them from before"
    lines = [f"{parts}; counts and sums are those of the log"]
    if report.left:
        lines.append(f"{number(report.left)} rows ended or came in behind it; a new export has them")
    if report.gone:
        lines.append(f"{number(report.gone)} of them are in the log no longer")
    return "\n".join(lines)
