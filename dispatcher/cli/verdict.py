"""`dispatcher verdict`: judge decision records from the log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from dispatcher.cli import exit_code_of
from dispatcher.cli.adr import ORIGINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import SecretStr
    from sqlalchemy import Engine

    from dispatcher.errors import InvalidSettings
    from dispatcher.settings import Settings
    from dispatcher.verdict.judgement.judge import Verdict

UNREADABLE = 2
GATE_CODES = {"SHIP": 0, "ROLLBACK": 1, "HOLD": 3, "INVALID": 4}
_PRECEDENCE = (5, UNREADABLE, 4, 1, 3, 0)


@click.command()
@click.argument("records", nargs=-1, metavar="[RECORD]...")
@click.option(
    "--origin", type=click.Choice(ORIGINS), default="production", show_default=True, help="Where the rows come from."
)
@click.option("--as-of", metavar="T", help="Judge as of this moment, with a time zone; now by default.")
@click.option("--gate", is_flag=True, help="Exit by the verdict.")
@click.option(
    "--reports",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Also write each verdict to this directory, as Markdown, JSON and a page to look at.",
)
@click.option("--notify", is_flag=True, help="Also send a message to the webhook of DISPATCHER_WEBHOOK_URL.")
@click.option(
    "--act", is_flag=True, help="At a ROLLBACK turn the flag off for everybody, where the record says flip_off."
)
@click.option("--append", is_flag=True, help="Also append each verdict to the table `verdicts`.")
@click.option(
    "--candidate", metavar="VARIANT", help="Show another registered variant by the same criteria; for display."
)
@click.option("--against-itself", is_flag=True, help="Show the control, split in two by a hash (A/A); for display.")
@click.option(
    "--verify",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Reach the verdicts of a JSON file again and say what differs; exits 0 where nothing does, else 4.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print canonical JSON: one object, or a list for several records."
)
def verdict(  # noqa: PLR0913 - one for each option
    records: tuple[str, ...],
    origin: str,
    as_of: str | None,
    reports: str | None,
    candidate: str | None,
    verify: str | None,
    *,
    gate: bool,
    notify: bool,
    act: bool,
    append: bool,
    against_itself: bool,
    as_json: bool,
) -> int:
    """Judge decision records from the log; without RECORD, all open ones that have criteria.

    With --gate: 0 SHIP, 1 ROLLBACK, 2 bad usage or an unreadable record, 3 HOLD, 4 INVALID, 5 database unreachable; of
    several the first of 5, 2, 4, 1, 3, 0. Without it 0 whenever the verdicts were printed and all else that was asked
    for was done. What fails of --act, --append and --reports keeps nothing else from being done and told.
    """
    import datetime as dt
    from pathlib import Path

    from dispatcher.audit.record import Origin
    from dispatcher.cli.verdict_acts import Wanted, follow_up, told_of_failure
    from dispatcher.cli.verdict_choice import chosen_records, moment_of
    from dispatcher.errors import InvalidSettings
    from dispatcher.settings import load_settings

    if act and as_of is not None:
        raise click.UsageError("--act is about what is true now: leave --as-of out")
    _refuse_contradictions(candidate, against_itself, verify, acts=append or notify or act or reports is not None)
    moment = moment_of(as_of, dt.datetime.now(dt.UTC))
    settings = load_settings()
    if verify is not None:
        return _verified(verify, settings)
    reach = _reach(settings, candidate, shows=candidate is not None or against_itself)
    folder, webhook = None if reports is None else Path(reports), _webhook() if notify else None
    if isinstance(webhook, InvalidSettings) and not act:
        raise webhook
    wanted = Wanted(act=act, append=append, reports=folder, webhook=webhook)
    with told_of_failure(webhook), _database(settings, appends=append) as engine:
        chosen, unreadable = chosen_records(settings.adrs_dir, records)
        verdicts = [reach(record, Origin(origin), moment, engine) for record in chosen]
        click.echo(_printed(verdicts, as_json=as_json))
        for error in unreadable:
            click.echo(f"error: {error}", err=True)
        failed = follow_up(settings, engine, verdicts, wanted)
    codes = [exit_code_of(error) for error in failed]
    if gate:
        codes += [GATE_CODES[each.outcome] for each in verdicts] + [UNREADABLE] * len(unreadable)
    return min(codes, key=_PRECEDENCE.index, default=0)


def _reach(settings: Settings, candidate: str | None, *, shows: bool) -> Callable[..., Verdict]:
    from dispatcher.cli.verdict_replay import shower
    from dispatcher.verdict.reach import reach_verdict

    return shower(settings, candidate) if shows else reach_verdict


@contextmanager
def _database(settings: Settings, *, appends: bool) -> Iterator[Engine]:
    """The log; it is only read unless verdicts are appended. Raises SourceUnreachable."""
    from dispatcher.wiring.doors import open_database, read_database

    engine = open_database(settings) if appends else read_database(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def _printed(verdicts: Sequence[Verdict], *, as_json: bool) -> str:
    from dispatcher.verdict.report.document import as_json as as_canonical_json
    from dispatcher.verdict.report.prose import as_text

    return as_canonical_json(verdicts) if as_json else "\n\n".join(map(as_text, verdicts)).rstrip()


def _refuse_contradictions(candidate: str | None, against_itself: bool, verify: str | None, *, acts: bool) -> None:  # noqa: FBT001
    if candidate is not None and against_itself:
        raise click.UsageError("--candidate and --against-itself show two different things: leave one out")
    shows = candidate is not None or against_itself
    if acts and (shows or verify is not None):
        raise click.UsageError(
            "what is shown or verified decides nothing: leave --append, --reports, --notify, --act out"
        )
    if shows and verify is not None:
        raise click.UsageError(
            "--verify reaches the verdict that the file holds: leave --candidate, --against-itself out"
        )


def _verified(path: str, settings: Settings) -> int:
    from pathlib import Path

    from dispatcher.cli.verdict_replay import verify

    with _database(settings, appends=False) as engine:
        return verify(Path(path), settings, engine)


def _webhook() -> SecretStr | InvalidSettings:
    """The webhook's URL, or why there is none: no rollback may wait for a chat that isn't set up."""
    from dispatcher.errors import InvalidSettings
    from dispatcher.settings import load_admin_settings

    try:
        url = load_admin_settings().webhook_url
    except InvalidSettings as error:
        return error
    return url or InvalidSettings("--notify", ["needs the URL of a webhook: set DISPATCHER_WEBHOOK_URL"])
