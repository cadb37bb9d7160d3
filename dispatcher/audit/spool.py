"""The durable spool: where an attempt's statements wait on this host until the database takes them."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from dispatcher.action.observation import Call
from dispatcher.audit import spool_quarantine, spool_table
from dispatcher.audit.gap_file import Gap, GapFile
from dispatcher.audit.lock_file import SpoolTrouble, locked_file
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept
from dispatcher.audit.spool_entry import why_it_cannot_wait
from dispatcher.audit.spool_file import SpoolFile
from dispatcher.audit.spool_quarantine import Quarantined
from dispatcher.audit.spool_table import AnotherAttempt, Bounds, SpoolStatus, Waiting
from dispatcher.audit.spool_text import ending_text, opening_text, session_text
from dispatcher.audit.trouble import reason_of
from dispatcher.errors import LogUnavailable

__all__ = ["Bounds", "Quarantined", "Spool", "SpoolStatus", "Telling", "Waiting"]

logger = logging.getLogger(__name__)

_TROUBLES = (sqlite3.Error, SpoolTrouble, OSError, UnicodeError, OverflowError)
# What one of several statements may meet alone: a disk that takes less than all of them together.
_OF_THE_DISK = ("SQLITE_FULL", "SQLITE_IOERR")


class Telling(NamedTuple):
    """A statement of an attempt, ready to be taken; `failure` says what couldn't be done where it isn't.

    `tell` returns why it is refused, or None; of no entry it changes anything then.
    """

    failure: str
    tell: Callable[[sqlite3.Connection], str | None]


class Spool:
    """Takes an attempt's statements as `Log` does, blocking: what it took is on the disk when the method returns.

    What it holds is for one `database`, as `named` says it. An attempt's statements are one entry. Every method may be
    repeated with the same values. Used from several threads and processes of one host at once. The bounds refuse
    openings only: the ending of what was accepted always fits. All raise LogUnavailable where the file can't do what
    they ask.
    """

    def __init__(self, directory: Path, database: str, bounds: Bounds, now: Callable[[], dt.datetime]) -> None:
        self.directory = directory
        self._gaps = gaps = GapFile(directory / "gaps")
        self._file = SpoolFile(directory / "spool.db", database, lambda: bool(gaps.waiting()))
        self._url = sa.URL.create("sqlite", database=str(self._file.path))
        self._drain_lock = directory / "drain.lock"
        self.bounds = bounds
        self._now = now

    def prepare(self) -> None:
        """Make the files, so that a disk that is full later doesn't matter to them more than it must."""
        with self._trouble("the spool can't be made"):
            self._file.write(lambda file: file.execute("SELECT 1 FROM entries LIMIT 1").fetchall())
            self._gaps.prepare()

    def was_prepared(self) -> bool:
        """Whether this host has a spool for the database: from an earlier start that had reached it."""
        with self._trouble("the spool can't be opened"):
            return self._file.path.exists() and self._file.is_for_the_database()

    def open(self, opening: AttemptOpening) -> None:
        """Accept an attempt. Raises LogUnavailable also where it needs the database, or the bounds are reached."""
        self._take(self.opening(opening))

    def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> None:
        """Tell an attempt its session. Raises LogUnavailable also where its ending waits already."""
        self._take(self.session(log_id, session_id, agent_id, agent_version))

    def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None = None) -> None:
        """End an attempt, whether its opening waits here or is in the database; an ending that waits never changes."""
        self._take(self.ending(log_id, ending, calls, kept))

    def opening(self, opening: AttemptOpening) -> Telling:
        """What `open` takes. Raises LogUnavailable where the attempt needs the database."""
        failure, log_id = "the spool can't take the row", opening.log_id
        if (problem := why_it_cannot_wait(opening)) is not None:
            raise LogUnavailable(f"{failure}: {problem}")
        text = self._encoded(failure, lambda: opening_text(opening))

        def tell(file: sqlite3.Connection) -> str | None:
            try:
                full = spool_table.accept(file, log_id, text, self.bounds, self._now())
            except AnotherAttempt as error:
                return str(error)
            if full is not None:
                logger.error("the spool %s refused row %s: %s", self._file.path, log_id, full)
                return f"{full}; bring the database back and drain the spool"
            return None

        return Telling(failure, tell)

    def session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> Telling:
        """What `note_session` takes."""
        failure = f"the spool can't note the session of row {log_id}"
        text = self._encoded(failure, lambda: session_text(session_id, agent_id, agent_version))
        refused = "no such row is open"
        return Telling(failure, lambda file: None if spool_table.note(file, log_id, text, self._now()) else refused)

    def ending(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None) -> Telling:
        """What `close` takes."""
        failure = f"the spool can't end row {log_id}"
        text = self._encoded(failure, lambda: ending_text(ending, calls, kept))
        return Telling(failure, lambda file: spool_table.end(file, log_id, text, self._now()))

    def take(self, tellings: Sequence[Telling]) -> list[LogUnavailable | None]:
        """Take statements in one write, which costs what one statement's costs; why each one isn't taken, or None."""
        try:
            found = self._file.write(lambda file: [telling.tell(file) for telling in tellings])
        except _TROUBLES as error:
            code = str(getattr(error, "sqlite_errorname", ""))
            if len(tellings) > 1 and code.startswith(_OF_THE_DISK):
                return [outcome for telling in tellings for outcome in self.take([telling])]
            return [self._unavailable(telling.failure, error) for telling in tellings]
        return [
            None if why is None else LogUnavailable(f"{telling.failure}: {self._file.path}: {why}")
            for telling, why in zip(tellings, found, strict=True)
        ]

    def waiting(self, most: int) -> list[Waiting]:
        """The oldest entries, those that the database has refused before after all others."""
        with self._trouble("the spool can't say what waits"):
            return self._file.read(lambda file: spool_table.waiting(file, most)) if self._file.path.exists() else []

    def shapes(self) -> Mapping[str, str]:
        """The names of the values in the texts that wait, of whatever program, by the marks of the texts."""
        with self._trouble("the spool can't say what waits"):
            return self._file.read(spool_table.shapes)

    def waits_for(self, log_ids: Sequence[str]) -> set[str]:
        """Those of a few hundred attempts of which something waits."""
        with self._trouble("the spool can't say what waits"):
            if not self._file.path.exists():
                return set()
            return self._file.read(lambda file: spool_table.waits_for(file, log_ids))

    def landed(self, entries: Sequence[Waiting]) -> None:
        """Delete entries that are committed in the database; one that was added to meanwhile stays."""
        with self._trouble("the spool can't delete what has landed"):
            self._file.write(lambda file: spool_table.landed(file, entries))

    def refused(self, entry: Waiting) -> int:
        """Note that the database refused an entry although it may take it later; returns how often it has now."""
        with self._trouble("the spool can't note a refusal"):
            return self._file.write(lambda file: spool_table.refused(file, entry))

    def quarantine(self, entry: Waiting, reason: str) -> None:
        """Set an entry aside that the database will never take as it is; one that was added to meanwhile stays."""
        with self._trouble("the spool can't set an entry aside"):
            self._file.write(lambda file: spool_quarantine.set_aside(file, entry, reason, self._now()))
        logger.error("the spool %s set row %s aside: %s", self._file.path, entry.log_id, reason)

    def quarantined(self) -> list[Quarantined]:
        """What was set aside, the oldest first."""
        with self._trouble("the spool can't say what was set aside"):
            return self._file.read(spool_quarantine.quarantined) if self._file.path.exists() else []

    def retry_quarantined(self) -> None:
        """Have what was set aside wait again, as one entry with what has come of it meanwhile.

        A part that contradicts one that waits stays aside.
        """
        with self._trouble("the spool can't try again what was set aside"):
            self._file.write(spool_quarantine.bring_back)

    def status(self) -> SpoolStatus:
        """How the spool stands; creates nothing."""
        with self._trouble("the spool can't say how it stands"):
            return self._file.read(spool_table.status) if self._file.path.exists() else SpoolStatus()

    @contextlib.contextmanager
    def draining(self) -> Iterator[bool]:
        """Be the one process of the host that drains; False where another one does."""
        with contextlib.ExitStack() as held:
            with self._trouble("the spool can't be drained"):
                descriptor = held.enter_context(locked_file(self._drain_lock, 0.0))
            yield descriptor is not None

    def note_gap(self, *, feature: str, origin: str, at: dt.datetime, owner: str, reason: str) -> None:
        """Note a dispatch that no row will tell of, for the database to know as soon as it answers."""
        with self._trouble("the gap in the log can't be noted"):
            self._gaps.note(feature=feature, origin=origin, at=at, owner=owner, reason=reason)

    def gaps(self, *, sealed: bool = False) -> list[Gap]:
        """What is noted of gaps; sealed, none of it changes any more."""
        with self._trouble("the spool can't say what gaps the log has"):
            if not sealed:
                return self._gaps.waiting()
            if self._file.path.exists():
                # They are for the same database as what waits.
                with contextlib.suppress(sqlite3.Error):
                    self._file.read(lambda _file: None)
            return self._gaps.sealed()

    def forget_gap(self, gap_id: str) -> None:
        """Forget a gap that the database knows."""
        with self._trouble("the spool can't forget a gap"):
            self._gaps.forget(gap_id)

    def shutdown(self) -> None:
        """Close the file; what waits stays."""
        self._file.close()

    def _take(self, telling: Telling) -> None:
        (problem,) = self.take([telling])
        if problem is not None:
            raise problem

    def _encoded(self, failure: str, text: Callable[[], str]) -> str:
        """A text that can be written, whatever it holds."""
        with self._trouble(failure):
            encoded = text()
            encoded.encode()
            return encoded

    @contextlib.contextmanager
    def _trouble(self, failure: str) -> Iterator[None]:
        try:
            yield
        except _TROUBLES as error:
            raise self._unavailable(failure, error) from None

    def _unavailable(self, failure: str, error: Exception) -> LogUnavailable:
        why = reason_of(error, self._url)
        for fix in ("name another file", "name a file in it"):
            # Its name can't be chosen, but where it lies can.
            why = why.replace(fix, "move it away, or set another DISPATCHER_SPOOL_DIR")
        return LogUnavailable(f"{failure}: {self._file.path}: {why}")
