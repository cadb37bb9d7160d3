"""`dispatcher logs status` and `dispatcher logs drain`: what waits on this host for the database, and its way there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.progress_bar import progress_bar
from dispatcher.cli.telemetry import number

if TYPE_CHECKING:
    from dispatcher.audit.log_status import LogStatus
    from dispatcher.audit.spool_drain import Drained
    from dispatcher.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def status(*, as_json: bool) -> None:
    """Say how the log stands: the database, its rows, the spool of this host, what was set aside, and gaps.

    Changes nothing, and needs no database that answers.
    """
    import json

    from dispatcher.audit.log_status import log_status
    from dispatcher.settings import load_settings
    from dispatcher.wiring.doors import log_spool

    settings = load_settings()
    spool = log_spool(settings)
    try:
        found = log_status(settings.database_url.get_secret_value(), spool)
    finally:
        spool.shutdown()
    if as_json:
        click.echo(json.dumps(status_document(found, settings), indent=2, ensure_ascii=False))
    else:
        click.echo(status_text(found, settings))


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what waits; move nothing.")
@click.option("--quarantined", is_flag=True, help="Try again what was set aside, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def drain(*, dry_run: bool, quarantined: bool, as_json: bool) -> int:
    """Write what waits in the spool of this host to the database, now.

    Processes that serve do so by themselves. An entry is deleted only when all of it is committed; one that the
    database will never take is set aside with the reason. Exit code 1 where it was stopped before all was done.
    """
    import json
    from dataclasses import asdict

    from dispatcher.audit.spool_drain import Drain
    from dispatcher.settings import load_settings
    from dispatcher.wiring.doors import log_spool, open_database

    settings = load_settings()
    spool = log_spool(settings)
    before = spool.status()
    waiting = before.waiting + (before.quarantined if quarantined else 0)
    if dry_run:
        gaps = len(spool.gaps())
        document = {"dry_run": True, "waiting": waiting, "gaps": gaps}
        click.echo(json.dumps(document) if as_json else f"{number(waiting)} attempts and {number(gaps)} gaps wait")
        return 0
    engine = open_database(settings)
    drainer = Drain(spool, engine)
    try:
        if quarantined:
            spool.retry_quarantined()
        with progress_bar("draining the spool") as on_progress:
            for done in drainer.batches():
                on_progress(1 - done.left / max(waiting, done.left, 1))
    finally:
        drainer.shutdown()
        engine.dispose()
        spool.shutdown()
    click.echo(json.dumps({"dry_run": False, **asdict(done)}, indent=2) if as_json else drain_text(done))
    return 0 if done.stopped is None else 1


def status_document(found: LogStatus, settings: Settings) -> dict[str, Any]:
    """The status as JSON holds it."""
    spool, database = found.spool, found.database
    return {
        "database": {"name": database.database, "reachable": database.problem is None, "problem": database.problem},
        "rows": dict(database.rows),
        "spool": {
            "directory": str(settings.log_spool_dir),
            "waiting": spool.waiting,
            "oldest": None if spool.oldest is None else spool.oldest.isoformat(),
            "bytes": spool.bytes,
            "refused": spool.refused,
            "quarantined": [
                {
                    "log_id": one.log_id,
                    "reason": one.reason,
                    "since": one.since.isoformat(),
                    "quarantined_at": one.quarantined_at.isoformat(),
                }
                for one in found.quarantined
            ],
        },
        "gaps": {
            "recorded": database.gaps,
            "dispatches": database.dispatches_in_gaps,
            "waiting": [
                {
                    "feature": gap.feature,
                    "origin": gap.origin,
                    "began_at": gap.began_at.isoformat(),
                    "ended_at": gap.ended_at.isoformat(),
                    "dispatches": gap.dispatches,
                    "reason": gap.reason,
                }
                for gap in found.gaps
            ],
        },
    }


def status_text(found: LogStatus, settings: Settings) -> str:
    """The status for a person to read."""
    spool, database = found.spool, found.database
    rows = ", ".join(f"{status} {number(count)}" for status, count in database.rows.items()) or "none"
    lines = [f"{database.database}: " + (f"rows: {rows}" if database.problem is None else database.problem)]
    oldest = "" if spool.oldest is None else f", the oldest since {spool.oldest.isoformat(timespec='seconds')}"
    lines.append(
        f"the spool {settings.log_spool_dir}: {number(spool.waiting)} wait{oldest}; {number(spool.bytes)} bytes"
    )
    if spool.refused:
        lines.append(f"{number(spool.refused)} attempts were refused because it was full")
    lines += [f"set aside: row {one.log_id}: {one.reason}" for one in found.quarantined]
    if database.gaps:
        lines.append(f"{number(database.gaps)} gaps: {number(database.dispatches_in_gaps)} dispatches have no row")
    lines += [
        f"a gap that the database doesn't know of yet: {number(gap.dispatches)} {gap.origin} dispatches of "
        f"{gap.feature} from {gap.began_at.isoformat(timespec='seconds')} have no row: {gap.reason}"
        for gap in found.gaps
    ]
    return "\n".join(lines)


def drain_text(done: Drained) -> str:
    """What a round of draining did, for a person to read."""
    lines = [f"{number(done.landed)} attempts and {number(done.gaps)} gaps are in the database"]
    if done.quarantined:
        lines.append(f"{number(done.quarantined)} were set aside; `dispatcher logs status` says why")
    if done.stopped is not None:
        lines.append(f"{number(done.left)} still wait: {done.stopped}")
    return "\n".join(lines)
