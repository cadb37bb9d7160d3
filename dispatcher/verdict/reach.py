"""From a record and a database to a verdict."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from dispatcher.adr.document import Record
from dispatcher.audit.record import Origin
from dispatcher.audit.registrations import registrations_of
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.epoch import current_epoch, newest_registration
from dispatcher.verdict.judge import Verdict, judge
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measurement.measure import candidate_definitions, measure
from dispatcher.verdict.measurement.population import Population

if TYPE_CHECKING:
    from sqlalchemy import Engine


def reach_verdict(record: Record, origin: Origin, as_of: dt.datetime, engine: Engine) -> Verdict:
    """Judge a record by the rows of one origin, as they stood at a moment.

    Raises InvalidRecord for a record without criteria, and SourceUnreachable.
    """
    block = record.acceptance
    if block is None:
        raise InvalidRecord(record.id, ["says `acceptance: none`: there is nothing to judge"])
    registrations = registrations_of(engine, record.id, origin)
    registered = newest_registration(registrations, as_of)
    epoch = None
    if registered is not None:
        seen = candidate_definitions(engine, block, origin, since=registered.start, as_of=as_of)
        epoch = current_epoch(registrations, seen, as_of)
    looks = Looks(
        start=None if epoch is None else epoch.start,
        as_of=as_of,
        window=block.unit.window,
        settle=block.looks.settle,
        max_weeks=block.looks.max_weeks,
    )
    population = Population(block, origin, looks, None if epoch is None else epoch.candidate_hash)
    return judge(record, block, origin, epoch, looks, measure(engine, population))
