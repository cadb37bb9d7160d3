"""`dispatcher adr`: decision records, from the first draft to the start of the clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.adr_lint import lint_records, simulate_record
from dispatcher.cli.adr_new import new_record, print_schema
from dispatcher.cli.adr_pin import pin_baselines

if TYPE_CHECKING:
    from dispatcher.adr.document import Record
    from dispatcher.errors import InvalidRecord
    from dispatcher.verdict.register import Registering

ORIGINS = ("production", "import", "simulated")
"""Origins that a verdict may read; single runs of a spike and shadow rows prove nothing."""


@click.group()
def adr() -> None:
    """Write decision records, say what is wrong with them, measure their baselines and start their clock."""


adr.add_command(lint_records)
adr.add_command(simulate_record)
adr.add_command(pin_baselines)
adr.add_command(new_record)
adr.add_command(print_schema)


@adr.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def list_records(*, as_json: bool) -> int:
    """List the decision records with their criteria.

    Exits 2 where a record can't be read; the others are listed all the same.
    """
    from dispatcher.adr.reader import read_records
    from dispatcher.settings import load_settings

    records, unreadable = read_records(load_settings().adrs_dir)
    if as_json:
        document = {
            "records": [record_document(record) for record in records],
            "unreadable": [{"file": error.subject, "problems": list(error.problems)} for error in unreadable],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print_records(records, unreadable)
    return 2 if unreadable else 0


@adr.command("register")
@click.argument("record")
@click.option(
    "--origin",
    type=click.Choice(ORIGINS),
    default="production",
    show_default=True,
    help="Rows of which origin are evidence.",
)
@click.option(
    "--again", is_flag=True, help="Start anew although nothing has changed, where the evidence so far can't be used."
)
@click.option("--dry-run", is_flag=True, help="Check the record and say what would be registered; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the registration as JSON.")
def register_record(record: str, origin: str, *, again: bool, dry_run: bool, as_json: bool) -> None:
    """Start the clock of RECORD (such as KD-0650): from now on, never earlier, its rows are evidence.

    A record that nothing has changed of since it was registered stays as it is. A changed one, or a changed candidate,
    starts again in the next epoch, whose part of alpha is smaller; so does every one with --again.
    """
    import datetime as dt

    from dispatcher.adr.reader import find_record
    from dispatcher.audit.record import Origin
    from dispatcher.cli.adr_rooms import candidate_of
    from dispatcher.routing.policy import Policies
    from dispatcher.settings import load_settings
    from dispatcher.verdict.register import plan, register
    from dispatcher.wiring.doors import open_database, read_database

    settings = load_settings()
    found = find_record(settings.adrs_dir, record)
    candidate = candidate_of(found, settings, Policies.load(settings.policies_dir))
    engine = (read_database if dry_run else open_database)(settings)
    try:
        started = plan if dry_run else register
        done = started(found, candidate, Origin(origin), dt.datetime.now(dt.UTC), engine, again=again)
    finally:
        engine.dispose()
    if as_json:
        click.echo(json.dumps(registration_document(done, dry_run=dry_run), indent=2, ensure_ascii=False))
    else:
        click.echo(registration_text(done, dry_run=dry_run))


def record_document(record: Record) -> dict[str, Any]:
    """A record as JSON holds it; limits as exact decimal strings, null where the control sets them."""
    block = record.acceptance
    return {
        "id": record.id,
        "title": record.title,
        "status": record.status,
        "date": record.date.isoformat(),
        "deciders": list(record.deciders),
        "supersedes": list(record.supersedes),
        "superseded_by": record.superseded_by,
        "file": record.path.name,
        "block_hash": record.block_hash,
        "criteria": [
            {
                "id": criterion.id,
                "severity": criterion.severity,
                "says": criterion.says,
                "measure": criterion.measure,
                "aggregate": criterion.aggregate,
                "limit": None if criterion.limit is None else f"{criterion.limit:f}",
            }
            for criterion in (block.criteria if block else ())
        ],
    }


def registration_document(done: Registering, *, dry_run: bool) -> dict[str, Any]:
    """A registration as JSON holds it."""
    registration = done.registration
    return {
        "record": registration.record,
        "origin": registration.origin,
        "epoch": registration.epoch,
        "start": registration.start.isoformat(),
        "candidate_hash": registration.candidate_hash,
        "record_hash": registration.record_hash,
        "is_new": done.is_new,
        "dry_run": dry_run,
    }


def registration_text(done: Registering, *, dry_run: bool) -> str:
    """A registration for a person to read."""
    registration = done.registration
    subject = f"{registration.record} for {registration.origin} rows"
    since = f"from {registration.start.isoformat(timespec='seconds')}, epoch {registration.epoch}"
    if not done.is_new:
        return f"{subject}: registered {since}; nothing has changed, nothing to do"
    if dry_run:
        return f"{subject}: would be registered {since}; nothing was written"
    return f"{subject}: registered {since}; only rows from now on are evidence"


def _print_records(records: list[Record], unreadable: list[InvalidRecord]) -> None:
    from rich import box
    from rich.table import Table

    from dispatcher.cli.telemetry import page

    table = Table("record", "date", "status", "criteria", "title", box=box.SIMPLE)
    for record in records:
        criteria = ", ".join(item.id for item in record.acceptance.criteria) if record.acceptance else "none"
        table.add_row(record.id, record.date.isoformat(), record.status, criteria, record.title)
    page().print(table)
    for error in unreadable:
        click.echo(f"error: {error}", err=True)
