"""Rows of `verdicts`: what was found of a record at one moment, and from what; append-only."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from dispatcher.audit.evidence_tables import verdicts
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.trouble import reaching


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """A verdict as it was reached for one record and origin at one moment, in UTC.

    `document` is its canonical JSON. The hashes are SHA-256 in hexadecimal: of the record's canonical block, of the
    statements that counted, of what they returned, and of the document. `epoch` is None where the record wasn't
    registered.
    """

    record: str
    origin: Origin
    as_of: dt.datetime
    epoch: int | None
    verdict: str
    document: str
    record_hash: str
    sql_hash: str
    rows_hash: str
    result_hash: str


def append_verdict(engine: sa.Engine, stored: StoredVerdict) -> bool:
    """Append a verdict; False where the same one of that moment is there already. Raises SourceUnreachable."""
    values = asdict(stored) | {"verdict_id": new_log_id(), "origin": stored.origin.value}
    try:
        with reaching(engine), engine.begin() as connection:
            connection.execute(sa.insert(verdicts).values(values))
    except sa.exc.IntegrityError:
        return False
    return True


def verdicts_of(engine: sa.Engine, record: str, origin: Origin) -> tuple[StoredVerdict, ...]:
    """All stored verdicts on a record and origin in the order of their moments. Raises SourceUnreachable."""
    c = verdicts.c
    names = [name for name in StoredVerdict.__slots__ if name != "origin"]
    query = (
        sa.select(*(c[name] for name in names))
        .where(c.record == record, c.origin == origin.value)
        .order_by(c.as_of, c.recorded_at, c.verdict_id)
    )
    with reaching(engine), engine.connect() as connection:
        return tuple(StoredVerdict(origin=origin, **row) for row in connection.execute(query).mappings())
