"""Rows of `adr_registrations`: the moments from which the evidence of a record and origin counts; append-only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from dispatcher.audit.evidence_tables import registrations
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.trouble import reaching


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One start of a record's clock for one origin.

    `record_hash` is the SHA-256 of `block`, the canonical acceptance block that was registered; `candidate_hash` is of
    the candidate's definition at that moment. `epoch` counts from 1 and says how much of alpha is left. Evidence counts
    from `start`, in UTC.
    """

    record: str
    origin: Origin
    epoch: int
    start: dt.datetime
    candidate_hash: str
    record_hash: str
    block: str


def registrations_of(engine: sa.Engine, record: str, origin: Origin) -> tuple[Registration, ...]:
    """All registrations of a record and origin, the newest last. Raises SourceUnreachable."""
    query = (
        sa.select(registrations)
        .where(registrations.c.record == record, registrations.c.origin == origin.value)
        .order_by(registrations.c.epoch)
    )
    with reaching(engine), engine.connect() as connection:
        return tuple(
            Registration(
                record=row.record,
                origin=Origin(row.origin),
                epoch=row.epoch,
                start=row.start_at,
                candidate_hash=row.candidate_hash,
                record_hash=row.record_hash,
                block=row.block,
            )
            for row in connection.execute(query)
        )


def append_registration(engine: sa.Engine, registration: Registration) -> bool:
    """Append one registration; False where another process has opened that epoch. Raises SourceUnreachable."""
    statement = sa.insert(registrations).values(
        registration_id=new_log_id(),
        record=registration.record,
        origin=registration.origin.value,
        epoch=registration.epoch,
        start_at=registration.start,
        candidate_hash=registration.candidate_hash,
        record_hash=registration.record_hash,
        block=registration.block,
    )
    try:
        with reaching(engine), engine.begin() as connection:
            connection.execute(statement)
    except sa.exc.IntegrityError:
        return False
    return True
