"""`dispatcher verdict`: judge decision records from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dispatcher.cli.adr import ORIGINS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import SecretStr

    from dispatcher.adr.document import Record
    from dispatcher.errors import InvalidRecord
    from dispatcher.settings import Settings
    from dispatcher.verdict.judge import Verdict

UNREADABLE = 2
GATE_CODES = {"SHIP": 0, "ROLLBACK": 1, "HOLD": 3, "INVALID": 4}
_PRECEDENCE = (UNREADABLE, 4, 1, 3, 0)


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
    several the first of 5, 2, 4, 1, 3, 0. Without it 0 whenever a report was written.
    """
    import datetime as dt

    from dispatcher.audit.record import Origin
    from dispatcher.cli.verdict_replay import shower
    from dispatcher.settings import load_settings
    from dispatcher.verdict.history import store
    from dispatcher.verdict.prose import as_text
    from dispatcher.verdict.reach import reach_verdict
    from dispatcher.verdict.report import as_json as as_canonical_json
    from dispatcher.wiring.doors import open_database

    if act and as_of is not None:
        raise click.UsageError("--act is about what is true now: leave --as-of out")
    shows = candidate is not None or against_itself
    _refuse_contradictions(candidate, against_itself, verify, acts=append or notify or act or reports is not None)
    moment = _moment(as_of, dt.datetime.now(dt.UTC))
    settings = load_settings()
    if verify is not None:
        return _verified(verify, settings)
    reach = shower(settings, candidate) if shows else reach_verdict
    webhook = _webhook() if notify else None
    engine = open_database(settings)
    try:
        chosen, unreadable = _chosen(settings.adrs_dir, records)
        verdicts = [reach(record, Origin(origin), moment, engine) for record in chosen]
        for each in verdicts if append else ():
            store(engine, each)
    finally:
        engine.dispose()
    click.echo(as_canonical_json(verdicts) if as_json else "\n\n".join(map(as_text, verdicts)).rstrip())
    for error in unreadable:
        click.echo(f"error: {error}", err=True)
    done = _follow_up(settings, verdicts, reports=reports, act=act)
    if webhook is not None:
        _notify(webhook, verdicts, done)
    codes = [GATE_CODES[each.outcome] for each in verdicts] + [UNREADABLE] * len(unreadable)
    return min(codes, key=_PRECEDENCE.index) if gate else 0


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
    from dispatcher.wiring.doors import open_database

    engine = open_database(settings)
    try:
        return verify(Path(path), settings, engine)
    finally:
        engine.dispose()


def _webhook() -> SecretStr:
    """The webhook's URL. Raises InvalidSettings where there is none."""
    from dispatcher.errors import InvalidSettings
    from dispatcher.settings import load_admin_settings

    url = load_admin_settings().webhook_url
    if url is None:
        raise InvalidSettings("--notify", ["needs the URL of a webhook: set DISPATCHER_WEBHOOK_URL"])
    return url


def _follow_up(settings: Settings, verdicts: Sequence[Verdict], *, reports: str | None, act: bool) -> list[str]:
    """Write the reports and roll back; what was done, in sentences, which are printed as well."""
    from pathlib import Path

    from dispatcher.cli.verdict_acts import roll_back
    from dispatcher.verdict.filing import file_reports

    done = [f"report: {page}" for page in file_reports(Path(reports), verdicts)] if reports is not None else []
    if act and (acted := roll_back(settings, verdicts)):
        done.append(acted)
    for sentence in done:
        click.echo(sentence, err=True)
    return done


def _notify(webhook: SecretStr, verdicts: Sequence[Verdict], done: Sequence[str]) -> None:
    from dispatcher.cli.verdict_acts import post_notice
    from dispatcher.verdict.notice import as_notice

    problem = post_notice(webhook, as_notice(verdicts, done))
    # The verdicts stand, whether or not anybody was told.
    if problem is not None:
        click.echo(f"warning: {problem}; the verdicts are as printed", err=True)


def _moment(text: str | None, now: dt.datetime) -> dt.datetime:
    """The moment of the verdict, in UTC. Raises click.BadParameter for one without a zone, or in the future."""
    import datetime as dt

    if text is None:
        return now
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a moment; write 2026-06-15T08:00:00Z", param_hint="--as-of"
        ) from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no time zone; write 2026-06-15T08:00:00Z", param_hint="--as-of")
    if moment > now:
        raise click.BadParameter(f"{text} lies in the future, of which there are no rows", param_hint="--as-of")
    return moment


def _chosen(directory: Path, names: Sequence[str]) -> tuple[list[Record], list[InvalidRecord]]:
    """The records to judge, and what can't be read. Raises InvalidRecord where there is nothing to judge."""
    from dispatcher.adr.reader import read_records
    from dispatcher.errors import InvalidRecord

    if names:
        return _named(directory, names)
    records, unreadable = read_records(directory)
    judged = [record for record in records if record.status.is_open and record.acceptance is not None]
    if judged:
        return judged, unreadable
    if unreadable:
        raise InvalidRecord(str(directory), [str(error) for error in unreadable])
    raise InvalidRecord(
        str(directory), ["holds no open record with criteria; name a record, or set DISPATCHER_ADRS_DIR"]
    )


def _named(directory: Path, names: Sequence[str]) -> tuple[list[Record], list[InvalidRecord]]:
    """The named records, and what of them can't be judged. Raises InvalidRecord where that is all of them."""
    from dispatcher.errors import InvalidRecord

    chosen, unreadable = [], []
    for name in dict.fromkeys(names):
        try:
            chosen.append(_judged(directory, name))
        except InvalidRecord as error:
            unreadable.append(error)
    if not chosen:
        raise unreadable[0] if len(unreadable) == 1 else InvalidRecord("records", [str(error) for error in unreadable])
    return chosen, unreadable


def _judged(directory: Path, name: str) -> Record:
    from dispatcher.adr.reader import find_record
    from dispatcher.errors import InvalidRecord

    record = find_record(directory, name)
    if record.acceptance is None:
        raise InvalidRecord(record.id, ["says `acceptance: none`: there is nothing to judge"])
    return record
