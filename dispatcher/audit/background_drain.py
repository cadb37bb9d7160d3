"""Draining without being asked: at the start, when the database takes something again, and every now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dispatcher.audit.spool_drain import ELSEWHERE, Drain
from dispatcher.errors import LogUnavailable

logger = logging.getLogger(__name__)

_IDLE_S = 30.0
"""How often a process looks whether another one, that is gone, has left something."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_LEAST_S, _LEAST_AFTER_REFUSAL_S = 0.05, 0.5
_LEAVING_S = 2.0


class BackgroundDrain:
    """Drains a spool on a thread of its own; of the processes of a host, one at a time.

    A child after a fork makes its own.
    """

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._changed = threading.Condition()
        self._nudged = False
        self._ended = False
        self._waits = True
        self._pause_s = _FIRST_PAUSE_S
        self._said: str | None = None
        self._on_all_taken: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="audit-drain", daemon=True)

    def start(self, on_all_taken: Callable[[], None]) -> None:
        """Begin with what was left by earlier processes.

        `on_all_taken` is called, on the drain's thread, after every round in which the database took all that waited.
        """
        self._on_all_taken = on_all_taken
        self._thread.start()

    def something_waits(self) -> None:
        """The spool has taken something."""
        if not self._waits:
            with self._changed:
                self._waits = True
                self._changed.notify()

    def nudge(self) -> None:
        """The database has taken something; where the spool holds something, now is the time."""
        if self._waits and not self._nudged:
            with self._changed:
                self._nudged = True
                self._changed.notify()

    def shutdown(self) -> bool:
        """End after the batch that is being drained, and give the connection back; blocks, for some seconds at most.

        A database that hangs is left with its batch, which waits in the spool until it is committed: False then.
        """
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_LEAVING_S)
        if self._thread.is_alive():
            return False
        self._drain.shutdown()
        return True

    def _run(self) -> None:
        while self._once():
            pass

    def _once(self) -> bool:
        """Drain, then wait for the next time; False when it has ended."""
        # What is added, or taken by the database, from now on is another round's.
        self._waits = self._nudged = False
        stopped = self._drained()
        self._say(stopped)
        with self._changed:
            # Not at every row that the database takes, or question that it answers, while it refuses what waits.
            least_s = _LEAST_S if stopped is None else _LEAST_AFTER_REFUSAL_S
            self._changed.wait_for(lambda: self._ended, least_s)
            if stopped is not None:
                self._waits = True
            elif not self._changed.wait_for(lambda: self._ended or self._waits, _IDLE_S):
                return True
            self._changed.wait_for(lambda: self._ended or self._nudged, self._pause_s)
            self._pause_s = _FIRST_PAUSE_S if stopped is None else min(2 * self._pause_s, _LONGEST_PAUSE_S)
            return not self._ended

    def _drained(self) -> str | None:
        """Drain; why something is left, or None."""
        stopped: str | None = None
        try:
            for done in self._drain.batches():
                stopped = done.stopped
                if self._ended:
                    break
        except LogUnavailable as error:
            stopped = str(error)
        except Exception:
            logger.exception("the spool's draining failed, and goes on later")
            stopped = "it failed"
        return stopped

    def _say(self, stopped: str | None) -> None:
        if stopped == ELSEWHERE:
            return
        if stopped is None:
            self._on_all_taken()
        elif stopped != self._said:
            logger.warning("what waits in the spool stays there for now: %s", stopped)
        self._said = stopped
