"""`dispatcher verdict`: judge decision records from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dispatcher.cli.adr import ORIGINS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from dispatcher.adr.document import Record
    from dispatcher.errors import InvalidRecord

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
    "--json", "as_json", is_flag=True, help="Print canonical JSON: one object, or a list for several records."
)
def verdict(records: tuple[str, ...], origin: str, as_of: str | None, *, gate: bool, as_json: bool) -> int:
    """Judge decision records from the log; without RECORD, all open ones that have criteria.

    With --gate: 0 SHIP, 1 ROLLBACK, 2 bad usage or an unreadable record, 3 HOLD, 4 INVALID, 5 database unreachable; of
    several the first of 5, 2, 4, 1, 3, 0. Without it 0 whenever a report was written.
    """
    import datetime as dt

    from dispatcher.audit.record import Origin
    from dispatcher.settings import load_settings
    from dispatcher.verdict.prose import as_text
    from dispatcher.verdict.reach import reach_verdict
    from dispatcher.verdict.report import as_json as as_canonical_json
    from dispatcher.wiring import open_database

    moment = _moment(as_of, dt.datetime.now(dt.UTC))
    settings = load_settings()
    engine = open_database(settings)
    try:
        chosen, unreadable = _chosen(settings.adrs_dir, records)
        verdicts = [reach_verdict(record, Origin(origin), moment, engine) for record in chosen]
    finally:
        engine.dispose()
    click.echo(as_canonical_json(verdicts) if as_json else "\n\n".join(map(as_text, verdicts)).rstrip())
    for error in unreadable:
        click.echo(f"error: {error}", err=True)
    codes = [GATE_CODES[each.outcome] for each in verdicts] + [UNREADABLE] * len(unreadable)
    return min(codes, key=_PRECEDENCE.index) if gate else 0


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
