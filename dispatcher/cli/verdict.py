"""`dispatcher verdict`: judge decision records from the log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from dispatcher.cli import exit_code_of
from dispatcher.cli.adr import ORIGINS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import SecretStr
    from sqlalchemy import Engine

    from dispatcher.cli.verdict_acts import Wanted
    from dispatcher.errors import DispatcherError, InvalidRecord, InvalidSettings
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
    from dispatcher.audit.record import Origin
    from dispatcher.cli.verdict_acts import follow_up, told_of_failure
    from dispatcher.cli.verdict_choice import chosen_records
    from dispatcher.settings import load_settings

    wanted = _wanted(act=act, append=append, reports=reports, notify=notify)
    _refuse_contradictions(candidate, against_itself, verify, as_of, wanted)
    moment = _moment(as_of)
    settings = load_settings()
    if verify is not None:
        return _verified(verify, settings)
    reach = _reach(settings, candidate, shows=candidate is not None or against_itself)
    with told_of_failure(wanted.webhook), _database(settings, appends=append) as engine:
        chosen, unreadable = chosen_records(settings.adrs_dir, records)
        verdicts = [reach(record, Origin(origin), moment, engine) for record in chosen]
        # Before anything is printed: no rollback may wait for whoever reads that, or for room on its disk.
        failed = follow_up(settings, engine, verdicts, wanted)
    click.echo(_printed(verdicts, as_json=as_json))
    return _exit_code(failed, unreadable, verdicts if gate else None)


def _moment(as_of: str | None) -> dt.datetime:
    import datetime as dt

    from dispatcher.cli.verdict_choice import moment_of

    return moment_of(as_of, dt.datetime.now(dt.UTC))


def _exit_code(
    failed: Sequence[DispatcherError], unreadable: Sequence[InvalidRecord], gating: Sequence[Verdict] | None
) -> int:
    """What went wrong, what can't be read, which is said here, and where the verdicts gate, they too."""
    for error in unreadable:
        click.echo(f"error: {error}", err=True)
    codes = [exit_code_of(error) for error in failed]
    if gating is not None:
        codes += [GATE_CODES[each.outcome] for each in gating] + [UNREADABLE] * len(unreadable)
    return min(codes, key=_PRECEDENCE.index, default=0)


def _wanted(*, act: bool, append: bool, reports: str | None, notify: bool) -> Wanted:
    """Raises InvalidSettings where a message is wanted and its webhook isn't set up, unless a rollback is as well."""
    from pathlib import Path

    from dispatcher.cli.verdict_acts import Wanted
    from dispatcher.errors import InvalidSettings

    webhook = _webhook() if notify else None
    if isinstance(webhook, InvalidSettings) and not act:
        raise webhook
    return Wanted(act=act, append=append, reports=None if reports is None else Path(reports), webhook=webhook)


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


def _refuse_contradictions(
    candidate: str | None,
    against_itself: bool,  # noqa: FBT001 - as the option is
    verify: str | None,
    as_of: str | None,
    wanted: Wanted,
) -> None:
    if wanted.act and as_of is not None:
        raise click.UsageError("--act is about what is true now: leave --as-of out")
    if candidate is not None and against_itself:
        raise click.UsageError("--candidate and --against-itself show two different things: leave one out")
    shows = candidate is not None or against_itself
    if wanted.is_anything and (shows or verify is not None):
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
