"""The costs of the log by the price table of now: held against it, and adjusted to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Status, Usage
from dispatcher.audit.adjustments import Adjustment, AdjustmentKind, AdjustmentReason, adjusted, append_after
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import calls, logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable
from dispatcher.prices import PriceTable
from dispatcher.telemetry.cost_parts import CostedCall, CostedRow, Unpriced, Untied, cost_by, untied
from dispatcher.telemetry.pages import beyond

_ROWS_AT_ONCE = 500
_EXAMPLES = 3
_KEY = (logs.c.created_at, logs.c.log_id)
_USAGE = [field.name for field in fields(Usage)]
_OF_THE_ROW = [
    *("log_id", "tenant", "created_at", "price_version", "usage_quality"),
    *("cost_nanousd", "runtime_cost_nanousd", "tool_cost_nanousd", "active_ms"),
]

OnProgress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing:
    """What a repricing did with the rows that this program had priced.

    `adjusted` of them got an adjustment, by `amount_nanousd` together; `unpriced` counts, by reason, those that have no
    cost by the table, which stay as they are.
    """

    price_version: str
    rows: int
    unchanged: int
    adjusted: int
    amount_nanousd: int
    unpriced: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TieOut:
    """Which rows add up: `tied` of them do, `unknown` have no cost, `untied` counts the problems.

    `examples` are a few `log_id`s of each problem.
    """

    price_version: str
    rows: int
    tied: int
    unknown: int
    untied: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]


def reprice(
    engine: sa.Engine,
    prices: PriceTable,
    *,
    origin: Origin | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _done: None,
) -> Repricing:
    """Append an adjustment to every row whose cost by the price table is another one than it has; a dry run appends
    nothing. Running it again appends nothing. Raises SourceUnreachable.
    """
    counts: Counter[str] = Counter()
    unpriced: Counter[str] = Counter()
    amount = 0
    for page in _pages(engine, origin, on_progress, None if dry_run else prices):
        for row in page:
            made = _adjustment(row, prices)
            counts["rows"] += 1
            if isinstance(made, Unpriced):
                unpriced[made] += 1
            elif made is None:
                counts["unchanged"] += 1
            else:
                counts["adjusted"] += 1
                amount += made.amount_nanousd
    return Repricing(
        price_version=prices.version,
        rows=counts["rows"],
        unchanged=counts["unchanged"],
        adjusted=counts["adjusted"],
        amount_nanousd=amount,
        unpriced=dict(sorted(unpriced.items())),
    )


def tie_out(
    engine: sa.Engine,
    prices: PriceTable,
    *,
    origin: Origin | None = None,
    on_progress: OnProgress = lambda _done: None,
) -> TieOut:
    """Add up the rows that this program had priced; reads only. Raises SourceUnreachable."""
    counts: Counter[str] = Counter()
    problems: Counter[Untied] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for page in _pages(engine, origin, on_progress):
        for row in page:
            found = list(untied(prices, row))
            counts["rows"] += 1
            counts["tied"] += not found and row.cost_nanousd is not None
            counts["unknown"] += not found and row.cost_nanousd is None
            problems.update(found)
            for problem in found:
                if len(examples[problem]) < _EXAMPLES:
                    examples[problem].append(row.log_id)
    return TieOut(
        price_version=prices.version,
        rows=counts["rows"],
        tied=counts["tied"],
        unknown=counts["unknown"],
        untied=dict(sorted(problems.items())),
        examples=dict(sorted(examples.items())),
    )


def _adjustment(row: CostedRow, prices: PriceTable) -> Adjustment | Unpriced | None:
    cost = cost_by(prices, row)
    if isinstance(cost, Unpriced):
        return cost
    is_known = row.cost_nanousd is not None or row.made > 0
    amount = cost - (row.cost_nanousd or 0) - row.repriced_nanousd
    if is_known and amount == 0:
        return None
    return Adjustment(
        tenant=row.tenant,
        log_id=row.log_id,
        sequence=row.made + 1,
        kind=AdjustmentKind.REPRICE,
        reason=AdjustmentReason.PRICE_CHANGED if is_known else AdjustmentReason.COST_WAS_UNKNOWN,
        amount_nanousd=amount,
        cost_nanousd=cost + row.reconciled_nanousd,
        price_version=prices.version,
    )


def _pages(
    engine: sa.Engine, origin: Origin | None, on_progress: OnProgress, adjust_to: PriceTable | None = None
) -> Iterator[Sequence[CostedRow]]:
    """The rows as they were before each page was adjusted, page by page, each page in a transaction of its own."""
    known = [column.is_not(None) for column in (logs.c.log_id, logs.c.price_version)]
    priced_here = [*known, logs.c.origin != Origin.IMPORT.value]
    ours = [logs.c.status != Status.STARTED.value, *priced_here]
    if origin is not None:
        ours.append(logs.c.origin == origin.value)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(logs).where(*ours)).scalar_one()
            done, last = 0, None
            while page := _page(connection, [*ours, beyond(_KEY, last)], adjust_to):
                yield page
                done += len(page)
                last = {"created_at": page[-1].created_at, "log_id": page[-1].log_id}
                on_progress(min(1.0, done / max(total, 1)))
    except sa.exc.SQLAlchemyError as error:
        reason = reason_of(error, engine.url)
        raise SourceUnreachable(f"{named(engine.url)} can't be used: {reason}") from None


def _page(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], adjust_to: PriceTable | None
) -> list[CostedRow]:
    if adjust_to is None:
        return _read(connection, conditions)

    def due(page: Sequence[CostedRow]) -> list[Adjustment]:
        made = (_adjustment(row, adjust_to) for row in page)
        return [one for one in made if isinstance(one, Adjustment)]

    page, _ = append_after(connection, lambda: _read(connection, conditions), due)
    return page


def _read(connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]]) -> list[CostedRow]:
    columns = [logs.c[name] for name in (*_OF_THE_ROW, "session_id", *_USAGE)]
    query = sa.select(*columns).where(*conditions).order_by(*_KEY).limit(_ROWS_AT_ONCE)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    ids = [row["log_id"] for row in rows]
    made: dict[str, list[CostedCall]] = defaultdict(list)
    of_rows = sa.select(calls).where(calls.c.log_id.in_(ids)).order_by(calls.c.log_id, calls.c.ordinal)
    for call in connection.execute(of_rows).mappings():
        costed = CostedCall(model=call["model"], usage=_usage(dict(call)), cost_nanousd=call["cost_nanousd"])
        made[call["log_id"]].append(costed)
    standing = {row.log_id: row for row in connection.execute(sa.select(adjusted(ids)))}
    return [
        CostedRow(
            **{name: row[name] for name in _OF_THE_ROW},
            usage=_usage(row),
            in_session=row["session_id"] is not None,
            calls=tuple(made[row["log_id"]]),
            **_adjusted(standing.get(row["log_id"])),
        )
        for row in rows
    ]


def _usage(row: Mapping[str, Any]) -> Usage:
    return Usage(**{name: row[name] for name in _USAGE})


def _adjusted(row: sa.Row[Any] | None) -> dict[str, Any]:
    # The sum of 64-bit integers is a decimal on some engines.
    if row is None:
        return {}
    return {
        "made": int(row.made),
        "repriced_nanousd": int(row.repriced),
        "reconciled_nanousd": int(row.reconciled),
    }
