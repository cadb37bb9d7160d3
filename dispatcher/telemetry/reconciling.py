"""Our costs of managed sessions against the platform's own list cost: compared, and adjusted to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, islice
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Status
from dispatcher.audit.adjustments import Adjustment, AdjustmentKind, AdjustmentReason, adjusted, append_after
from dispatcher.audit.reading import snapshot
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable

CENT_NANOUSD = 10_000_000
"""The platform states a session's cost in whole cents, so ours may be off by as much."""

_ROWS_AT_ONCE = 1_000
_SESSIONS_AT_ONCE = 100
_SESSIONS_SHOWN = 20


class Agreement(StrEnum):
    """How a session's costs stand; closed."""

    AGREES = "agrees"
    DIFFERS = "differs"
    OPEN = "open"
    """One of its rows hasn't ended."""
    UNKNOWN = "unknown"
    """Our cost or the platform's isn't known of one of its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCost:
    """A session's rows added up, adjustments included; `costed` and `listed` of the rows know our cost, the platform's.

    In nano-dollars.
    """

    session_id: str
    rows: int
    started: int
    costed: int
    listed: int
    cost_nanousd: int
    list_cost_nanousd: int

    @property
    def difference_nanousd(self) -> int:
        """What the platform counted beyond ours; negative where it counted less."""
        return self.list_cost_nanousd - self.cost_nanousd

    @property
    def agreement(self) -> Agreement:
        """Within a cent a session, both ways."""
        if self.started:
            return Agreement.OPEN
        if min(self.costed, self.listed) < self.rows:
            return Agreement.UNKNOWN
        return Agreement.AGREES if abs(self.difference_nanousd) <= CENT_NANOUSD else Agreement.DIFFERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """How the sessions stand, counted, and the differing ones, of which `differing` holds the first few.

    `rows` got an adjustment, by `amount_nanousd` together; in a dry run they would.
    """

    sessions: int
    agree: int
    differ: int
    open: int
    unknown: int
    rows: int
    amount_nanousd: int
    differing: Sequence[SessionCost]


def reconcile(engine: sa.Engine, *, origin: Origin | None = None, dry_run: bool = False) -> Reconciliation:
    """Adjust the rows of every session that is off by more than a cent to the platform's figure for them; a dry run
    appends nothing. Running it again appends nothing. Raises SourceUnreachable.
    """
    counts: Counter[Agreement] = Counter()
    differing: list[str] = []
    shown: list[SessionCost] = []
    made: list[int] = []
    try:
        with snapshot(engine) as connection:
            for session in _sessions(connection, origin):
                counts[session.agreement] += 1
                if session.agreement is Agreement.DIFFERS:
                    differing.append(session.session_id)
                    if len(shown) < _SESSIONS_SHOWN:
                        shown.append(session)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for batch in _batches(differing):
                made += _adjust(connection, batch, dry_run=dry_run)
    except sa.exc.SQLAlchemyError as error:
        reason = reason_of(error, engine.url)
        raise SourceUnreachable(f"{named(engine.url)} can't be used: {reason}") from None
    return Reconciliation(
        sessions=counts.total(),
        agree=counts[Agreement.AGREES],
        differ=counts[Agreement.DIFFERS],
        open=counts[Agreement.OPEN],
        unknown=counts[Agreement.UNKNOWN],
        rows=len(made),
        amount_nanousd=sum(made),
        differing=shown,
    )


def _sessions(connection: sa.Connection, origin: Origin | None) -> Iterator[SessionCost]:
    row = _rows_query().subquery("of_session")
    query = sa.select(
        row.c.session_id,
        sa.func.count().label("rows"),
        sa.func.sum(sa.case((row.c.status == Status.STARTED.value, 1), else_=0)).label("started"),
        sa.func.count(row.c.cost).label("costed"),
        sa.func.count(row.c.list_cost).label("listed"),
        sa.func.coalesce(sa.func.sum(row.c.cost), 0).label("cost_nanousd"),
        sa.func.coalesce(sa.func.sum(row.c.list_cost), 0).label("list_cost_nanousd"),
    )
    if origin is not None:
        query = query.where(row.c.origin == origin.value)
    in_order = query.group_by(row.c.session_id).order_by(row.c.session_id)
    for session_id, *figures in connection.execute(in_order.execution_options(yield_per=_ROWS_AT_ONCE)):
        names = ("rows", "started", "costed", "listed", "cost_nanousd", "list_cost_nanousd")
        # The sum of 64-bit integers is a decimal on some engines.
        yield SessionCost(session_id=session_id, **dict(zip(names, map(int, figures), strict=True)))


def _rows_query() -> sa.Select[Any]:
    standing = adjusted()
    known = sa.or_(logs.c.cost_nanousd.is_not(None), standing.c.made.is_not(None))
    terms = (logs.c.cost_nanousd, standing.c.repriced, standing.c.reconciled, standing.c.completed)
    cost = sum((sa.func.coalesce(term, 0) for term in terms[1:]), sa.func.coalesce(terms[0], 0))
    return (
        sa.select(
            *(logs.c[name] for name in ("session_id", "log_id", "tenant", "origin", "status", "created_at")),
            sa.case((known, cost)).label("cost"),
            # A completion tells it of the whole turn; the row has at most what was counted before.
            sa.func.coalesce(standing.c.listed, logs.c.platform_list_cost_nanousd).label("list_cost"),
            sa.func.coalesce(standing.c.made, 0).label("made"),
        )
        .join_from(logs, standing, logs.c.log_id == standing.c.log_id, isouter=True)
        .where(logs.c.log_id.is_not(None), logs.c.session_id.is_not(None), logs.c.origin != Origin.IMPORT.value)
    )


def _adjust(connection: sa.Connection, session_ids: Sequence[str], *, dry_run: bool) -> list[int]:
    def look() -> Sequence[sa.Row[Any]]:
        query = _rows_query().where(logs.c.session_id.in_(session_ids))
        return connection.execute(query.order_by(logs.c.session_id, logs.c.created_at, logs.c.log_id)).all()

    made = _due(look()) if dry_run else append_after(connection, look, _due)[1]
    return [one.amount_nanousd for one in made]


def _due(rows: Sequence[Any]) -> list[Adjustment]:
    by_session = groupby(rows, key=lambda row: row.session_id)
    return [one for _, of_session in by_session for one in adjustments_of(list(of_session))]


def adjustments_of(rows: Sequence[Any]) -> list[Adjustment]:
    """What brings the rows of one session to the platform's figures for them; nothing where they agree already.

    The platform's figures of a session's turns are differences of its whole cents, so they add up to its own.
    """
    costs = [row.cost for row in rows if row.cost is not None]
    listed = [row.list_cost for row in rows if row.list_cost is not None]
    session = SessionCost(
        session_id=rows[0].session_id,
        rows=len(rows),
        started=sum(row.status == Status.STARTED.value for row in rows),
        costed=len(costs),
        listed=len(listed),
        cost_nanousd=int(sum(costs)),
        list_cost_nanousd=sum(listed),
    )
    if session.agreement is not Agreement.DIFFERS:
        return []
    return [
        Adjustment(
            tenant=row.tenant,
            log_id=row.log_id,
            sequence=int(row.made) + 1,
            kind=AdjustmentKind.RECONCILE,
            reason=AdjustmentReason.PLATFORM_DIFFERS,
            amount_nanousd=row.list_cost - int(row.cost),
            cost_nanousd=row.list_cost,
            platform_list_cost_nanousd=row.list_cost,
        )
        for row in rows
        if row.list_cost != int(row.cost)
    ]


def _batches(session_ids: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(session_ids)
    while batch := list(islice(remaining, _SESSIONS_AT_ONCE)):
        yield batch
