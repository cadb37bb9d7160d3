"""The audit log as a dispatch sees it: a row is opened, told its session, ended; the event loop never waits."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

from dispatcher.action.observation import Call
from dispatcher.audit.claims import Key
from dispatcher.audit.connections import Connections
from dispatcher.audit.opener import Opener
from dispatcher.audit.reader import Reader
from dispatcher.audit.record import AttemptEnding, AttemptOpening, ConversationSoFar, Kept, Origin, Room, SweptRow
from dispatcher.audit.trouble import named, reason_of
from dispatcher.audit.writer import Writer
from dispatcher.errors import LogUnavailable

T = TypeVar("T")

# SQLite has one writer at a time; elsewhere more connections give more rows a second.
_SQLITE_THREADS = 1
_THREADS = 4


class Log:
    """Writes attempts to `ai_outbound_logs` and their model requests to `ai_outbound_calls`, and says what is there.

    What blocks runs on the log's own threads. A statement that was asked for runs to its end: the cancellation of the
    task that awaits it is raised only when the database has answered. So after a cancelled `open` the matter is
    settled: the row is there and `close` ends it, or it was refused and `close` says that there is no such row.

    Every method may be repeated with the same values. A log may be used from several event loops, but not in a child
    after a fork, which builds its own. All raise LogUnavailable where the database can't do what they ask.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._url = engine.url
        self._connections = Connections(engine)
        self._opener = Opener(self._connections)
        self._writer = Writer(self._connections)
        self._reader = Reader(self._connections)
        threads = _SQLITE_THREADS if engine.dialect.name == "sqlite" else _THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="audit-log")

    async def open(self, opening: AttemptOpening, *, request_hash: str | None = None, room: Room | None = None) -> None:
        """Insert the row as `started`; it is durable when this returns, with all that it claims, or nothing of it is.

        An opening with an idempotency key comes with the hash of its request. The dispatch's first attempt claims the
        key; its fallback needs the dispatch to hold it still. With `room` the row's reservation must fit beside what
        the tenant's rows of the feature and origin, shadows apart, have cost and reserved; a cost that isn't known
        counts as its reservation. Neither is ever more than one of several concurrent starts is granted, in whatever
        thread or process.

        Raises ConversationBusy where another action has the conversation's turn; ActionInProgress, DuplicateAction or
        IdempotencyKeyReused where another dispatch has the key; BudgetExhausted; and LogUnavailable: the action is not
        accepted then.
        """
        failure = "the audit log can't take the row, so nothing was sent to the provider"
        await self._run(failure, lambda: self._opener.open(opening, request_hash, room))

    async def refuse_taken_key(self, tenant: str, feature: str, idempotency_key: str, request_hash: str) -> None:
        """Raise what `open` would raise for the key right now; claims nothing.

        A repeated action must hear of its key before anything else is looked at that it changed itself.
        """
        failure = "the audit log can't say who holds the idempotency key"
        key = Key(tenant, feature, idempotency_key)
        await self._run(failure, lambda: self._reader.refuse_if_taken(key, request_hash))

    async def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> None:
        """Tell an open row its session. Raises LogUnavailable also where no such row is open."""
        failure = f"the audit log can't note the session of row {log_id}"
        if not await self._run(failure, lambda: self._writer.note_session(log_id, session_id, agent_id, agent_version)):
            raise LogUnavailable(f"{failure}: no such row is open")

    async def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None = None) -> None:
        """End an open row, insert its calls and keep its content, in one transaction; an ended row never changes.

        The content is kept under the row's own conversation and idempotency key. Raises LogUnavailable also where
        there is no such row.
        """
        failure = f"the audit log can't end row {log_id}"
        if not await self._run(failure, lambda: self._writer.close(log_id, ending, calls, kept)):
            raise LogUnavailable(f"{failure}: {named(self._url)} has no such row")

    async def conversation(
        self, tenant: str, feature: str, conversation_id: str, *, origin: Origin, now: dt.datetime
    ) -> ConversationSoFar:
        """What is known of the conversation at the moment `now`."""
        failure = "the audit log can't say what was asked before in the conversation"
        return await self._run(
            failure, lambda: self._reader.conversation(tenant, feature, conversation_id, origin, now)
        )

    async def kept_result(
        self, tenant: str, feature: str, idempotency_key: str, *, origin: Origin, now: dt.datetime
    ) -> str | None:
        """The content that was kept as the result of the key; None where none is kept, or it has expired by `now`."""
        failure = "the audit log can't say what was answered under the idempotency key"
        return await self._run(failure, lambda: self._reader.kept_result(tenant, feature, idempotency_key, origin, now))

    async def sessions(self, log_ids: Collection[str]) -> Mapping[str, SweptRow]:
        """What is known of the rows that created sessions, by `log_id`; rows that aren't here are left out."""
        return await self._run("the audit log can't say whose the sessions are", lambda: self._reader.sessions(log_ids))

    def shutdown(self) -> None:
        """Wait for what was asked for, then give the connections back; blocks."""
        self._threads.shutdown()
        self._connections.release()

    async def _run(self, failure: str, work: Callable[[], T]) -> T:
        try:
            statement = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError:
            raise LogUnavailable(f"{failure}: it is shut down") from None
        try:
            return await to_its_end(statement)
        except (sa.exc.SQLAlchemyError, UnicodeError, OverflowError) as error:
            raise LogUnavailable(f"{failure}: {named(self._url)}: {reason_of(error, self._url)}") from None


async def to_its_end(work: Awaitable[T]) -> T:
    """Await work to its end, whatever cancels meanwhile; a cancellation that came is raised afterwards."""
    future = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not future.cancelled():
            # Looked at, so that the loop doesn't report an error nobody awaits.
            future.exception()
        raise cancelled
    return future.result()
