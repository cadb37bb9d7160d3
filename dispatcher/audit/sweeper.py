"""The rows that nobody will end any more: found, and given up for lost; blocking."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.action.observation import Call, Usage
from dispatcher.audit.connections import Connections, transaction
from dispatcher.audit.conversation import GRACE
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.paging import next_page
from dispatcher.audit.record import Origin
from dispatcher.audit.statement import LOST, STARTED, Statement, given
from dispatcher.audit.swept import NOTHING_BEFORE, CostlessRow, CountedBefore, OpenRow, SweptEnding
from dispatcher.audit.tables import calls, logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.audit.writer import CALL_COLUMNS, call_values
from dispatcher.errors import LogUnavailable

T = TypeVar("T")

ROWS_AT_ONCE = 200
"""How many rows are read together."""

_SESSION = ("session_id", "agent_id", "agent_version")
_PLATFORM_USAGE = (
    *("platform_input_tokens", "platform_output_tokens"),
    *("platform_cache_read_input_tokens", "platform_cache_creation_input_tokens"),
)
_PLATFORM_MORE = ("active_ms", "platform_list_cost_nanousd")
_OF_THE_ROW = (
    *("log_id", "tenant", "feature", "conversation_id", "origin", "path", "variant", "model", "owner"),
    *("created_at", "deadline_at", "recorded_at", "session_id"),
)


class Sweeper:
    """Finds open rows that are overdue and gives them up; each for itself, so that it may be stopped at any time.

    Only the database's clock counts: a row is overdue when the time between its creation and its deadline, and
    `conversation.GRACE`, have passed since it arrived there, whatever its own host's clock says.
    Of several sweepers one gives a row up. All methods raise LogUnavailable.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._url = engine.url
        self._connections = Connections(engine)
        dialect = engine.dialect
        known = {name: sa.func.coalesce(given(logs.c[name]), logs.c[name]) for name in _SESSION}
        told = [field.name for field in fields(SweptEnding) if field.name not in known]
        only_open = sa.update(logs).where(logs.c.log_id == given(logs.c.log_id), logs.c.status == STARTED)
        lost = only_open.values(status=LOST, swept_at=DatabaseNow(), landed_at=DatabaseNow(), **known)
        self._lose = Statement(lost, told, dialect)
        self._calls = Statement(sa.insert(calls), CALL_COLUMNS, dialect)

    def count(self) -> int:
        """How many open rows there are that may be overdue: all that `overdue` looks at."""
        now = self._now()
        query = sa.select(sa.func.count()).select_from(logs).where(may_be_overdue(now))
        return self._run(lambda connection: connection.execute(query).scalar_one())

    def overdue(self) -> Iterator[list[OpenRow]]:
        """The overdue rows, in the order of their deadlines, in pages of at most `ROWS_AT_ONCE`."""
        now = self._now()
        last: tuple[dt.datetime, str] | None = None
        while found := self._page(now, last):
            last = found[-1].deadline_at, found[-1].log_id
            rows = [_open_row(row, now) for row in found]
            if due := [row for row in rows if row.overdue >= dt.timedelta(0)]:
                yield due

    def counted_before(self, row: OpenRow, session_id: str) -> CountedBefore | None:
        """What the other turns of the row's conversation had used of the session; see `counted_beside`."""
        return self._run(lambda connection: counted_beside(connection, row, session_id))

    def lose(self, log_id: str, ending: SweptEnding, made: Sequence[Call]) -> bool:
        """Give a row up for lost, with its calls; False where it has ended, or another sweep was first."""
        values = {field.name: getattr(ending, field.name) for field in fields(ending)} | {"log_id": log_id}

        def finish(connection: sa.Connection) -> bool:
            with transaction(connection):
                if lost := self._lose.run(connection, values):
                    self._calls.run_many(connection, [call_values(log_id, call) for call in made])
            return lost > 0

        return self._run(finish)

    def release(self) -> None:
        """Give the connections back."""
        self._connections.release()

    def _now(self) -> dt.datetime:
        return self._run(lambda connection: connection.execute(sa.select(DatabaseNow())).scalar_one())

    def _page(self, now: dt.datetime, last: tuple[dt.datetime, str] | None) -> Sequence[sa.Row[Any]]:
        page = next_page(_OF_THE_ROW, may_be_overdue(now), logs.c.deadline_at, last, ROWS_AT_ONCE)
        return self._run(lambda connection: connection.execute(page).all())

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            return self._connections.run(work)
        except sa.exc.SQLAlchemyError as error:
            reason = reason_of(error, self._url)
            raise LogUnavailable(f"the audit log can't be swept: {named(self._url)}: {reason}") from None


def counted_beside(connection: sa.Connection, row: OpenRow | CostlessRow, session_id: str) -> CountedBefore | None:
    """What the other turns of the row's conversation have used of the session; None where that isn't known of one.

    A session outside a conversation has one turn. Raises sqlalchemy's errors.
    """
    if row.conversation_id is None:
        return NOTHING_BEFORE
    others = sa.and_(in_its_session(row, session_id), logs.c.log_id != row.log_id)
    query = sa.select(*(logs.c[name] for name in (*_PLATFORM_USAGE, *_PLATFORM_MORE))).where(others)
    found = connection.execute(query).mappings().all()
    sums = {name: _sum([other[name] for other in found]) for name in (*_PLATFORM_USAGE, *_PLATFORM_MORE)}
    if None in [sums[name] for name in _PLATFORM_USAGE]:
        return None
    usage = Usage(**{name.removeprefix("platform_"): sums[name] for name in _PLATFORM_USAGE})
    return CountedBefore(usage, *(sums[name] for name in _PLATFORM_MORE))


def in_its_session(row: OpenRow | CostlessRow, session_id: str) -> sa.ColumnElement[bool]:
    """The rows of the row's conversation that ran in the session."""
    same = (logs.c[name] == getattr(row, name) for name in ("tenant", "feature", "conversation_id"))
    return sa.and_(*same, logs.c.session_id == session_id)


def may_be_overdue(now: dt.datetime) -> sa.ColumnElement[bool]:
    """Open rows whose deadline is over, and those of a host whose clock was ahead: theirs may never be."""
    over = sa.or_(logs.c.deadline_at <= now - GRACE, logs.c.created_at > logs.c.recorded_at)
    return sa.and_(logs.c.status == STARTED, logs.c.deadline_at.is_not(None), over, logs.c.log_id.is_not(None))


def due_at(created_at: dt.datetime, deadline_at: dt.datetime, recorded_at: dt.datetime) -> dt.datetime:
    """When a row must have been ended, by the database's clock: the time that its attempt had, from its arrival."""
    return recorded_at + (deadline_at - created_at) + GRACE


def _open_row(row: sa.Row[Any], now: dt.datetime) -> OpenRow:
    values = {name: getattr(row, name) for name in _OF_THE_ROW if name not in {"origin", "deadline_at", "recorded_at"}}
    due = due_at(row.created_at, row.deadline_at, row.recorded_at)
    return OpenRow(**values, origin=Origin(row.origin), overdue=now - due)


def _sum(figures: Sequence[int | None]) -> int | None:
    return None if None in figures else sum(figure or 0 for figure in figures)
