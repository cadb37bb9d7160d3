"""Starting a record's clock: from here on its evidence counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatcher.adr.document import Acceptance, Record
from dispatcher.adr.lint import refusals
from dispatcher.audit.record import Origin
from dispatcher.audit.registrations import Registration, append_registration, registrations_of
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.epoch import current_epoch
from dispatcher.verdict.measurement.measure import candidate_definitions

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a registration must know of the policies: the hash of the candidate's definition, and the largest deadline
    of any registered variant.
    """

    hash: str
    largest_deadline: dt.timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Registering:
    """The registration that now stands; `is_new` is false where nothing had changed since the newest one."""

    registration: Registration
    is_new: bool


def register(record: Record, candidate: Candidate, origin: Origin, now: dt.datetime, engine: Engine) -> Registering:
    """Start the clock of a record for one origin, at `now` and never earlier; does nothing where nothing has changed.

    Every registration opens the next epoch of the record and origin. Raises InvalidRecord with everything that lint
    refuses, and SourceUnreachable.
    """
    while True:
        planned = plan(record, candidate, origin, now, engine)
        # Where another process opened the epoch first, what it registered is looked at again.
        if not planned.is_new or append_registration(engine, planned.registration):
            return planned


def plan(record: Record, candidate: Candidate, origin: Origin, now: dt.datetime, engine: Engine) -> Registering:
    """What `register` would do, without doing it; raises what it raises."""
    problems = refusals(record, candidate.largest_deadline)
    if problems or record.acceptance is None:
        raise InvalidRecord(record.id, problems)
    block = record.acceptance
    earlier = registrations_of(engine, record.id, origin)
    if earlier and (earlier[-1].record_hash, earlier[-1].candidate_hash) == (block.hash, candidate.hash):
        return Registering(registration=earlier[-1], is_new=False)
    if earlier and now < earlier[-1].start:
        start = earlier[-1].start.isoformat(timespec="seconds")
        raise InvalidRecord(
            record.id, [f"is registered from {start}, which is later than now: look at this machine's clock"]
        )
    registration = Registration(
        record=record.id,
        origin=origin,
        epoch=_next_epoch(block, origin, earlier, now, engine),
        start=now,
        candidate_hash=candidate.hash,
        record_hash=block.hash,
        block=block.canonical,
    )
    return Registering(registration=registration, is_new=True)


def _next_epoch(
    block: Acceptance, origin: Origin, earlier: tuple[Registration, ...], now: dt.datetime, engine: Engine
) -> int:
    """One more than the newest epoch, which a registration opened or a changed candidate by its rows."""
    if not earlier:
        return 1
    seen = candidate_definitions(engine, block, origin, since=earlier[-1].start, as_of=now)
    newest = current_epoch(earlier, seen, now)
    assert newest is not None
    return newest.number + 1
