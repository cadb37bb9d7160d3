"""Connections that are kept between statements, one of each thread, and the transactions on them."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.errors import DispatcherError

T = TypeVar("T")


class Connections:
    """One connection of each thread, kept between statements; every statement outside `transaction` commits itself."""

    def __init__(self, engine: sa.Engine) -> None:
        self.dialect = engine.dialect
        self._engine = engine
        self._held: dict[int, sa.Connection] = {}
        self._no_fork: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if engine.dialect.name == "sqlite":
            self._no_fork = lock = threading.Lock()
            _close_before_forks(weakref.ref(self), lock)

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Do the work on this thread's connection, and once more on a new one where the connection broke.

        An error of this package leaves the connection as it is; any other one ends it.
        """
        try:
            return self._attempt(work)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._attempt(work)

    def once(self, work: Callable[[sa.Connection], T]) -> T:
        """Do the work on a connection that isn't kept: for threads that come and go."""
        with self._no_fork, self._engine.connect() as connection:
            return work(connection.execution_options(isolation_level="AUTOCOMMIT"))

    def release(self) -> None:
        """Give the connections back to the engine; no statement may be running."""
        while self._held:
            # One that has broken since it was used last has nothing left to give.
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                self._held.popitem()[1].close()

    def part_with_file(self) -> None:
        """Close every connection; the next statement opens one again."""
        self.release()
        self._engine.dispose()

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
        except DispatcherError:
            raise
        except BaseException:
            # Whatever it was in the middle of ends with the connection.
            del self._held[thread]
            connection.invalidate()
            connection.close()
            raise


@contextlib.contextmanager
def transaction(connection: sa.Connection) -> Iterator[None]:
    """All or nothing of what is done inside; committed when it is left."""
    # SQLite's plain BEGIN would take the write lock only at the first write, after what was read before it.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.dialect.name == "sqlite" else "BEGIN")
    try:
        yield
    except BaseException:
        # A connection that can't roll back, or has done so by itself, must not hide what went wrong.
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _close_before_forks(connections: weakref.ref[Connections], lock: threading.Lock) -> None:
    # SQLite notes in the memory of the process which locks the process holds on a file. A child inherits the notes but
    # not the locks: its own connections would wait for its parent's for ever, or write to a WAL file that the parent
    # takes for its own and deletes. So no connection to the file is open while the process forks.
    def before() -> None:
        lock.acquire()
        if (alive := connections()) is not None:
            alive.part_with_file()

    os.register_at_fork(before=before, after_in_parent=lock.release, after_in_child=lock.release)
