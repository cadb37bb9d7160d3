"""Which variant a conversation was first assigned, read from the log on a thread of its own."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

import sqlalchemy as sa

from dispatcher.action.decision import Assignment, Reason
from dispatcher.audit.connections import Connections
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import LogUnavailable

_ASSIGNING = (Reason.FLAG.value, Reason.SHARE.value)
_HANGS_S = 1.0
"""How long a look-up may take before no other one stands in line behind it."""
_SHUTDOWN_S = 1.0
_FOUND = ("routed_variant", "variant_hash", "turn", "assignment_key", "assignment_share")


class LoggedAssignments:
    """The assignments in the log of one origin.

    An assignment is made by the conversation's first turn whose decision was a `flag` or a `share` one; a shadow makes
    none. The thread is this reader's own, since a look-up must not wait behind the rows that are being written, and
    never keeps the interpreter from ending. May be asked from several threads and event loops, but not in a child after
    a fork, which builds its own.
    """

    def __init__(self, engine: sa.Engine, origin: Origin) -> None:
        self._url = engine.url
        self._origin = origin
        self._connections = Connections(engine)
        self._ended = threading.Event()
        self._asked: _Questions = SimpleQueue()
        # Not an executor's: the end of the interpreter waits for those, be it for a database that hangs.
        target = partial(_answer, self._asked, self._ended)
        self._thread = threading.Thread(target=target, name="audit-assignments", daemon=True)
        self._thread.start()
        weakref.finalize(self, self._asked.put, None)
        self._began: float | None = None
        # The first look-up of a turn shouldn't be the one that connects.
        self.look_up("", "", "")

    def look_up(self, tenant: str, feature: str, conversation_id: str) -> Future[Assignment | None]:
        """Begin to look for the conversation's assignment; LogUnavailable is the future's exception.

        While the database hangs, it is so at once: nobody has to wait, and no line grows without an end.
        """
        if self._ended.is_set():
            return _failed("it is shut down")
        began = self._began
        if began is not None and time.monotonic() - began > _HANGS_S:
            return _failed(f"{named(self._url)} hasn't answered for {time.monotonic() - began:.0f} s")
        answer: Future[Assignment | None] = Future()
        self._asked.put((answer, partial(self._read, tenant, feature, conversation_id)))
        return answer

    def shutdown(self) -> None:
        """Drop what hasn't begun, and give the connection back; blocks for a second at most.

        A look-up that hangs for longer is left to itself, with its connection.
        """
        self._ended.set()
        self._asked.put(None)
        self._thread.join(_SHUTDOWN_S)
        if not self._thread.is_alive():
            self._connections.release()

    def _read(self, tenant: str, feature: str, conversation_id: str) -> Assignment | None:
        self._began = time.monotonic()
        try:
            return self._find(tenant, feature, conversation_id)
        finally:
            self._began = None

    def _find(self, tenant: str, feature: str, conversation_id: str) -> Assignment | None:
        first = (
            sa.select(*(logs.c[name] for name in _FOUND))
            .where(
                logs.c.tenant == tenant,
                logs.c.feature == feature,
                logs.c.conversation_id == conversation_id,
                logs.c.origin == self._origin.value,
                logs.c.role != Role.SHADOW.value,
                logs.c.attempt == 1,
                logs.c.turn.is_not(None),
                logs.c.routed_variant.is_not(None),
                logs.c.reason.in_(_ASSIGNING),
            )
            .order_by(logs.c.turn)
            .limit(1)
        )
        try:
            row = self._connections.run(lambda connection: connection.execute(first).first())
        except (sa.exc.SQLAlchemyError, UnicodeError) as error:
            reason = reason_of(error, self._url)
            raise LogUnavailable(f"the audit log can't say what was assigned: {named(self._url)}: {reason}") from None
        if row is None:
            return None
        return Assignment(
            variant=row.routed_variant,
            variant_hash=row.variant_hash,
            turn=row.turn,
            key=row.assignment_key,
            share=row.assignment_share,
        )


_Questions = SimpleQueue[tuple[Future[Assignment | None], Callable[[], Assignment | None]] | None]


def _answer(questions: _Questions, ended: threading.Event) -> None:
    """Answer one question after the other; what is left at the end is cancelled."""
    while (question := questions.get()) is not None:
        answer, read = question
        if ended.is_set():
            answer.cancel()
        if not answer.set_running_or_notify_cancel():
            continue
        try:
            answer.set_result(read())
        except BaseException as error:  # noqa: BLE001 - whoever asked is told
            answer.set_exception(error)
        del question, answer, read


def _failed(why: str) -> Future[Assignment | None]:
    failed: Future[Assignment | None] = Future()
    failed.set_exception(LogUnavailable(f"the audit log can't say what was assigned: {why}"))
    return failed
