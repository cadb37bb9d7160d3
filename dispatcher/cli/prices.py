"""`dispatcher prices`: whether the money of the log adds up, and what is added where it doesn't."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.progress_bar import progress_bar
from dispatcher.cli.telemetry import ORIGINS, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from dispatcher.audit.record import Origin
    from dispatcher.prices import PriceTable
    from dispatcher.telemetry.reconciling import Reconciliation
    from dispatcher.telemetry.repricing import Repricing, TieOut

_origin = click.option("--origin", type=click.Choice(ORIGINS), help="Rows of one origin only.")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be appended; write nothing.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")


@click.group()
def prices() -> None:
    """Add up the money of the log, price it again, hold it against the platform's figures.

    Rows never change: what comes to light is appended to ai_outbound_adjustments.
    """


@prices.command()
@_origin
@_as_json
def check(origin: str | None, *, as_json: bool) -> int:
    """Check that every row's cost adds up, and that sessions agree with the platform to the cent; writes nothing.

    Exit code 1 where something doesn't.
    """
    import json
    from dataclasses import asdict

    from dispatcher.telemetry.reconciling import reconcile
    from dispatcher.telemetry.repricing import tie_out

    with _log_and_prices(writes=False) as (engine, table), progress_bar("adding up") as on_progress:
        tied = tie_out(engine, table, origin=_chosen(origin), on_progress=on_progress)
        sessions = reconcile(engine, origin=_chosen(origin), dry_run=True)
    if as_json:
        document = {"rows": asdict(tied), "sessions": session_document(sessions, dry_run=True)}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(check_text(tied))
        click.echo(sessions_text(sessions))
    return 1 if tied.untied or sessions.differ else 0


@prices.command()
@_origin
@_dry_run
@_as_json
def reprice(origin: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Append an adjustment to every row whose cost by prices.yml is another one than it has.

    Running it again appends nothing.
    """
    import json
    from dataclasses import asdict

    from dispatcher.telemetry import repricing

    with _log_and_prices(writes=not dry_run) as (engine, table), progress_bar("pricing") as on_progress:
        done = repricing.reprice(engine, table, origin=_chosen(origin), dry_run=dry_run, on_progress=on_progress)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **asdict(done)}, indent=2))
    else:
        click.echo(reprice_text(done, dry_run=dry_run))


@prices.command()
@_origin
@_dry_run
@_as_json
def reconcile(origin: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Adjust sessions that are off by more than a cent to the platform's own list cost.

    Running it again appends nothing.
    """
    import json

    from dispatcher.telemetry import reconciling

    with _log_and_prices(writes=not dry_run) as (engine, _):
        done = reconciling.reconcile(engine, origin=_chosen(origin), dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(session_document(done, dry_run=dry_run), indent=2))
        return
    click.echo(sessions_text(done))
    verb = "would be adjusted" if dry_run else "adjusted"
    click.echo(f"{number(done.rows)} rows {verb}, by {dollars(done.amount_nanousd)} together")


def dollars(nanousd: int) -> str:
    """An amount in US dollars, to the nano-dollar, without a float."""
    from decimal import Decimal

    exact = f"{Decimal(nanousd).scaleb(-9):f}"
    whole, _, fraction = exact.partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2} USD"


def session_document(done: Reconciliation, *, dry_run: bool) -> dict[str, Any]:
    """A reconciliation as JSON holds it."""
    from dataclasses import asdict

    differing = [
        {**asdict(session), "difference_nanousd": session.difference_nanousd, "agreement": session.agreement}
        for session in done.differing
    ]
    return {"dry_run": dry_run, **asdict(done), "differing": differing}


def check_text(tied: TieOut) -> str:
    """A tie-out for a person to read."""
    rows = f"{number(tied.rows)} rows priced by this program, held against prices {tied.price_version}"
    lines = [f"{rows}: {number(tied.tied)} add up, {number(tied.unknown)} have no known cost"]
    for problem, n in tied.untied.items():
        lines.append(f"  {problem}: {number(n)}, such as {', '.join(tied.examples[problem])}")
    return "\n".join(lines)


def reprice_text(done: Repricing, *, dry_run: bool) -> str:
    """A repricing for a person to read."""
    verb = "would be adjusted" if dry_run else "adjusted"
    rows = f"{number(done.rows)} rows by prices {done.price_version}: {number(done.unchanged)} as they were"
    lines = [f"{rows}, {number(done.adjusted)} {verb}, by {dollars(done.amount_nanousd)} together"]
    if done.unpriced:
        lines.append("no cost: " + ", ".join(f"{reason} {number(n)}" for reason, n in done.unpriced.items()))
    return "\n".join(lines)


def sessions_text(done: Reconciliation) -> str:
    """How the sessions stand, for a person to read."""
    agree = f"{number(done.agree)} within a cent of the platform's list cost, {number(done.differ)} beyond it"
    others = f"{number(done.open)} still open, {number(done.unknown)} without both figures"
    lines = [f"{number(done.sessions)} managed sessions: {agree}, {others}"]
    for session in done.differing:
        ours, theirs = dollars(session.cost_nanousd), dollars(session.list_cost_nanousd)
        lines.append(f"  {session.session_id}: {ours} by us, {theirs} by the platform")
    if done.differ > len(done.differing):
        lines.append(f"  and {number(done.differ - len(done.differing))} more")
    return "\n".join(lines)


def _chosen(origin: str | None) -> Origin | None:
    from dispatcher.audit.record import Origin

    return None if origin is None else Origin(origin)


@contextmanager
def _log_and_prices(*, writes: bool) -> Iterator[tuple[Engine, PriceTable]]:
    from dispatcher.prices import PriceTable
    from dispatcher.settings import load_settings
    from dispatcher.wiring.doors import open_database, read_database

    settings = load_settings()
    table = PriceTable.load(settings.policies_dir / "prices.yml")
    engine = open_database(settings) if writes else read_database(settings)
    try:
        yield engine, table
    finally:
        engine.dispose()
