"""`dispatcher logs retention`: delete what is kept no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.progress_bar import progress_bar
from dispatcher.cli.telemetry import number

if TYPE_CHECKING:
    import datetime as dt

    from dispatcher.audit.retention import RetentionReport


@click.command("retention")
@click.option(
    "--older-than", metavar="DURATION", help="Delete rows older than this, such as 400d, whatever the policy says."
)
@click.option("--force", is_flag=True, help="Delete them even where a registered record's evidence needs them.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def retention(older_than: str | None, *, force: bool, dry_run: bool, as_json: bool) -> None:
    """Delete the kept content that has expired, and rows of the log that are older than the policy keeps them.

    The policy says so by `log.keep_rows`; without it, and without --older-than, rows are kept for good. A conversation
    is deleted whole or not at all. With DISPATCHER_ADMIN_DATABASE_URL set, it is that role which deletes.
    """
    import json

    from dispatcher.errors import StillNeeded
    from dispatcher.settings import load_admin_settings, load_settings
    from dispatcher.wiring.upkeep import apply_retention

    span = None if older_than is None else _duration(older_than)
    settings = load_settings(database_url=load_admin_settings().admin_database_url)
    with progress_bar("deleting") as on_progress:
        report = apply_retention(settings, older_than=span, force=force, dry_run=dry_run, on_progress=on_progress)
    if as_json:
        click.echo(json.dumps(retention_document(report, dry_run=dry_run), indent=2))
    else:
        click.echo(retention_text(report, dry_run=dry_run))
    if report.needed:
        raise StillNeeded(needed_text(report))


def retention_document(report: RetentionReport, *, dry_run: bool) -> dict[str, Any]:
    """A report of what was deleted as JSON holds it."""
    return {
        "dry_run": dry_run,
        "content": dict(report.content),
        "before": None if report.before is None else report.before.isoformat(),
        "rows": report.rows,
        "needed": [
            {
                "record": one.evidence.record,
                "origin": one.evidence.origin,
                "since": one.evidence.since.isoformat(),
                "until": None if one.evidence.until is None else one.evidence.until.isoformat(),
                "rows": one.rows,
            }
            for one in report.needed
        ],
    }


def retention_text(report: RetentionReport, *, dry_run: bool) -> str:
    """A report of what was deleted for a person to read."""
    verb = "would be deleted" if dry_run else "deleted"
    lines = [f"{number(n)} expired rows of {table} {verb}" for table, n in report.content.items()]
    if report.before is None:
        lines.append("rows of the log are kept for good: the policy states no log.keep_rows")
    else:
        moment = f"{report.before:%Y-%m-%d %H:%M} UTC"
        lines.append(
            f"{number(report.rows)} rows of the log from before {moment} {verb}, with all that belongs to them"
        )
    return "\n".join(lines)


def needed_text(report: RetentionReport) -> str:
    """Why no row was deleted, or no further one."""
    left = "no row of the log was deleted" if report.rows == 0 else "the other rows of the log were left"
    reasons = [
        f"{number(one.rows)} of them since {one.evidence.since:%Y-%m-%d} are evidence of {one.evidence.record}"
        + ("" if one.evidence.origin is None else f" ({one.evidence.origin})")
        for one in report.needed
    ]
    return f"{left}: {'; '.join(reasons)}; keep rows for longer, close the record, or use --force"


def _duration(text: str) -> dt.timedelta:
    from pydantic import TypeAdapter, ValidationError

    from dispatcher.action.policy import SHORTEST_KEEPING
    from dispatcher.document.notation import Duration

    try:
        span: dt.timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise click.BadParameter(
            error.errors()[0]["msg"].removeprefix("Value error, "), param_hint="--older-than"
        ) from None
    if span < SHORTEST_KEEPING:
        shortest = f"{SHORTEST_KEEPING.days}d"
        raise click.BadParameter(
            f"{text} is too short: a month's budget is the sum over its rows, so {shortest} at least",
            param_hint="--older-than",
        )
    return span
