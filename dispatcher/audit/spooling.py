"""The spool as the log of a process uses it: what blocks runs on a thread of its own, and it is drained meanwhile."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from dispatcher.action.observation import Call
from dispatcher.audit.background_drain import BackgroundDrain
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept
from dispatcher.audit.spool import Spool, Telling
from dispatcher.audit.threads import Threads
from dispatcher.audit.together import Together
from dispatcher.errors import LogUnavailable

logger = logging.getLogger(__name__)

_SHUT_DOWN = "the spool is shut down"
_MOST_TOGETHER = 256
_CALM_S = 3.0
"""For how long nothing must have been refused before the spool counts as not needed any more."""


class Spooling:
    """Where statements go that the database refuses, or hasn't answered within `patience_s` seconds.

    Those that come while others are written are written together after them: one sync of the disk makes all of them
    durable. Every future's exception is LogUnavailable where the spool can't take it, which the methods themselves
    raise where it is shut down. What the spool took is drained as soon as the database takes something again.
    """

    def __init__(self, spool: Spool, drain: BackgroundDrain, *, patience_s: float) -> None:
        self.patience_s = patience_s
        self._spool = spool
        self._drain = drain
        self._thread = Threads(1, "audit-spool")
        self._together: Together[Callable[[], Telling], None] = Together(self._thread, _MOST_TOGETHER, self._take)
        self._refused_at: float | None = None
        self._all_taken = False
        drain.start(self._database_takes_all)

    def open(self, opening: AttemptOpening) -> Future[None]:
        """Accept an attempt, as `Spool.open` does."""
        return self._tell(lambda: self._spool.opening(opening))

    def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> Future[None]:
        """Tell an attempt its session, as `Spool.note_session` does."""
        return self._tell(lambda: self._spool.session(log_id, session_id, agent_id, agent_version))

    def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None) -> Future[None]:
        """End an attempt, as `Spool.close` does."""
        return self._tell(lambda: self._spool.ending(log_id, ending, calls, kept))

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
            self._drain.something_waits()
            logger.error("attempt %s is carried out without a row, which the policy allows: %s", opening.log_id, why)

        return self._submit(note)

    def database_refuses(self, why: str) -> None:
        """Say once that the spool has taken the database's place."""
        if self._refused_at is None:
            logger.warning("rows go to the spool %s: %s", self._spool.directory, why)
        self._refused_at, self._all_taken = time.monotonic(), False

    def database_answers(self) -> None:
        """Drain what waits, if something does."""
        self._say_when_over()
        self._drain.nudge()

    def shutdown(self) -> bool:
        """Wait for what was asked for; what waits in the spool stays there. Blocks; returns as the drain's does."""
        self._thread.shutdown()
        is_over = self._drain.shutdown()
        self._spool.shutdown()
        return is_over

    def _database_takes_all(self) -> None:
        self._all_taken = True
        self._say_when_over()

    def _say_when_over(self) -> None:
        """Say once that the spool isn't needed any more.

        That the database answers is no sign of it: it may answer questions and take no row. Nor is one row: it may
        take some and refuse others, for hours.
        """
        refused_at = self._refused_at
        if refused_at is not None and self._all_taken and time.monotonic() - refused_at >= _CALM_S:
            self._refused_at = None
            logger.warning("rows go to the database again")

    def _tell(self, telling: Callable[[], Telling]) -> Future[None]:
        try:
            return self._together.submit(telling)
        except RuntimeError:
            raise LogUnavailable(_SHUT_DOWN) from None

    def _take(self, asked: Sequence[Callable[[], Telling]]) -> list[Exception | None]:
        problems: dict[int, Exception | None] = {}
        tellings: dict[int, Telling] = {}
        for place, telling in enumerate(asked):
            try:
                tellings[place] = telling()
            except Exception as error:  # noqa: BLE001 - it is raised again, where the result is waited for
                problems[place] = error
        if tellings:
            problems |= zip(tellings, self._spool.take(list(tellings.values())), strict=True)
            self._drain.something_waits()
        return [problems[place] for place in range(len(asked))]

    def _submit(self, work: Callable[[], None]) -> Future[None]:
        try:
            return self._thread.submit(work)
        except RuntimeError:
            raise LogUnavailable(_SHUT_DOWN) from None
