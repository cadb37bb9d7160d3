"""The audit log as a dispatch sees it: a row is opened, told its session, ended; the event loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

from dispatcher.action.observation import Call
from dispatcher.audit.record import AttemptEnding, AttemptOpening
from dispatcher.audit.trouble import named, reason_of
from dispatcher.audit.writer import Writer
from dispatcher.cancellation import to_its_end
from dispatcher.errors import LogUnavailable

T = TypeVar("T")

# SQLite has one writer at a time; elsewhere more connections give more rows a second.
_SQLITE_THREADS = 1
_THREADS = 4


class Log:
    """Writes attempts to `ai_outbound_logs` and their model requests to `ai_outbound_calls`.

    What blocks runs on the log's own threads. A statement that was asked for runs to its end: the cancellation of the
    task that awaits it is raised only when the database has answered. So after a cancelled `open` the matter is
    settled: the row is there and `close` ends it, or it was refused and `close` says that there is no such row.

    Every method may be repeated with the same values. A log may be used from several event loops, but not in a child
    after a fork, which builds its own.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._url = engine.url
        self._writer = Writer(engine)
        threads = _SQLITE_THREADS if engine.dialect.name == "sqlite" else _THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="audit-log")

    async def open(self, opening: AttemptOpening) -> None:
        """Insert the row as `started`; it is durable when this returns.

        Raises ConversationContinues where the conversation already has a turn, and LogUnavailable where the database
        can't take the row: the action is not accepted then.
        """
        failure = "the audit log can't take the row, so nothing was sent to the provider"
        await self._run(failure, lambda: self._writer.open(opening))

    async def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> None:
        """Tell an open row its session. Raises LogUnavailable where it can't be told."""
        failure = f"the audit log can't note the session of row {log_id}"
        if not await self._run(failure, lambda: self._writer.note_session(log_id, session_id, agent_id, agent_version)):
            raise LogUnavailable(f"{failure}: no such row is open")

    async def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call]) -> None:
        """End an open row and insert its calls, in one transaction; an ended row never changes.

        Raises LogUnavailable where the database can't take the ending or has no such row.
        """
        failure = f"the audit log can't end row {log_id}"
        if not await self._run(failure, lambda: self._writer.close(log_id, ending, calls)):
            raise LogUnavailable(f"{failure}: {named(self._url)} has no such row")

    def shutdown(self) -> None:
        """Wait for what was asked for, then give the connections back; blocks."""
        self._threads.shutdown()
        self._writer.release()

    async def _run(self, failure: str, work: Callable[[], T]) -> T:
        try:
            statement = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError:
            raise LogUnavailable(f"{failure}: it is shut down") from None
        try:
            return await to_its_end(statement)
        except (sa.exc.SQLAlchemyError, UnicodeError, OverflowError) as error:
            raise LogUnavailable(f"{failure}: {named(self._url)}: {reason_of(error, self._url)}") from None
