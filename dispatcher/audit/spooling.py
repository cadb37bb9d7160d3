"""The spool as the log of a process uses it: what blocks runs on a thread of its own, and it is drained meanwhile."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from dispatcher.action.observation import Call
from dispatcher.audit.background_drain import BackgroundDrain
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept
from dispatcher.audit.spool import Spool
from dispatcher.audit.threads import Threads
from dispatcher.errors import LogUnavailable

logger = logging.getLogger(__name__)


class Spooling:
    """Where statements go that the database refuses, or hasn't answered within `patience_s` seconds.

    Every future's exception is LogUnavailable where the spool can't take it, which the methods themselves raise where
    it is shut down. What the spool took is drained as soon as the database takes something again.
    """

    def __init__(self, spool: Spool, drain: BackgroundDrain, *, patience_s: float) -> None:
        self.patience_s = patience_s
        self._spool = spool
        self._drain = drain
        self._thread = Threads(1, "audit-spool")
        self._refusing = False
        drain.start()

    def open(self, opening: AttemptOpening) -> Future[None]:
        """Accept an attempt, as `Spool.open` does."""
        return self._submit(partial(self._spool.open, opening))

    def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> Future[None]:
        """Tell an attempt its session, as `Spool.note_session` does."""
        return self._submit(partial(self._spool.note_session, log_id, session_id, agent_id, agent_version))

    def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None) -> Future[None]:
        """End an attempt, as `Spool.close` does."""
        return self._submit(partial(self._spool.close, log_id, ending, calls, kept))

    def note_gap(self, opening: AttemptOpening, why: str) -> Future[None]:
        """Note that no row will tell of an attempt; durable when the future is done."""

        def note() -> None:
            self._spool.note_gap(
                feature=opening.feature,
                origin=opening.origin,
                at=opening.created_at.astimezone(dt.UTC),
                owner=opening.owner,
                reason=why,
            )
            logger.error("attempt %s is carried out without a row, which the policy allows: %s", opening.log_id, why)

        return self._submit(note)

    def database_refuses(self, why: str) -> None:
        """Say once that the spool has taken the database's place."""
        if not self._refusing:
            logger.warning("rows go to the spool %s: %s", self._spool.directory, why)
        self._refusing = True

    def database_answers(self) -> None:
        """Drain what waits, if something does."""
        if self._refusing:
            logger.warning("rows go to the database again")
        self._refusing = False
        self._drain.nudge()

    def shutdown(self) -> bool:
        """Wait for what was asked for; what waits in the spool stays there. Blocks; returns as the drain's does."""
        self._thread.shutdown()
        is_over = self._drain.shutdown()
        self._spool.shutdown()
        return is_over

    def _submit(self, work: Callable[[], None]) -> Future[None]:
        def do() -> None:
            work()
            self._drain.something_waits()

        try:
            return self._thread.submit(do)
        except RuntimeError:
            raise LogUnavailable("the spool is shut down") from None
