"""Telling of flips, off the threads that evaluate flags or fetch them."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.sighting import Sighting, sighting_of
from dispatcher.routing.flags.standing import standing_of

RETRY_S = 1.0
"""How long to wait after a telling failed, such as with the database away; it doubles up to LONGEST_RETRY_S."""
LONGEST_RETRY_S = 300.0
_MOST_WAITING = 100
"""Each of them keeps a whole state in memory; of more, the oldest are forgotten."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A flag in a state that was seen; `due` is when it may be told of, on the monotonic clock."""

    engine: FlagEngine
    flag: str
    at: dt.datetime
    due: float


class Teller:
    """Tells of each state in which a routed flag differs from the one before, and of the first; in order, one by one.

    A short-lived daemon thread does it, `after_s` seconds after the state was seen. What `tell` raises is logged and
    tried again, for as long as the process lives.
    """

    def __init__(self, source: str, tell: Callable[[Sighting], None], after_s: float) -> None:
        self._source = source
        self._tell = tell
        self._after_s = after_s
        self._seen: dict[str, str] = {}
        self._telling = False
        self._start_afresh()

    def saw(self, engine: FlagEngine, at: dt.datetime) -> None:
        """A state is in force; `at` is in UTC. Returns at once."""
        fingerprints = engine.state.fingerprints
        if fingerprints == self._seen:
            return
        with self._lock:
            flags = [flag for flag, found in fingerprints.items() if self._seen.get(flag) != found]
            self._seen = dict(fingerprints)
            due = time.monotonic() + self._after_s
            self._waiting += [_Told(engine=engine, flag=flag, at=at, due=due) for flag in flags]
            if not self._telling:
                self._telling = self._begin()

    def _begin(self) -> bool:
        try:
            threading.Thread(target=self._tell_all, name="flag sightings", daemon=True).start()
        except RuntimeError as error:  # no thread to be had; the next flip tries again
            _logger.warning("flips are not recorded for now: %s", error)
            return False
        return True

    def after_fork(self) -> None:
        """Forget what the parent's thread was about to tell; it does so itself."""
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Told] = deque(maxlen=_MOST_WAITING)
        self._telling = False

    def _tell_all(self) -> None:
        pause = threading.Event()  # never set
        retry_s = RETRY_S
        while (told := self._next()) is not None:
            pause.wait(told.due - time.monotonic())
            try:
                standing = standing_of(told.engine, told.flag)
                self._tell(sighting_of(told.engine, told.flag, standing, source=self._source, seen_at=told.at))
            except Exception as error:  # noqa: BLE001 - whatever it is, flags are evaluated all the same
                with suppress(Exception):  # a log handler's own
                    _logger.warning("flip of %s is not recorded; next try in %.0f s: %s", told.flag, retry_s, error)
                pause.wait(retry_s)
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
                continue
            retry_s = RETRY_S
            with self._lock:
                if self._waiting and self._waiting[0] is told:
                    self._waiting.popleft()

    def _next(self) -> _Told | None:
        with self._lock:
            self._telling = bool(self._waiting)
            return self._waiting[0] if self._waiting else None
