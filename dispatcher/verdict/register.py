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
from dispatcher.verdict.chances.linting import lint
from dispatcher.verdict.epoch import Epoch, current_epoch, of_variant
from dispatcher.verdict.measurement.definitions import definitions
from dispatcher.verdict.measurement.presence import newest_row

if TYPE_CHECKING:
    from sqlalchemy import Engine


_CLOCKS_APART = dt.timedelta(minutes=1)
"""By how much the clocks of two hosts may differ."""


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


def register(
    record: Record, candidate: Candidate, origin: Origin, now: dt.datetime, engine: Engine, *, again: bool = False
) -> Registering:
    """Start the clock of a record for one origin, at `now` and never earlier; does nothing where nothing has changed,
    unless `again` is wanted: evidence that can't be used any more is left behind for a smaller part of alpha.

    Every registration opens the next epoch of the record and origin. Raises InvalidRecord with everything that lint
    refuses, and SourceUnreachable.
    """
    while True:
        planned = plan(record, candidate, origin, now, engine, again=again)
        if not planned.is_new or append_registration(engine, planned.registration):
            return planned
        # Another process opened the epoch first: what it registered is looked at, and is what was wanted again.
        again = False


def plan(
    record: Record, candidate: Candidate, origin: Origin, now: dt.datetime, engine: Engine, *, again: bool = False
) -> Registering:
    """What `register` would do, without doing it; raises what it raises."""
    refused = not_judged(record)
    if refused or record.acceptance is None:
        raise InvalidRecord(record.id, [str(problem) for problem in refused])
    block = record.acceptance
    earlier = registrations_of(engine, record.id, origin)
    newest = _newest_epoch(block, origin, earlier, now, engine)
    unchanged = newest is not None and (newest.record_hash, newest.candidate_hash) == (block.hash, candidate.hash)
    if unchanged and not again:
        return Registering(registration=earlier[-1], is_new=False)
    found = lint(record, candidate.around).problems
    if found:
        raise InvalidRecord(record.id, [str(problem) for problem in found])
    _refuse_the_past(record, origin, now, earlier, engine)
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


def _refuse_the_past(
    record: Record, origin: Origin, now: dt.datetime, earlier: tuple[Registration, ...], engine: Engine
) -> None:
    """Raises InvalidRecord where this machine's clock is behind what is known: rows of before would be evidence."""
    assert record.acceptance is not None
    newest = newest_row(engine, record.acceptance.feature, origin)
    if earlier and now < earlier[-1].start:
        known = f"is registered from {earlier[-1].start.isoformat(timespec='seconds')}"
    elif newest is not None and now < newest - _CLOCKS_APART:
        known = f"has rows of {newest.isoformat(timespec='seconds')}"
    else:
        return
    raise InvalidRecord(record.id, [f"{known}, which is later than now: look at this machine's clock"])


def _newest_epoch(
    block: Acceptance, origin: Origin, earlier: tuple[Registration, ...], now: dt.datetime, engine: Engine
) -> Epoch | None:
    """The epoch that stands, which a registration opened or a changed candidate by its rows; None before the first."""
    if not earlier:
        return None
    last = earlier[-1]
    seen = definitions(engine, block, origin, since=last.start, as_of=max(now, last.start))
    return current_epoch(earlier, of_variant(seen, block.candidate.variant), max(now, last.start))
