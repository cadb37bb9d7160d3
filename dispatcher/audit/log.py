"""The audit log as a dispatch sees it: a row is opened, told its session, ended; the event loop never waits."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from enum import Enum, auto
from typing import TypeVar

import sqlalchemy as sa

from dispatcher.action.observation import Call
from dispatcher.audit.asking import Asking, NotNow
from dispatcher.audit.claims import Key
from dispatcher.audit.connections import Connections
from dispatcher.audit.opener import Opener
from dispatcher.audit.reader import Reader
from dispatcher.audit.record import (
    AttemptEnding,
    AttemptOpening,
    ConversationSoFar,
    Kept,
    Origin,
    Room,
    SweptRow,
)
from dispatcher.audit.settling import Settling, settling
from dispatcher.audit.spool_entry import why_it_cannot_wait
from dispatcher.audit.spooling import Spooling
from dispatcher.audit.trouble import named
from dispatcher.audit.writer import Writer
from dispatcher.errors import LogUnavailable

T = TypeVar("T")


class _Accepted(Enum):
    """Where an attempt's row is durable since it was accepted; of a gap, that there is no row is."""

    DATABASE = auto()
    SPOOL = auto()
    GAP = auto()


class Log:
    """Writes attempts to `ai_outbound_logs` and their model requests to `ai_outbound_calls`, and says what is there.

    What the database refuses, or hasn't answered in time, goes to the spool, and from the first of an attempt's
    statements that did all later ones do, so that they reach the database in their order. A statement that a slow
    database carries out after all is met again when the spool is drained, and never doubled. Whatever the database
    that all hosts share must grant is asked of it alone.

    What blocks runs on the log's own threads. What was asked for runs to its end: the cancellation of the task that
    awaits it is raised only when it is settled. So after a cancelled `open` the row is there and `close` ends it, or it
    was refused and `close` says that there is no such row.

    Every method may be repeated with the same values. A log may be used from several event loops, but not in a child
    after a fork, which builds its own. All raise LogUnavailable where neither can do what they ask.
    """

    def __init__(self, engine: sa.Engine, spooling: Spooling | None = None) -> None:
        self._engine = engine
        self._url = engine.url
        self._connections = Connections(engine)
        self._opener = Opener(self._connections)
        self._writer = Writer(self._connections)
        self._reader = Reader(self._connections)
        self._spooling = spooling
        bound_s = None if spooling is None else spooling.patience_s
        on_answer = (lambda: None) if spooling is None else spooling.database_answers
        self._asking = Asking(engine, bound_s, on_answer)
        # Of attempts under way.
        self._accepted: dict[str, _Accepted] = {}

    async def open(
        self,
        opening: AttemptOpening,
        *,
        request_hash: str | None = None,
        room: Room | None = None,
        fail_open: bool = False,
    ) -> None:
        """Insert the row as `started`; it is durable when this returns, with all that it claims, or nothing of it is.

        An opening with an idempotency key comes with the hash of its request. The dispatch's first attempt claims the
        key; its fallback needs the dispatch to hold it still. With `room` the row's reservation must fit beside what
        the tenant's rows of the feature and origin, shadows apart, have cost and reserved; a cost that isn't known
        counts as its reservation. Neither is ever more than one of several concurrent starts is granted, in whatever
        thread or process.

        Where neither the database nor the spool can take the row, `fail_open` has it carried out without one, if that
        there is none can be noted durably. What the database must grant, and what it would never take, is refused then
        too.

        Raises ConversationBusy where another action has the conversation's turn; ActionInProgress, DuplicateAction or
        IdempotencyKeyReused where another dispatch has the key; BudgetExhausted; and LogUnavailable: the action is not
        accepted then.
        """
        with settling() as waiting:
            accepted = await self._open(opening, request_hash, room, waiting, fail_open=fail_open)
            self._accepted[opening.log_id] = accepted

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
        told = (log_id, session_id, agent_id, agent_version)
        with settling() as waiting:
            noted = await self._tell(
                failure,
                log_id,
                lambda: self._writer.note_session(*told),
                lambda spooling: spooling.note_session(*told),
                waiting,
            )
            if not noted:
                raise LogUnavailable(f"{failure}: no such row is open")

    async def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None = None) -> None:
        """End an open row, insert its calls and keep its content, in one transaction; an ended row never changes.

        The content is kept under the row's own conversation and idempotency key. Raises LogUnavailable also where
        there is no such row.
        """
        failure = f"the audit log can't end row {log_id}"
        with settling() as waiting:
            ended = await self._tell(
                failure,
                log_id,
                lambda: self._writer.close(log_id, ending, calls, kept),
                lambda spooling: spooling.close(log_id, ending, calls, kept),
                waiting,
            )
            if not ended:
                raise LogUnavailable(f"{failure}: {named(self._url)} has no such row")
            self._accepted.pop(log_id, None)

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
        """Wait for what was asked for, then close the connections; blocks.

        A statement that a database which hangs doesn't answer is left to itself after some seconds: what it was to say
        is in the spool.
        """
        is_over = self._asking.shutdown()
        if is_over:
            self._connections.release()
        if self._spooling is not None:
            is_over = self._spooling.shutdown() and is_over
        if is_over:
            self._engine.dispose()

    async def _open(
        self,
        opening: AttemptOpening,
        request_hash: str | None,
        room: Room | None,
        waiting: Settling,
        *,
        fail_open: bool,
    ) -> _Accepted:
        failure = "the audit log can't take the row, so nothing was sent to the provider"
        alone = why_it_cannot_wait(opening)
        spooling = None if alone is not None else self._spooling
        patience_s = None if spooling is None else spooling.patience_s
        try:
            await self._asking.ask(failure, lambda: self._opener.open(opening, request_hash, room), waiting, patience_s)
        except NotNow as refused:
            if spooling is None:
                raise refused if self._spooling is None else LogUnavailable(f"{refused}; {alone}") from None
            try:
                await self._spool(spooling, refused, lambda: spooling.open(opening), waiting)
            except LogUnavailable as neither:
                if fail_open:
                    why = str(neither)
                    await self._spool(spooling, neither, lambda: spooling.note_gap(opening, why), waiting)
                    return _Accepted.GAP
                # What may still become a row isn't refused.
                if refused.statement is None:
                    raise
                await self._asking.answer(failure, refused.statement, waiting)
                return _Accepted.DATABASE
            return _Accepted.SPOOL
        return _Accepted.DATABASE

    async def _tell(
        self,
        failure: str,
        log_id: str,
        in_database: Callable[[], bool],
        in_spool: Callable[[Spooling], Future[None]],
        waiting: Settling,
    ) -> bool:
        """Tell an attempt something, where its row is; False where the database has no row that can be told it."""
        accepted, spooling = self._accepted.get(log_id), self._spooling
        if spooling is None or accepted is None:
            # Whether there is such a row at all, only the database can say.
            patience_s = None if spooling is None else spooling.patience_s
            return await self._asking.ask(failure, in_database, waiting, patience_s)
        if accepted is _Accepted.GAP:
            # The statement that it didn't answer may have become a row after all.
            with contextlib.suppress(LogUnavailable):
                await self._asking.ask(failure, in_database, waiting, spooling.patience_s)
            return True
        refused = LogUnavailable(failure)
        if accepted is _Accepted.DATABASE:
            try:
                return await self._asking.ask(failure, in_database, waiting, spooling.patience_s)
            except LogUnavailable as error:
                refused = error
        try:
            await self._spool(spooling, refused, lambda: in_spool(spooling), waiting)
        except LogUnavailable:
            if not isinstance(refused, NotNow) or refused.statement is None:
                raise
            told: bool = await self._asking.answer(failure, refused.statement, waiting)
            return told
        self._accepted[log_id] = _Accepted.SPOOL
        return True

    async def _spool(
        self, spooling: Spooling, refused: LogUnavailable, take: Callable[[], Future[None]], waiting: Settling
    ) -> None:
        """Have the spool take what the database refused. Raises LogUnavailable with both reasons."""
        try:
            await waiting.result(asyncio.wrap_future(take()))
        except LogUnavailable as error:
            raise LogUnavailable(f"{refused}; {error}") from None
        if isinstance(refused, NotNow):
            spooling.database_refuses(str(refused))

    async def _run(self, failure: str, work: Callable[[], T]) -> T:
        with settling() as waiting:
            return await self._asking.ask(failure, work, waiting)
