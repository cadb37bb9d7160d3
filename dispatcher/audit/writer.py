"""The statements that write an attempt, blocking; every one is committed when its method returns."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.action.observation import Call, Usage
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.record import AttemptEnding, AttemptOpening
from dispatcher.audit.statement import Statement, given
from dispatcher.audit.tables import calls, logs
from dispatcher.errors import ConversationContinues

T = TypeVar("T")

_OPENING = [field.name for field in fields(AttemptOpening)]
_ENDING = [field.name for field in fields(AttemptEnding)]
_SESSION = ["session_id", "agent_id", "agent_version"]
_USAGE = [field.name for field in fields(Usage)]
_CALL = [field.name for field in fields(Call) if field.name != "usage"]
_STARTED: sa.ColumnElement[str] = sa.literal_column("'started'")


class Writer:
    """Writes attempts through one connection of each thread, kept between statements.

    Each statement commits by itself, which saves the round trips of a transaction; only an ending with its calls is
    one transaction. Every method may be repeated with the same values, and is, once, where the connection broke.
    All raise sqlalchemy's errors where the database refuses.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._held: dict[int, sa.Connection] = {}
        self._no_fork: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if engine.dialect.name == "sqlite":
            self._no_fork = lock = threading.Lock()
            _close_before_forks(weakref.ref(self), lock)
        # What a second commit noted stays known where the ending doesn't know it.
        known = {name: sa.func.coalesce(given(logs.c[name]), logs.c[name]) for name in _SESSION}
        ending = [name for name in _ENDING if name not in known]
        only_open = sa.update(logs).where(logs.c.log_id == given(logs.c.log_id), logs.c.status == _STARTED)
        end = only_open.values(landed_at=DatabaseNow(), **known)
        self._open = Statement(sa.insert(logs).values(status=_STARTED), _OPENING, engine.dialect)
        self._note = Statement(only_open, _SESSION, engine.dialect)
        self._end = Statement(end, ending, engine.dialect)
        self._calls = Statement(sa.insert(calls), ["log_id", *_CALL, *_USAGE], engine.dialect)

    def open(self, opening: AttemptOpening) -> None:
        """Insert the row as `started`. Raises ConversationContinues where its turn is taken."""
        values = {name: getattr(opening, name) for name in _OPENING}
        if not self._on_connection(lambda connection: self._insert(connection, values)):
            raise ConversationContinues(
                f"conversation {opening.conversation_id!r} of tenant {opening.tenant!r} already has a turn and its "
                "transcript isn't kept; give each question its own conversation_id, or none"
            )

    def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> bool:
        """Tell an open row its session; False where no such row is open."""
        values = dict(zip(_SESSION, (session_id, agent_id, agent_version), strict=True), log_id=log_id)
        return self._on_connection(lambda connection: self._note.run(connection, values)) > 0

    def close(self, log_id: str, ending: AttemptEnding, made: Sequence[Call]) -> bool:
        """End an open row and insert its calls; an ended row is left alone. False where there is no such row."""
        values = {name: getattr(ending, name) for name in _ENDING} | {"log_id": log_id}
        rows = [_call_values(log_id, call) for call in made]
        return self._on_connection(lambda connection: self._finish(connection, values, rows))

    def release(self) -> None:
        """Give the connections back to the engine; no statement may be running."""
        while self._held:
            self._held.popitem()[1].close()

    def part_with_file(self) -> None:
        """Close every connection; the next statement opens one again."""
        self.release()
        self._engine.dispose()

    def _insert(self, connection: sa.Connection, values: Mapping[str, Any]) -> bool:
        try:
            self._open.run(connection, values)
        except sa.exc.IntegrityError:
            if self._is_ours(connection, values):
                return True
            if self._turn_is_taken(connection, values):
                return False
            raise
        return True

    def _finish(self, connection: sa.Connection, values: Mapping[str, Any], rows: list[dict[str, Any]]) -> bool:
        if not rows:
            ended = self._end.run(connection, values)
        else:
            connection.exec_driver_sql("BEGIN")
            ended = self._end.run(connection, values)
            if ended:
                self._calls.run_many(connection, rows)
            connection.exec_driver_sql("COMMIT")
        return ended > 0 or _one(connection, logs.c.log_id == values["log_id"])

    def _is_ours(self, connection: sa.Connection, values: Mapping[str, Any]) -> bool:
        # The first try landed although its connection broke: same row, made by the same dispatch.
        return _one(connection, logs.c.log_id == values["log_id"], logs.c.dispatch_id == values["dispatch_id"])

    def _turn_is_taken(self, connection: sa.Connection, values: Mapping[str, Any]) -> bool:
        key = ("tenant", "feature", "conversation_id")
        return values["conversation_id"] is not None and _one(connection, *(logs.c[n] == values[n] for n in key))

    def _on_connection(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            return self._attempt(work)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._attempt(work)

    def _attempt(self, work: Callable[[sa.Connection], T]) -> T:
        with self._no_fork:
            return self._on_held_connection(work)

    def _on_held_connection(self, work: Callable[[sa.Connection], T]) -> T:
        thread = threading.get_ident()
        connection = self._held.get(thread)
        if connection is None:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._held[thread] = connection
        try:
            return work(connection)
        except BaseException:
            # Whatever it was in the middle of ends with the connection.
            del self._held[thread]
            connection.invalidate()
            connection.close()
            raise


def _close_before_forks(writer: weakref.ref[Writer], lock: threading.Lock) -> None:
    # SQLite notes in the memory of the process which locks the process holds on a file. A child inherits the notes but
    # not the locks: its own connections would wait for its parent's for ever, or write to a WAL file that the parent
    # takes for its own and deletes. So no connection to the file is open while the process forks.
    def before() -> None:
        lock.acquire()
        if (alive := writer()) is not None:
            alive.part_with_file()

    os.register_at_fork(before=before, after_in_parent=lock.release, after_in_child=lock.release)


def _one(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> bool:
    return connection.execute(sa.select(sa.literal(1)).select_from(logs).where(*where).limit(1)).first() is not None


def _call_values(log_id: str, call: Call) -> dict[str, Any]:
    values = {name: getattr(call, name) for name in _CALL} | {name: getattr(call.usage, name) for name in _USAGE}
    return values | {"log_id": log_id}
