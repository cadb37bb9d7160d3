"""Ended rows of managed sessions whose cost isn't known yet: found, and their cost appended; blocking."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.action.decision import PathName
from dispatcher.action.observation import UsageQuality
from dispatcher.audit.adjustments import Adjustment, AdjustmentKind, AdjustmentReason, append_after
from dispatcher.audit.connections import Connections
from dispatcher.audit.conversation import GRACE
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.paging import next_page
from dispatcher.audit.record import Origin
from dispatcher.audit.statement import LOST, STARTED
from dispatcher.audit.sweeper import ROWS_AT_ONCE, counted_beside, in_its_session
from dispatcher.audit.swept import CostlessRow, CountedBefore
from dispatcher.audit.tables import adjustments, logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import LogUnavailable

T = TypeVar("T")

LOOKED_AFTER = dt.timedelta(days=7)
"""How long after it began a row's session is still asked."""

_OF_THE_ROW = ("log_id", "tenant", "feature", "conversation_id", "model", "created_at", "session_id")


class LateCosts:
    """Finds the rows that ended before their sessions were at rest, and appends what they cost.

    A row is looked at from `conversation.GRACE` after its ending landed, when nothing that it said to its session is
    still on its way, until `LOOKED_AFTER` its beginning; by the database's clock. One that a sweep gave up isn't: its
    own ending may still come. Of several programs one appends. All methods raise LogUnavailable.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._url = engine.url
        self._connections = Connections(engine)

    def rows(self, origin: Origin) -> Iterator[list[CostlessRow]]:
        """The rows of an origin, the oldest first, in pages of at most `ROWS_AT_ONCE`."""
        now = self._run(lambda connection: connection.execute(sa.select(DatabaseNow())).scalar_one())
        last: CostlessRow | None = None
        while found := self._page(_lacks_cost(origin, now), last):
            page = [CostlessRow(**{name: getattr(row, name) for name in _OF_THE_ROW}) for row in found]
            last = page[-1]
            yield page

    def counted_beside(self, row: CostlessRow) -> CountedBefore | None:
        """What the other turns of the row's session have used; None where that isn't known of one."""
        return self._run(lambda connection: counted_beside(connection, row, row.session_id))

    def turns(self, row: CostlessRow) -> tuple[str, ...]:
        """The rows of all turns of the row's session by `log_id`, in their order."""
        if row.conversation_id is None:
            return (row.log_id,)
        query = sa.select(logs.c.log_id).where(in_its_session(row, row.session_id))
        in_order = query.order_by(logs.c.created_at, logs.c.log_id)
        return tuple(self._run(lambda connection: connection.execute(in_order).scalars().all()))

    def append(self, row: CostlessRow, cost_nanousd: int, price_version: str, list_cost_nanousd: int | None) -> bool:
        """Append the cost that a row lacked; False where another program was first."""
        key = sa.and_(adjustments.c.tenant == row.tenant, adjustments.c.log_id == row.log_id)
        query = sa.select(sa.func.count()).select_from(adjustments).where(key)
        completing = Adjustment(
            tenant=row.tenant,
            log_id=row.log_id,
            sequence=1,
            kind=AdjustmentKind.COMPLETE,
            reason=AdjustmentReason.USAGE_COMPLETED,
            amount_nanousd=cost_nanousd,
            cost_nanousd=cost_nanousd,
            price_version=price_version,
            platform_list_cost_nanousd=list_cost_nanousd,
        )

        def appended(connection: sa.Connection) -> bool:
            def look() -> int:
                return int(connection.execute(query).scalar_one())

            _, made = append_after(connection, look, lambda standing: [] if standing else [completing])
            return bool(made)

        return self._run(appended)

    def release(self) -> None:
        """Give the connections back."""
        self._connections.release()

    def _page(self, lacking: sa.ColumnElement[bool], last: CostlessRow | None) -> Sequence[sa.Row[Any]]:
        after = None if last is None else (last.created_at, last.log_id)
        page = next_page(_OF_THE_ROW, lacking, logs.c.created_at, after, ROWS_AT_ONCE)
        return self._run(lambda connection: connection.execute(page).all())

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            return self._connections.run(work)
        except sa.exc.SQLAlchemyError as error:
            reason = reason_of(error, self._url)
            raise LogUnavailable(f"costs can't be completed: {named(self._url)}: {reason}") from None


def _lacks_cost(origin: Origin, now: dt.datetime) -> sa.ColumnElement[bool]:
    standing = sa.and_(adjustments.c.tenant == logs.c.tenant, adjustments.c.log_id == logs.c.log_id)
    return sa.and_(
        logs.c.created_at >= now - LOOKED_AFTER,
        logs.c.landed_at <= now - GRACE,
        logs.c.origin == origin.value,
        logs.c.path == PathName.MANAGED.value,
        logs.c.status.not_in([STARTED, LOST]),
        logs.c.usage_quality.in_([UsageQuality.PARTIAL.value, UsageQuality.MISSING.value]),
        logs.c.cost_nanousd.is_(None),
        logs.c.session_id.is_not(None),
        ~sa.exists().where(standing),
    )
