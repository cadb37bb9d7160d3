"""The statements that write to an open row, blocking; every one is committed when its method returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Call, Usage
from dispatcher.audit.connections import Connections, transaction
from dispatcher.audit.content import keep
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.record import AttemptEnding, Kept
from dispatcher.audit.statement import LOST, STARTED, Statement, given
from dispatcher.audit.tables import calls, logs

_ENDING = [field.name for field in fields(AttemptEnding)]
_SESSION = ["session_id", "agent_id", "agent_version"]
_USAGE = [field.name for field in fields(Usage)]
_CALL = [field.name for field in fields(Call) if field.name != "usage"]
CALL_COLUMNS = ["log_id", *_CALL, *_USAGE]
"""The columns of a model request."""


class Writer:
    """Tells open rows their session and their ending.

    Every method may be repeated with the same values, and is, once, where the connection broke. All raise sqlalchemy's
    errors where the database refuses.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        # What a second commit noted stays known where the ending doesn't know it.
        known = {name: sa.func.coalesce(given(logs.c[name]), logs.c[name]) for name in _SESSION}
        ending = [name for name in _ENDING if name not in known]
        only_open = sa.update(logs).where(logs.c.log_id == given(logs.c.log_id), logs.c.status == STARTED)
        end = only_open.values(landed_at=DatabaseNow(), **known)
        self._note = Statement(only_open, _SESSION, connections.dialect)
        self._end = Statement(end, ending, connections.dialect)
        # What was swept meanwhile is told its ending after all; that it was swept stays known.
        swept = sa.update(logs).where(logs.c.log_id == given(logs.c.log_id), logs.c.status == LOST)
        told = swept.values(landed_at=DatabaseNow(), usage_unavailable_reason=sa.null(), **known)
        self._end_swept = Statement(told, ending, connections.dialect)
        self._calls = Statement(sa.insert(calls), CALL_COLUMNS, connections.dialect)

    def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> bool:
        """Tell an open row its session; False where no such row is open."""
        values = dict(zip(_SESSION, (session_id, agent_id, agent_version), strict=True), log_id=log_id)
        return self._connections.run(lambda connection: self._note.run(connection, values)) > 0

    def close(self, log_id: str, ending: AttemptEnding, made: Sequence[Call], kept: Kept | None) -> bool:
        """End an open row, insert its calls and keep its content; an ended row is left alone.

        One that a sweep gave up for lost is ended too, once, and of its calls those are inserted that the sweep didn't
        find. False where there is no such row.
        """
        values = {name: getattr(ending, name) for name in _ENDING} | {"log_id": log_id}
        rows = [call_values(log_id, call) for call in made]

        def finish(connection: sa.Connection) -> bool:
            if not rows and kept is None:
                ended = self._end.run(connection, values) or self._end_swept.run(connection, values)
            else:
                with transaction(connection):
                    if ended := self._end.run(connection, values):
                        self._calls.run_many(connection, rows)
                    elif ended := self._end_swept.run(connection, values):
                        self._calls.run_many(connection, _new(connection, log_id, rows))
                    if ended and kept is not None:
                        keep(connection, log_id, kept, ending.finished_at)
            return ended > 0 or _is_there(connection, log_id)

        return self._connections.run(finish)


def _new(connection: sa.Connection, log_id: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    there = set(connection.execute(sa.select(calls.c.ordinal).where(calls.c.log_id == log_id)).scalars())
    return [row for row in rows if row["ordinal"] not in there]


def _is_there(connection: sa.Connection, log_id: str) -> bool:
    return connection.execute(sa.select(logs.c.log_id).where(logs.c.log_id == log_id)).first() is not None


def call_values(log_id: str, call: Call) -> dict[str, Any]:
    """A model request of a row, by the names of its columns."""
    values = {name: getattr(call, name) for name in _CALL} | {name: getattr(call.usage, name) for name in _USAGE}
    return values | {"log_id": log_id}
