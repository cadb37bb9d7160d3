"""The statements that write to an open row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Call, Usage
from dispatcher.audit.connections import transaction
from dispatcher.audit.content import keep
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.record import AttemptEnding, Kept
from dispatcher.audit.statement import LOST, STARTED, Statement, given
from dispatcher.audit.tables import calls, logs
from dispatcher.audit.units import NotAsThought, Unit

_ENDING = [field.name for field in fields(AttemptEnding)]
_SESSION = ["session_id", "agent_id", "agent_version"]
_USAGE = [field.name for field in fields(Usage)]
_CALL = [field.name for field in fields(Call) if field.name != "usage"]
CALL_COLUMNS = ["log_id", *_CALL, *_USAGE]
"""The columns of a model request."""
_ending = attrgetter(*_ENDING)
_call = attrgetter(*_CALL, *(f"usage.{name}" for name in _USAGE))


class Writer:
    """What tells open rows their session and their ending; each may be told again with the same values."""

    def __init__(self, dialect: sa.Dialect) -> None:
        # What a second commit noted stays known where the ending doesn't know it.
        known = {name: sa.func.coalesce(given(logs.c[name]), logs.c[name]) for name in _SESSION}
        ending = [name for name in _ENDING if name not in known]
        only_open = sa.update(logs).where(logs.c.log_id == given(logs.c.log_id), logs.c.status == STARTED)
        end = only_open.values(landed_at=DatabaseNow(), **known)
        self._note = Statement(only_open, _SESSION, dialect)
        self._end = Statement(end, ending, dialect)
        # What was swept meanwhile is told its ending after all; that it was swept stays known.
        swept = sa.update(logs).where(logs.c.log_id == given(logs.c.log_id), logs.c.status == LOST)
        told = swept.values(landed_at=DatabaseNow(), usage_unavailable_reason=sa.null(), **known)
        self._end_swept = Statement(told, ending, dialect)
        self._calls = Statement(sa.insert(calls), CALL_COLUMNS, dialect)

    def session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> Unit[bool]:
        """What tells an open row its session; False where no such row is open."""
        values = dict(zip(_SESSION, (session_id, agent_id, agent_version), strict=True), log_id=log_id)
        return Unit(lambda connection: self._note.run(connection, values) > 0)

    def ending(self, log_id: str, ending: AttemptEnding, made: Sequence[Call], kept: Kept | None) -> Unit[bool]:
        """What ends an open row, inserts its calls and keeps its content; an ended row is left alone.

        One that a sweep gave up for lost is ended too, once, and of its calls those are inserted that the sweep didn't
        find. False where there is no such row.
        """
        told = _Told(log_id, ending, made, kept)

        def alone(connection: sa.Connection) -> bool:
            with transaction(connection) if made or kept is not None else nullcontext():
                return self._end_one(connection, told)

        # What deletes others' content, too, may wait for them.
        return Unit(alone, self._end_many if kept is None else None, told)

    def _end_one(self, connection: sa.Connection, told: _Told) -> bool:
        values, rows = told.values(), told.calls()
        if ended := self._end.run(connection, values):
            self._calls.run_many(connection, rows)
        elif (ended := self._end_swept.run(connection, values)) and rows:
            self._calls.run_many(connection, _new(connection, told.log_id, rows))
        if ended and told.kept is not None:
            keep(connection, told.log_id, told.kept, told.ending.finished_at)
        return ended > 0 or _is_there(connection, told.log_id)

    def _end_many(self, connection: sa.Connection, several: Sequence[_Told]) -> Sequence[bool]:
        if self._end.run_many(connection, [told.values() for told in several]) != len(several):
            raise NotAsThought("one of the rows isn't open")
        self._calls.run_many(connection, [row for told in several for row in told.calls()])
        return [True] * len(several)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a row is told when it ends."""

    log_id: str
    ending: AttemptEnding
    made: Sequence[Call]
    kept: Kept | None

    def values(self) -> dict[str, Any]:
        return dict(zip(_ENDING, _ending(self.ending), strict=True), log_id=self.log_id)

    def calls(self) -> list[dict[str, Any]]:
        return [call_values(self.log_id, call) for call in self.made]


def _new(connection: sa.Connection, log_id: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    there = set(connection.execute(sa.select(calls.c.ordinal).where(calls.c.log_id == log_id)).scalars())
    return [row for row in rows if row["ordinal"] not in there]


def _is_there(connection: sa.Connection, log_id: str) -> bool:
    return connection.execute(sa.select(logs.c.log_id).where(logs.c.log_id == log_id)).first() is not None


def call_values(log_id: str, call: Call) -> dict[str, Any]:
    """A model request of a row, by the names of its columns."""
    return dict(zip(CALL_COLUMNS, (log_id, *_call(call)), strict=True))
