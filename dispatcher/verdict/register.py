"""Starting a record's clock: from here on its evidence counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatcher.adr.document import Acceptance, Record
from dispatcher.adr.lint import not_judged
from dispatcher.adr.surroundings import Surroundings
from dispatcher.audit.record import Origin
from dispatcher.audit.registrations import Registration, append_registration, registrations_of
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.epoch import Epoch, current_epoch
from dispatcher.verdict.linting import lint
from dispatcher.verdict.measurement.measure import candidate_definitions

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a registration must know: the hash of the candidate's definition, and what its record is linted against."""

    hash: str
    around: Surroundings


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
    refused = not_judged(record)
    if refused or record.acceptance is None:
        raise InvalidRecord(record.id, [str(problem) for problem in refused])
    block = record.acceptance
    earlier = registrations_of(engine, record.id, origin)
    newest = _newest_epoch(block, origin, earlier, now, engine)
    if newest is not None and (newest.record_hash, newest.candidate_hash) == (block.hash, candidate.hash):
        return Registering(registration=earlier[-1], is_new=False)
    found = lint(record, candidate.around).problems
    if found:
        raise InvalidRecord(record.id, [str(problem) for problem in found])
    if earlier and now < earlier[-1].start:
        start = earlier[-1].start.isoformat(timespec="seconds")
        raise InvalidRecord(
            record.id, [f"is registered from {start}, which is later than now: look at this machine's clock"]
        )
    registration = Registration(
        record=record.id,
        origin=origin,
        epoch=1 if newest is None else newest.number + 1,
        start=now,
        candidate_hash=candidate.hash,
        record_hash=block.hash,
        block=block.canonical,
    )
    return Registering(registration=registration, is_new=True)


def _newest_epoch(
    block: Acceptance, origin: Origin, earlier: tuple[Registration, ...], now: dt.datetime, engine: Engine
) -> Epoch | None:
    """The epoch that stands, which a registration opened or a changed candidate by its rows; None before the first."""
    if not earlier:
        return None
    last = earlier[-1]
    seen = candidate_definitions(engine, block, origin, since=last.start, as_of=max(now, last.start))
    return current_epoch(earlier, seen, max(now, last.start))
