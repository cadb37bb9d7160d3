"""Which variant a conversation was first assigned, read from the log on a thread of its own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import sqlalchemy as sa

from dispatcher.action.decision import Assignment, Reason
from dispatcher.audit.connections import Connections
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import LogUnavailable

_ASSIGNING = (Reason.FLAG.value, Reason.SHARE.value)
_FOUND = ("routed_variant", "variant_hash", "turn", "assignment_key", "assignment_share")


class LoggedAssignments:
    """The assignments in the log of one origin.

    An assignment is made by the conversation's first turn whose decision was a `flag` or a `share` one; a shadow makes
    none. The thread is this reader's own, since a look-up must not wait behind the rows that are being written. May be
    asked from several threads and event loops, but not in a child after a fork, which builds its own.
    """

    def __init__(self, engine: sa.Engine, origin: Origin) -> None:
        self._url = engine.url
        self._origin = origin
        self._connections = Connections(engine)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="audit-assignments")
        # The first look-up of a turn shouldn't be the one that connects.
        self.look_up("", "", "")

    def look_up(self, tenant: str, feature: str, conversation_id: str) -> Future[Assignment | None]:
        """Begin to look for the conversation's assignment; LogUnavailable is the future's exception."""
        try:
            return self._threads.submit(self._read, tenant, feature, conversation_id)
        except RuntimeError:
            failed: Future[Assignment | None] = Future()
            failed.set_exception(LogUnavailable("the audit log can't say what was assigned: it is shut down"))
            return failed

    def shutdown(self) -> None:
        """Wait for the look-up that runs, drop the others, and give the connection back; blocks."""
        self._threads.shutdown(cancel_futures=True)
        self._connections.release()

    def _read(self, tenant: str, feature: str, conversation_id: str) -> Assignment | None:
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
