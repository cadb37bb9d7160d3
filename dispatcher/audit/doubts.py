"""Rows of which nobody knows whether they are there: their opening was refused because the database said nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.record import AttemptEnding
from dispatcher.errors import LogUnavailable


class RowInDoubt(LogUnavailable):
    """The action isn't accepted, and its row may be there, or come to be, all the same: `Log.close` ends it then."""


@dataclass(slots=True)
class _Doubt:
    """An opening that may still be under way, and what its row is told where it turns out to be there."""

    statement: Future[Any] | None
    ending: AttemptEnding | None = None


class Doubts:
    """Ends the rows whose actions were refused, when it can be known that they are there.

    What isn't settled when the process ends is a sweep's: its owner is gone then. There are a few a minute, of SQLite
    a few dozen at most, since only what a thread was in the middle of is in doubt.
    """

    def __init__(
        self, end: Callable[[str, AttemptEnding], object], meanwhile: Callable[[Callable[[], None]], bool]
    ) -> None:
        self._end = end
        self._meanwhile = meanwhile
        self._lock = threading.Lock()
        self._doubts: dict[str, _Doubt] = {}
        self._settling = False

    def add(self, log_id: str, statement: Future[Any] | None) -> None:
        """A row is in doubt, for as long as the statement is under way at least."""
        with self._lock:
            self._doubts[log_id] = _Doubt(statement)

    def end(self, log_id: str, ending: AttemptEnding) -> bool:
        """Have a row told its ending if it is there, as soon as that is known; False where it isn't in doubt."""
        if (doubt := self._doubts.get(log_id)) is None:
            return False
        doubt.ending = ending
        self.settle()
        return True

    def settle(self) -> None:
        """Look which of them are there; called when the database answers. Returns at once."""
        with self._lock:
            if self._settling or not self._ripe():
                return
            self._settling = True
        if not self._meanwhile(self._settle):
            self._settling = False

    def _ripe(self) -> list[tuple[str, AttemptEnding]]:
        return [
            (log_id, doubt.ending)
            for log_id, doubt in self._doubts.items()
            if doubt.ending is not None and (doubt.statement is None or doubt.statement.done())
        ]

    def _settle(self) -> None:
        with self._lock:
            ripe = self._ripe()
        try:
            for log_id, ending in ripe:
                self._end(log_id, ending)
                with self._lock:
                    del self._doubts[log_id]
        except sa.exc.SQLAlchemyError:
            # Later, when it answers again.
            pass
        finally:
            self._settling = False
