"""Asking the database from an event loop, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.audit.settling import Settling
from dispatcher.audit.threads import Threads
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import LogUnavailable

T = TypeVar("T")

# SQLite has one writer at a time; elsewhere more connections give more rows a second.
_SQLITE_THREADS = 1
_THREADS = 4
_LEAVING_S = 2.0


class NotNow(LogUnavailable):
    """The database refuses, or doesn't answer, for a reason that isn't the statement's own.

    `statement` is one that it may still carry out.
    """

    def __init__(self, message: str, statement: Future[Any] | None = None) -> None:
        self.statement = statement
        super().__init__(message)


class Asking:
    """The threads that wait for the database of a log.

    With a bound, nobody stands in line once every thread has been waiting for longer. `on_answer` is called whenever
    the database has carried something out, on whatever thread.
    """

    def __init__(self, engine: sa.Engine, bound_s: float | None, on_answer: Callable[[], None]) -> None:
        self._url = engine.url
        self._threads = Threads(_SQLITE_THREADS if engine.dialect.name == "sqlite" else _THREADS, "audit-log")
        self._bound_s = bound_s
        self._on_answer = on_answer

    async def ask(self, failure: str, work: Callable[[], T], waiting: Settling, patience_s: float | None = None) -> T:
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
                statement.add_done_callback(self._answered_late)
                begun = None if statement.cancelled() else statement
                raise NotNow(f"{failure}: {named(self._url)} hasn't answered within {patience_s:g} s", begun)
            done = statement.result()
        except (sa.exc.IntegrityError, sa.exc.DataError, UnicodeError, OverflowError) as error:
            raise LogUnavailable(f"{failure}: {named(self._url)}: {reason_of(error, self._url)}") from None
        except sa.exc.SQLAlchemyError as error:
            raise NotNow(f"{failure}: {named(self._url)}: {reason_of(error, self._url)}") from None
        self._on_answer()
        return done

    def shutdown(self) -> bool:
        """Wait for what was asked for, some seconds at most; blocks. False where a database that hangs has it still."""
        return self._threads.shutdown(_LEAVING_S)

    def _answered_late(self, statement: Future[Any]) -> None:
        if not statement.cancelled() and statement.exception() is None:
            self._on_answer()

    def _submitted(self, failure: str, work: Callable[[], T]) -> Future[T]:
        hanging_s = self._threads.hanging_s()
        if self._bound_s is not None and hanging_s > self._bound_s:
            raise NotNow(f"{failure}: {named(self._url)} hasn't answered for {hanging_s:.0f} s")
        try:
            return self._threads.submit(work)
        except RuntimeError:
            raise LogUnavailable(f"{failure}: it is shut down") from None


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
