"""Which rows the registered records still need: those that a verdict is computed from, and those of its baselines."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.evidence_tables import registrations
from dispatcher.audit.record import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Rows of a feature that a record needs: from `since`, before `until` where that isn't None.

    `origin` is None where they are a baseline's, which may be of any.
    """

    record: str
    feature: str
    origin: Origin | None
    since: dt.datetime
    until: dt.datetime | None


def evidence_of(connection: sa.Connection, feature: str, closed: Collection[str]) -> list[Evidence]:
    """What the newest registration of each record and origin needs of a feature, apart from the `closed` records.

    Older registrations count no longer: with each the evidence starts again.
    """
    newest: dict[tuple[str, str], sa.Row[Any]] = {}
    query = sa.select(registrations).order_by(registrations.c.record, registrations.c.origin, registrations.c.epoch)
    for row in connection.execute(query):
        newest[row.record, row.origin] = row
    found = [one for row in newest.values() if row.record not in closed for one in _needed(row)]
    return [one for one in found if one.feature == feature]


def _needed(row: sa.Row[Any]) -> Iterator[Evidence]:
    block = json.loads(row.block)
    feature = str(block.get("feature"))
    yield Evidence(record=row.record, feature=feature, origin=Origin(row.origin), since=row.start_at, until=None)
    for criterion in block.get("criteria", ()):
        baseline = criterion.get("baseline") or {}
        # A published figure is quoted, and never computed again.
        if "window" in baseline and not baseline.get("published"):
            first, last = (dt.date.fromisoformat(day) for day in baseline["window"])
            of = baseline.get("where", {}).get("feature", feature)
            yield Evidence(record=row.record, feature=of, origin=None, since=_midnight(first), until=_midnight(last))


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
