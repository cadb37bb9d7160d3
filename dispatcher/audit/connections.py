"""Connections that are kept between statements, one of each thread, and the transactions on them."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from dispatcher.audit.bounds import answer_s_of
from dispatcher.audit.trouble import is_deadlock
from dispatcher.errors import DispatcherError

T = TypeVar("T")

_DEADLOCKS = 20


class BrokenOff(sa.exc.OperationalError):
    """The connection broke under the work, so nobody knows whether the database has carried it out."""


class Connections:
    """One connection of each thread, kept between statements; every statement outside `transaction` commits itself."""

    def __init__(self, engine: sa.Engine) -> None:
        self.dialect = engine.dialect
        self._engine = engine
        self._answer_s = answer_s_of(engine) or math.inf
        self._held: dict[int, sa.Connection] = {}
        self._no_fork: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if engine.dialect.name == "sqlite":
            self._no_fork = lock = threading.Lock()
            close_before_forks(weakref.ref(self), lock)

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Do the work on this thread's connection, and once more on a new one where the connection broke.

        Work that the database gave up for another's, because each held what the other waited for, is done again, too:
        up to `_DEADLOCKS` times. Where the connection broke because no answer came, nothing is asked again. An error
        of this package leaves it as it is; any other one ends it. Raises BrokenOff where the work may have been done.
        """
        broken: sa.exc.SQLAlchemyError | None = None
        deadlocks = 0
        while True:
            began = time.monotonic()
            try:
                return self._attempt(work)
            except (sa.exc.IntegrityError, sa.exc.DataError):
                raise
            except sa.exc.DBAPIError as error:
                if is_deadlock(error) and deadlocks < _DEADLOCKS:
                    deadlocks += 1
                elif broken is None and error.connection_invalidated and time.monotonic() - began < self._answer_s:
                    broken = error
                elif broken is not None or error.connection_invalidated:
                    raise BrokenOff(error.statement, None, error.orig or error, hide_parameters=True) from error
                else:
                    raise

    def once(self, work: Callable[[sa.Connection], T]) -> T:
        """Do the work on a connection that isn't kept: for threads that come and go."""
        with self._no_fork, self._engine.connect() as connection:
            return work(connection.execution_options(isolation_level="AUTOCOMMIT"))

    def release(self) -> None:
        """Close the connections; no statement may be running."""
        while self._held:
            connection = self._held.popitem()[1]
            # An engine that was disposed of meanwhile wouldn't close what it is given back. One that has broken since
            # it was used last has nothing left to close.
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.detach()
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.close()

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


class HoldsFile(Protocol):
    """What has connections to a SQLite file."""

    def part_with_file(self) -> None:
        """Close every connection; the next statement opens one again."""


def close_before_forks(holder: weakref.ref[HoldsFile], lock: threading.Lock) -> None:
    """Close the connections to a SQLite file before the process forks, holding the lock that guards them meanwhile."""
    _before_forks.add(holder, lock)


class _BeforeForks:
    """Whose connections are closed before a fork.

    SQLite notes in the memory of the process which locks the process holds on a file. A child inherits the notes but
    not the locks: its own connections would wait for its parent's for ever, or write to a WAL file that the parent
    takes for its own and deletes. So no connection to the file is open while the process forks, nor is any holder added
    by another thread.
    """

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self._holders: list[tuple[weakref.ref[HoldsFile], threading.Lock]] = []
        self._held: list[threading.Lock] = []

    def add(self, holder: weakref.ref[HoldsFile], lock: threading.Lock) -> None:
        with self._adding:
            self._holders = [other for other in self._holders if other[0]() is not None] + [(holder, lock)]

    def before(self) -> None:
        self._adding.acquire()
        for holder, lock in self._holders:
            lock.acquire()
            self._held.append(lock)
            if (alive := holder()) is not None:
                alive.part_with_file()

    def after(self) -> None:
        while self._held:
            self._held.pop().release()
        self._adding.release()


_before_forks = _BeforeForks()
os.register_at_fork(
    before=_before_forks.before, after_in_parent=_before_forks.after, after_in_child=_before_forks.after
)
