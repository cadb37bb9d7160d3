"""The distribution of `response_time_ms`: the table that a latency claim has to be held against.

One statement returns the histogram of integer milliseconds, from which every percentile follows exactly.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Status
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.telemetry.histogram import P50, P90, P95, Histogram, nearest_rank

PERCENTILES = "nearest-rank"
"""The definition that every percentile here follows."""

_STATUS_ORDER = (Status.SUCCESS, Status.ERROR, Status.CANCELLED, Status.LOST, Status.STARTED)


class By(StrEnum):
    """What the rows are grouped by, besides their status."""

    PATH = "path"
    VARIANT = "variant"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rows of a report: one feature, one origin, and moments in [since, until); None leaves an end open."""

    feature: str
    origin: Origin
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A distribution of wall times in milliseconds, percentiles by nearest rank where they were measured here."""

    min: int
    p50: int
    p90: int
    p95: int
    max: int
    avg: Fraction

    @classmethod
    def of(cls, histogram: Histogram) -> Times:
        """The figures of a histogram that holds at least one value."""
        return cls(
            min=histogram.min,
            p50=nearest_rank(histogram, P50),
            p90=nearest_rank(histogram, P90),
            p95=nearest_rank(histogram, P95),
            max=histogram.max,
            avg=histogram.mean,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionRow:
    """One group and status: `n` rows with a time, their `times` (None where n is 0), and `unmeasured` rows without one.

    `unmeasured` is None where it isn't known. `time_scales` are the distinct scales of the rows: a time on a scale
    other than 1 is not a real one.
    """

    group: str | None
    status: str
    n: int
    unmeasured: int | None
    times: Times | None
    time_scales: tuple[float, ...]


def distribution(connection: sa.Connection, selection: Selection, by: By) -> tuple[DistributionRow, ...]:
    """A row for every group and status, successes first; endings are never mixed in one figure."""
    counts: dict[tuple[str | None, str], Counter[int | None]] = defaultdict(Counter)
    scales: dict[tuple[str | None, str], set[float]] = defaultdict(set)
    for group, status, time_scale, value, count in connection.execute(histogram_statement(selection, by)):
        counts[group, status][value] += count
        scales[group, status].add(time_scale)
    rows = [_row(key, counts[key], scales[key]) for key in counts]
    return tuple(sorted(rows, key=lambda row: (_STATUS_ORDER.index(Status(row.status)), row.group is None, row.group)))


def histogram_statement(selection: Selection, by: By) -> sa.Select[Any]:
    """How often each group, status and scale has each wall time."""
    keys = (logs.c[by.value], logs.c.status, logs.c.time_scale, logs.c.response_time_ms)
    statement = sa.select(*keys, sa.func.count().label("n")).where(
        logs.c.feature == selection.feature, logs.c.origin == selection.origin.value
    )
    if selection.since is not None:
        statement = statement.where(logs.c.created_at >= selection.since)
    if selection.until is not None:
        statement = statement.where(logs.c.created_at < selection.until)
    return statement.group_by(*keys)


def sql_text(statement: sa.Select[Any], dialect: sa.Dialect) -> str:
    """A statement with its values in it, as it can be run by hand."""
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _row(key: tuple[str | None, str], counts: Counter[int | None], scales: set[float]) -> DistributionRow:
    group, status = key
    histogram = Histogram({value: count for value, count in counts.items() if value is not None})
    return DistributionRow(
        group=group,
        status=status,
        n=histogram.n,
        unmeasured=counts[None],
        times=Times.of(histogram) if histogram.n else None,
        time_scales=tuple(sorted(scales)),
    )
