"""`dispatcher logs sweep`: rows that nobody will end any more, and sessions that nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.progress_bar import progress_bar
from dispatcher.cli.telemetry import number, page

if TYPE_CHECKING:
    from dispatcher.dispatch.sweep_report import CostsReport, RowsReport
    from dispatcher.paths.managed.sweep import SweepReport

_MOST_SHOWN = 50


@click.command("sweep")
@click.option(
    "--days", default=30, show_default=True, type=click.IntRange(1, 3_650), help="Look at sessions of the last days."
)
@click.option("--dry-run", is_flag=True, help="Say what would be given up, stopped and archived; touch nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def sweep(days: int, *, dry_run: bool, as_json: bool) -> None:
    """Give up the rows whose processes are gone, and put away the managed sessions that nobody needs any more.

    A row becomes `lost`, with the usage and cost that its session still tells. Left alone are attempts under way, and
    for DISPATCHER_SWEEP_PATIENCE_S what can't be seen from here: processes of other hosts and containers, and sessions
    of a provider that can't be asked. Of the sessions those are left that a conversation may still go on in, and every
    one whose row isn't in this log. A row that ended before its session was at rest, and so without a cost, gets it as
    an adjustment.
    """
    import asyncio
    import datetime as dt
    import json

    from dispatcher.errors import DispatcherError
    from dispatcher.settings import load_settings
    from dispatcher.wiring.upkeep import complete_costs, sweep_rows, sweep_sessions

    settings, now = load_settings(), dt.datetime.now(dt.UTC)
    with progress_bar("sweeping the log") as on_progress:
        rows = asyncio.run(sweep_rows(settings, dry_run=dry_run, on_progress=on_progress))
    since, failure, sessions = now - dt.timedelta(days=days), None, None
    try:
        sessions = asyncio.run(sweep_sessions(settings, since=since, now=now, dry_run=dry_run))
    except DispatcherError as error:
        # What was done with the rows is told all the same.
        failure = error
    costs = asyncio.run(complete_costs(settings, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps(sweep_document(rows, sessions, costs, dry_run=dry_run), indent=2))
    else:
        _print_rows(rows, dry_run=dry_run)
        if sessions is not None:
            click.echo(sessions_text(sessions, dry_run=dry_run))
        if costs is not None:
            click.echo(costs_text(costs, dry_run=dry_run))
    if failure is not None:
        raise failure


def sweep_document(
    rows: RowsReport, sessions: SweepReport | None, costs: CostsReport | None, *, dry_run: bool
) -> dict[str, Any]:
    """A sweep's report as JSON holds it; `sessions` and `costs` are null where the provider couldn't be asked."""
    from dataclasses import asdict

    return {
        "dry_run": dry_run,
        "rows": asdict(rows),
        "sessions": None if sessions is None else asdict(sessions),
        "costs": None if costs is None else asdict(costs),
    }


def sessions_text(report: SweepReport, *, dry_run: bool) -> str:
    """What became of the sessions, for a person to read."""
    verb = "would be" if dry_run else "were"
    return (
        f"{len(report.looked_at)} sessions looked at: {len(report.stopped)} {verb} stopped and archived, "
        f"{len(report.archived)} {verb} archived, {len(report.left)} left alone, {len(report.failed)} failed"
    )


def costs_text(report: CostsReport, *, dry_run: bool) -> str:
    """What became of the rows without a cost, for a person to read."""
    verb = "would get their cost" if dry_run else "got their cost"
    lines = [f"{number(len(report.completed))} ended rows {verb} from their sessions"]
    lines += [f"{number(n)} left without: {reason.replace('_', ' ')}" for reason, n in report.left.items()]
    return "; ".join(lines)


def rows_text(report: RowsReport, *, dry_run: bool) -> str:
    """What became of the rows, for a person to read."""
    verb = "would be given up" if dry_run else "were given up"
    lines = [f"{number(len(report.given_up))} rows {verb} for lost"]
    lines += [f"{number(n)} left open: {reason.replace('_', ' ')}" for reason, n in report.left.items()]
    return "; ".join(lines)


def _print_rows(report: RowsReport, *, dry_run: bool) -> None:
    from rich import box
    from rich.table import Table

    if report.given_up:
        table = Table("row", "tenant", "variant", "owner", "overdue", "usage", box=box.SIMPLE)
        for row in report.given_up[:_MOST_SHOWN]:
            usage = row.usage_unavailable_reason or row.usage_quality or "not looked at"
            owner = f"{(row.owner or 'none').partition('/')[0]}, {row.life}"
            table.add_row(row.log_id, row.tenant, row.variant, owner, f"{number(row.overdue_s)} s", usage)
        page().print(table)
        if len(report.given_up) > _MOST_SHOWN:
            click.echo(f"and {number(len(report.given_up) - _MOST_SHOWN)} more; --json has all")
    click.echo(rows_text(report, dry_run=dry_run))
