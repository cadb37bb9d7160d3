"""A circuit breaker: a path whose provider fails is left alone for a while, and then tried by one attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum

from dispatcher.action.policy import BreakerPolicy


class Health(StrEnum):
    """What an attempt says of its path's provider."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    """Nothing: it was cancelled, refused by a limit of ours, or never got so far."""


class Permit:
    """The leave to use the path once; whoever holds it reports exactly once, whatever happens."""

    def __init__(self, report: Callable[[Health], None]) -> None:
        self._report: Callable[[Health], None] | None = report

    def report(self, health: Health) -> None:
        """Say what the attempt showed; only the first report counts."""
        report, self._report = self._report, None
        if report is not None:
            report(health)


class Breaker:
    """Closed, it admits everybody; after so many bad reports in a row it is open and admits nobody; after its cooldown
    it is half open and admits one probe at a time, whose good report closes it and whose bad one opens it anew.

    A report of nothing changes nothing, but that another probe may go. Reports of attempts that were admitted before it
    opened don't count. `clock` is a monotonic clock in nanoseconds. Safe to use from any thread.
    """

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], int]) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._era = 0
        self._opened_ns: int | None = None
        self._probing = False

    @property
    def is_shut(self) -> bool:
        """Whether nobody would be admitted right now."""
        with self._lock:
            return not self._admits()

    def admit(self) -> Permit | None:
        """Leave to use the path; None where it is left alone."""
        with self._lock:
            if not self._admits():
                return None
            self._probing = self._opened_ns is not None
            era = self._era
        return Permit(lambda health: self._take(health, era))

    def _admits(self) -> bool:
        if self._opened_ns is None:
            return True
        return not self._probing and self._clock() - self._opened_ns >= self._policy.cooldown_s * 1e9

    def _take(self, health: Health, era: int) -> None:
        with self._lock:
            if era != self._era:
                return
            if self._opened_ns is not None:
                self._probing = False
            if health is Health.GOOD:
                self._close()
            elif health is Health.BAD:
                self._failures += 1
                if self._opened_ns is not None or self._failures >= self._policy.failures:
                    self._open()

    def _close(self) -> None:
        if self._opened_ns is not None:
            self._era += 1
        self._failures, self._opened_ns = 0, None

    def _open(self) -> None:
        self._era += 1
        self._opened_ns = self._clock()
