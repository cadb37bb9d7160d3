"""Asking the database from an event loop, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.audit.bounds import LOG_THREADS
from dispatcher.audit.connections import BrokenOff, Connections
from dispatcher.audit.settling import Settling
from dispatcher.audit.threads import Threads
from dispatcher.audit.together import Together
from dispatcher.audit.trouble import named, reason_of
from dispatcher.audit.units import Unit, carried_out
from dispatcher.errors import DispatcherError, LogUnavailable

T = TypeVar("T")

# It has one writer at a time.
_SQLITE_THREADS = 1
# For longer than so many rows take, nobody is held off.
_MOST_TOGETHER = 64
_LEAVING_S = 2.0
_WHAT_TO_DO = "ask again when it does; `dispatcher doctor` says whether it can be reached"


class NotNow(LogUnavailable):
    """The database refuses, or doesn't answer, for a reason that isn't the statement's own.

    `statement` is one that it may still carry out; `in_doubt` is whether it may do so, or have done so already.
    """

    def __init__(self, message: str, statement: Future[Any] | None = None, *, broken: bool = False) -> None:
        self.statement = statement
        self.in_doubt = broken or statement is not None
        super().__init__(message)


class Asking:
    """The threads that wait for the database of a log.

    With a bound, nobody stands in line once every thread has been waiting for longer. And from the moment at which one
    was not answered in time until somebody is, only one at a time is asked whether it answers again. `on_answer` is
    called whenever the database has said anything but that it can't now, on whatever thread.

    Units that come while others are carried out are committed together after them.
    """

    def __init__(
        self, url: sa.URL, connections: Connections, bound_s: float | None, on_answer: Callable[[], None]
    ) -> None:
        self._url = url
        self._connections = connections
        self._threads = Threads(_SQLITE_THREADS if connections.dialect.name == "sqlite" else LOG_THREADS, "audit-log")
        self._together: Together[Unit[Any], Any] = Together(
            self._threads, _MOST_TOGETHER, lambda units: carried_out(connections, units)
        )
        self._bound_s = bound_s
        self._on_answer = on_answer
        self._silent_since: float | None = None
        self._probe: Future[Any] | None = None

    async def ask(
        self, failure: str, work: Callable[[], T] | Unit[T], waiting: Settling, patience_s: float | None = None
    ) -> T:
        """What the database answers; with patience, in that time, or NotNow.

        Raises NotNow also where it refuses for a reason of its own, LogUnavailable where the statement is at fault, and
        whatever else the work raises.
        """
        return await self.answer(failure, self._submitted(failure, work), waiting, patience_s)

    async def answer(self, failure: str, statement: Future[T], waiting: Settling, patience_s: float | None = None) -> T:
        """What becomes of a statement, as `ask` says it."""
        answer = asyncio.wrap_future(statement)
        answer.add_done_callback(_looked_at)
        try:
            if not await waiting.within(answer, patience_s) and not _is_done_after_all(statement, answer):
                raise self._unanswered(failure, statement, f"within {patience_s:g} s")
            done = statement.result()
        except (sa.exc.IntegrityError, sa.exc.DataError, UnicodeError, OverflowError) as error:
            self._heard()
            raise LogUnavailable(f"{failure}: {named(self._url)}: {reason_of(error, self._url)}") from None
        except sa.exc.SQLAlchemyError as error:
            why = f"{failure}: {named(self._url)}: {reason_of(error, self._url)}"
            raise NotNow(why, broken=isinstance(error, BrokenOff)) from None
        except NotNow:
            raise
        except DispatcherError:
            self._heard()
            raise
        self._heard()
        return done

    def meanwhile(self, work: Callable[[], object]) -> bool:
        """Have something done that nobody waits for; False where the database keeps everybody waiting."""
        try:
            self._submitted("", work)
        except LogUnavailable:
            return False
        return True

    def shutdown(self) -> bool:
        """Wait for what was asked for, some seconds at most; blocks. False where a database that hangs has it still."""
        return self._threads.shutdown(_LEAVING_S)

    def _unanswered(self, failure: str, statement: Future[Any], within: str) -> NotNow:
        statement.add_done_callback(self._answered_late)
        self._silent_since = self._silent_since or time.monotonic()
        begun = None if statement.cancelled() else statement
        return NotNow(f"{failure}: {named(self._url)} hasn't answered {within}; {_WHAT_TO_DO}", begun)

    def _answered_late(self, statement: Future[Any]) -> None:
        if not statement.cancelled() and statement.exception() is None:
            self._heard()

    def _heard(self) -> None:
        self._silent_since = None
        self._on_answer()

    def _submitted(self, failure: str, work: Callable[[], T] | Unit[T]) -> Future[T]:
        silent_s = self._silent_s()
        if silent_s is not None:
            raise NotNow(f"{failure}: {named(self._url)} hasn't answered for {silent_s:.0f} s; {_WHAT_TO_DO}")
        try:
            statement = self._begun(work)
        except RuntimeError:
            raise LogUnavailable(f"{failure}: it is shut down") from None
        if self._silent_since is not None:
            self._probe = statement
        return statement

    def _begun(self, work: Callable[[], T] | Unit[T]) -> Future[T]:
        if not isinstance(work, Unit):
            return self._threads.submit(work)
        if work.many is None:
            return self._threads.submit(lambda: self._connections.run(work.alone))
        return self._together.submit(work)

    def _silent_s(self) -> float | None:
        """For how long the database has said nothing, where nobody is to wait for it now."""
        if self._bound_s is None:
            return None
        hanging_s, since = self._threads.hanging_s(), self._silent_since
        if hanging_s > self._bound_s:
            return hanging_s
        is_asked = since is not None and self._probe is not None and not self._probe.done()
        return time.monotonic() - since if is_asked and since is not None else None


def _looked_at(answer: asyncio.Future[T]) -> None:
    # So that the loop doesn't report an error that nobody awaits any more.
    if not answer.cancelled():
        answer.exception()


def _is_done_after_all(statement: Future[T], answer: asyncio.Future[T]) -> bool:
    """Give up waiting for a statement, unless it was done meanwhile; one that hasn't begun never does."""
    if not statement.cancel() and statement.done():
        return True
    # Nobody looks at how it ends. Draining finds out whether it was carried out.
    answer.cancel()
    return False
