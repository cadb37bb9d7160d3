"""Which records `dispatcher verdict` judges, and as of when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from dispatcher.adr.document import Record
    from dispatcher.errors import InvalidRecord


def moment_of(text: str | None, now: dt.datetime) -> dt.datetime:
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


def chosen_records(directory: Path, names: Sequence[str]) -> tuple[list[Record], list[InvalidRecord]]:
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
