"""What the tenants show that stayed with the control, where a flag set tenants: the same percentile before and since.

They aren't of the record's population: whatever they saw, the candidate didn't do it. Of each conversation its first
dispatch counts, so that all of them are independent; the tenants are those with the most conversations before.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func, select

from dispatcher.action.observation import Status
from dispatcher.adr.criterion import Criterion, Measure
from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, GridCounts, GridRow, Side, bucket_of
from dispatcher.verdict.looks import WEEK, Looks
from dispatcher.verdict.measured import Arm, Distribution
from dispatcher.verdict.measurement.integers import Bytewise, EpochMs, Quotient, epoch_ms
from dispatcher.verdict.measurement.values import columns_of

MOST_TENANTS = 8
"""Tenants that are looked at, at most."""
BEFORE = 4 * WEEK
"""How long before the start is looked at where a criterion has no baseline of its own window."""

_MS = dt.timedelta(milliseconds=1)
_FAILED, _UNKNOWN, _KNOWN = range(3)


@dataclass(frozen=True, eq=False)
class Asked:
    """One measure of everybody but the record's own tenants, from a window that ends before the looks begin."""

    block: Acceptance
    origin: Origin
    looks: Looks
    measure: Measure
    window: tuple[dt.datetime, dt.datetime]


def asked_of(block: Acceptance, origin: Origin, looks: Looks) -> dict[str, Asked]:
    """What has to be asked, by criterion: of times only, and only where tenants were set by a flag."""
    if looks.start is None or looks.done == 0 or block.assignment.kind != "tenant_flag":
        return {}
    asked: dict[tuple[Measure, dt.datetime, dt.datetime], Asked] = {}
    found = {}
    for criterion in block.criteria:
        first, last = _window(criterion, looks.start)
        if criterion.measure.is_duration and first < last:
            key = (criterion.measure, first, last)
            found[criterion.id] = asked.setdefault(key, Asked(block, origin, looks, criterion.measure, (first, last)))
    return found


def drift_statement(asked: Asked) -> sa.Select[Any]:
    """Dispatches by tenant, look (0 before the start), kind and, where it is known, value."""
    seen = _first_of_each(asked).cte("seen")
    stayed = _most_seen(seen).subquery("stayed")
    keys = [seen.c.tenant, seen.c.look, seen.c.kind, case((seen.c.kind == _KNOWN, seen.c.value)).label("value")]
    joined = seen.join(stayed, stayed.c.tenant == seen.c.tenant)
    return select(*keys, func.count().label("dispatches")).select_from(joined).group_by(*keys)


def read_drift(rows: Iterable[Mapping[str, Any]]) -> dict[str, GridCounts]:
    """What the rows mean, by tenant: those since the start as the candidate, those before as its sample."""
    before: dict[str, Counter[int | None]] = defaultdict(Counter)
    since: dict[str, Counter[tuple[int, Side, int]]] = defaultdict(Counter)
    for row in rows:
        tenant, count = row["tenant"], int(row["dispatches"])
        value = None if row["value"] is None else int(row["value"])
        if row["look"] == 0:
            before[tenant][value] += count
            continue
        for side in Side:
            since[tenant][int(row["look"]), side, _bucket(int(row["kind"]), value, side)] += count
    return {tenant: _counts(before[tenant], since[tenant]) for tenant in sorted(before)}


def _counts(before: Counter[int | None], since: Counter[tuple[int, Side, int]]) -> GridCounts:
    known = {value: before[value] for value in sorted(value for value in before if value is not None)}
    rows = (
        GridRow(look, "", Arm.CANDIDATE, side, 1, 1, bucket, count)
        for (look, side, bucket), count in sorted(since.items())
    )
    return GridCounts(tuple(rows), Distribution(known, before[None]))


def _bucket(kind: int, value: int | None, side: Side) -> int:
    """A failure is slower than everything; what isn't known is against whatever is to be shown."""
    if kind == _FAILED:
        return ALWAYS
    if value is None:
        return ALWAYS if side is Side.PASS else NEVER
    return bucket_of(value)


def _window(criterion: Criterion, start: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    stated = None if criterion.baseline is None else criterion.baseline.window
    if stated is None:
        return start - BEFORE, start
    first, last = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in stated)
    return first, min(last, start)


def _first_of_each(asked: Asked) -> sa.Select[Any]:
    """The first dispatch of each conversation of a tenant, while the tenant was with the control and nothing else."""
    a, looks = _attempts(asked).subquery("attempts"), asked.looks
    assert looks.start is not None
    start, until = epoch_ms(looks.start), a.c.until_ms
    place = func.row_number().over(partition_by=[a.c.tenant, a.c.unit], order_by=[a.c.created_ms, a.c.log_id])
    other = func.min(case((a.c.variant != asked.block.control.variant, a.c.created_ms))).over(partition_by=a.c.tenant)
    ended = a.c.landed_ms <= until
    kind = case(
        (sa.not_(func.coalesce(ended, sa.false())), _FAILED),
        (a.c.status == Status.CANCELLED.value, _UNKNOWN),
        (a.c.status != Status.SUCCESS.value, _FAILED),
        (a.c.value.is_(None), _UNKNOWN),
        else_=_KNOWN,
    )
    placed = select(
        *(a.c.tenant, a.c.look, a.c.value, a.c.created_ms, kind.label("kind"), place.label("place")),
        (a.c.recorded_ms <= until).label("on_time"),
        other.label("other_ms"),
    ).subquery("placed")
    p = placed.c
    window = [epoch_ms(moment) for moment in asked.window]
    is_before = (p.look == 0) & (p.created_ms >= window[0]) & (p.created_ms < min(window[1], start))
    entered = (p.look > 0) & (p.look <= looks.done)
    stays = p.other_ms.is_(None) | (p.created_ms < p.other_ms)
    return select(p.tenant, p.look, p.value, p.kind).where(p.place == 1, p.on_time, stays, is_before | entered)


def _attempts(asked: Asked) -> sa.Select[Any]:
    """The first attempts of everybody else that had reached the database, each with its look and until when it counts.

    A look is as the record's own; what came before the start counts as it stood then.
    """
    c, looks = logs.c, asked.looks
    assert looks.start is not None
    start = epoch_ms(looks.start)
    week = sa.literal(WEEK // _MS, sa.BigInteger)
    created = EpochMs(c.created_at)
    waited = created + ((looks.window + looks.settle) // _MS - start)
    look = case((created < start, 0), else_=Quotient(waited, week) + 1)
    unit = case((c.conversation_id.is_(None), c.dispatch_id + "/d"), else_=c.conversation_id + "/c")
    value: sa.ColumnElement[Any] = c.response_time_ms
    for column in columns_of([asked.measure]).values():
        value = column(c)
    columns: dict[str, sa.ColumnElement[Any]] = {
        "tenant": Bytewise(c.tenant),
        "unit": Bytewise(unit),
        "log_id": Bytewise(c.log_id),
        "variant": c.routed_variant,
        "status": c.status,
        "value": value,
        "look": look,
        "until_ms": case((created < start, start), else_=start + look * week),
        **{f"{name}_ms": EpochMs(c[f"{name}_at"]) for name in ("created", "recorded", "landed")},
    }
    return select(*(column.label(name) for name, column in columns.items())).where(
        c.feature == asked.block.feature,
        c.origin == asked.origin.value,
        c.role != Role.SHADOW.value,
        c.attempt == 1,
        c.tenant.not_in(sorted(asked.block.tenants)),
        c.created_at >= asked.window[0],
        EpochMs(c.recorded_at) <= epoch_ms(looks.as_of),
    )


def _most_seen(seen: sa.CTE) -> sa.Select[Any]:
    before = func.count(case((seen.c.look == 0, 1)))
    most = select(seen.c.tenant, before.label("before")).group_by(seen.c.tenant).having(before > 0)
    return most.order_by(before.desc(), seen.c.tenant).limit(MOST_TENANTS)
