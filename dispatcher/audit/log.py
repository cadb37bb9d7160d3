"""The audit log as a dispatch sees it: a row is opened, told its session, ended; the event loop never waits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import sqlalchemy as sa

from dispatcher.action.observation import Call
from dispatcher.audit.acceptance import Acceptance
from dispatcher.audit.asking import Asking
from dispatcher.audit.bounds import answer_s_of
from dispatcher.audit.claims import Key
from dispatcher.audit.connections import Connections
from dispatcher.audit.doubts import Doubts
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
from dispatcher.audit.settling import settling
from dispatcher.audit.spooling import Spooling
from dispatcher.audit.trouble import named
from dispatcher.audit.writer import Writer
from dispatcher.errors import LogUnavailable

T = TypeVar("T")


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
        self._opener = Opener(engine.dialect)
        self._writer = Writer(engine.dialect)
        self._reader = Reader(self._connections)
        self._spooling = spooling
        bound_s = None if spooling is None else spooling.patience_s
        self._asking = Asking(engine.url, self._connections, bound_s, self._database_answers)
        self._doubts = Doubts(self._end_alone, self._asking.meanwhile)
        self._answer_s = answer_s_of(engine)
        self._acceptance = Acceptance(self._asking, spooling, self._doubts, self._answer_s)

    async def open(
        self,
        opening: AttemptOpening,
        *,
        request_hash: str | None = None,
        room: Room | None = None,
        fail_open: bool = False,
        within_s: float | None = None,
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

        The database is waited for as long as it may take for a statement, and no longer than `within_s` seconds.

        Raises ConversationBusy where another action has the conversation's turn; ActionInProgress, DuplicateAction or
        IdempotencyKeyReused where another dispatch has the key; BudgetExhausted; and LogUnavailable: the action is not
        accepted then. RowInDoubt is a LogUnavailable of a row that may be there all the same, and must be closed.
        """
        with settling() as waiting:
            await self._acceptance.open(
                opening,
                self._opener.opening(opening, request_hash, room),
                waiting,
                fail_open=fail_open,
                within_s=within_s,
            )

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
            noted = await self._acceptance.tell(
                failure,
                log_id,
                self._writer.session(*told),
                lambda spooling: spooling.note_session(*told),
                waiting,
            )
            if not noted:
                raise LogUnavailable(f"{failure}: no such row is open")

    async def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None = None) -> None:
        """End an open row, insert its calls and keep its content, in one transaction; an ended row never changes.

        The content is kept under the row's own conversation and idempotency key. A row in doubt is ended, if it is
        there, as soon as that is known, and nobody waits. Raises LogUnavailable also where there is no such row.
        """
        failure = f"the audit log can't end row {log_id}"
        if self._doubts.end(log_id, ending):
            return
        with settling() as waiting:
            ended = await self._acceptance.tell(
                failure,
                log_id,
                self._writer.ending(log_id, ending, calls, kept),
                lambda spooling: spooling.close(log_id, ending, calls, kept),
                waiting,
            )
            if not ended:
                raise LogUnavailable(f"{failure}: {named(self._url)} has no such row")
            self._acceptance.forget(log_id)

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
        failure = "the audit log can't say whose the sessions are"
        with settling() as waiting:
            # Of many rows, for whoever has the time.
            return await self._asking.ask(failure, lambda: self._reader.sessions(log_ids), waiting)

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

    def _end_alone(self, log_id: str, ending: AttemptEnding) -> bool:
        return self._connections.run(self._writer.ending(log_id, ending, (), None).alone)

    def _database_answers(self) -> None:
        if self._spooling is not None:
            self._spooling.database_answers()
        self._doubts.settle()

    async def _run(self, failure: str, work: Callable[[], T]) -> T:
        with settling() as waiting:
            return await self._asking.ask(failure, work, waiting, self._answer_s)
