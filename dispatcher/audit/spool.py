"""The durable spool: where an attempt's statements wait on this host until the database takes them."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from dispatcher.action.observation import Call
from dispatcher.audit.gap_file import Gap, GapFile
from dispatcher.audit.lock_file import SpoolTrouble, locked_file
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept
from dispatcher.audit.spool_entry import ending_text, opening_text, session_text, why_it_cannot_wait
from dispatcher.audit.spool_file import SpoolFile
from dispatcher.audit.trouble import reason_of
from dispatcher.errors import LogUnavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

_WAITING = "SELECT log_id, version, opening, session, ended FROM entries"
_FRESH = _WAITING + " WHERE refusals = 0 ORDER BY place LIMIT ?"
_REFUSED = _WAITING + " WHERE refusals > 0 ORDER BY refusals, place LIMIT ?"
_COUNTS = (
    "SELECT (SELECT COUNT(*) FROM entries), (SELECT COUNT(*) FROM quarantine), "
    "(SELECT COALESCE(SUM(count), 0) FROM counters WHERE name = 'refused')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may wait: an attempt is accepted while the file holds fewer bytes, and the oldest entry is younger."""

    bytes: int = 1 << 30
    age: dt.timedelta = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One entry as the file has it; its texts are for `entry_of`."""

    log_id: str
    version: int
    opening: str | None
    session: str | None
    ended: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """An entry that the database will never take as it is, and why."""

    log_id: str
    reason: str
    since: dt.datetime
    quarantined_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStatus:
    """How the spool stands. `refused` counts the openings that its bounds refused since the file was made."""

    waiting: int = 0
    oldest: dt.datetime | None = None
    quarantined: int = 0
    refused: int = 0
    bytes: int = 0


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
        failure = "the spool can't take the row"
        if (problem := why_it_cannot_wait(opening)) is not None:
            raise LogUnavailable(f"{failure}: {problem}")
        with self._trouble(failure):
            full = self._file.write(lambda file: self._accept(file, opening.log_id, opening_text(opening)))
        if full is not None:
            logger.error("the spool %s refused row %s: %s", self._file.path, opening.log_id, full)
            raise LogUnavailable(f"{failure}: {self._file.path}: {full}; bring the database back and drain the spool")

    def note_session(self, log_id: str, session_id: str, agent_id: str, agent_version: int) -> None:
        """Tell an attempt its session. Raises LogUnavailable also where its ending waits already."""
        text = session_text(session_id, agent_id, agent_version)
        add = (
            "INSERT INTO entries (log_id, session, since) VALUES (?, ?, ?) ON CONFLICT (log_id) DO UPDATE "
            "SET session = excluded.session, version = version + 1 WHERE ended IS NULL OR session = excluded.session"
        )
        failure = f"the spool can't note the session of row {log_id}"
        with self._trouble(failure):
            added = self._file.write(lambda file: file.execute(add, (log_id, text, self._since())).rowcount)
        if not added:
            raise LogUnavailable(f"{failure}: no such row is open")

    def close(self, log_id: str, ending: AttemptEnding, calls: Sequence[Call], kept: Kept | None = None) -> None:
        """End an attempt, whether its opening waits here or is in the database; an ending that waits never changes."""
        add = (
            "INSERT INTO entries (log_id, ended, since) VALUES (?, ?, ?) ON CONFLICT (log_id) DO UPDATE "
            "SET ended = excluded.ended, version = version + 1 WHERE ended IS NULL"
        )
        with self._trouble(f"the spool can't end row {log_id}"):
            text = ending_text(ending, calls, kept)
            self._file.write(lambda file: file.execute(add, (log_id, text, self._since())))

    def waiting(self, most: int) -> list[Waiting]:
        """The oldest entries, those that the database has refused before after all others."""

        def find(file: sqlite3.Connection) -> list[Waiting]:
            found = file.execute(_FRESH, (most,)).fetchall() or file.execute(_REFUSED, (most,)).fetchall()
            return [
                Waiting(log_id=log_id, version=version, opening=opening, session=session, ended=ended)
                for log_id, version, opening, session, ended in found
            ]

        with self._trouble("the spool can't say what waits"):
            return self._file.read(find) if self._file.path.exists() else []

    def waits_for(self, log_ids: Sequence[str]) -> set[str]:
        """Those of a few hundred attempts of which something waits."""
        query = f"SELECT log_id FROM entries WHERE log_id IN ({', '.join('?' * len(log_ids))})"  # noqa: S608 - only marks
        with self._trouble("the spool can't say what waits"):
            if not self._file.path.exists():
                return set()
            found = self._file.read(lambda file: file.execute(query, tuple(log_ids)).fetchall())
        return {log_id for (log_id,) in found}

    def landed(self, entries: Sequence[Waiting]) -> None:
        """Delete entries that are committed in the database; one that was added to meanwhile stays."""
        gone = "DELETE FROM entries WHERE log_id = ? AND version = ?"
        keys = [(entry.log_id, entry.version) for entry in entries]
        with self._trouble("the spool can't delete what has landed"):
            self._file.write(lambda file: file.executemany(gone, keys))

    def refused(self, entry: Waiting) -> int:
        """Note that the database refused an entry although it may take it later; returns how often it has now."""
        again = "UPDATE entries SET refusals = refusals + 1 WHERE log_id = ? RETURNING refusals"
        with self._trouble("the spool can't note a refusal"):
            found = self._file.write(lambda file: file.execute(again, (entry.log_id,)).fetchall())
        return found[0][0] if found else 0

    def quarantine(self, entry: Waiting, reason: str) -> None:
        """Set an entry aside that the database will never take as it is; one that was added to meanwhile stays."""
        aside = (
            "INSERT INTO quarantine (log_id, opening, session, ended, reason, since, quarantined_at) SELECT log_id, "
            "opening, session, ended, ?, since, ? FROM entries WHERE log_id = ? AND version = ?"
        )

        def set_aside(file: sqlite3.Connection) -> None:
            file.execute(aside, (reason, self._since(), entry.log_id, entry.version))
            file.execute("DELETE FROM entries WHERE log_id = ? AND version = ?", (entry.log_id, entry.version))

        with self._trouble("the spool can't set an entry aside"):
            self._file.write(set_aside)
        logger.error("the spool %s set row %s aside: %s", self._file.path, entry.log_id, reason)

    def quarantined(self) -> list[Quarantined]:
        """What was set aside, the oldest first."""
        query = "SELECT log_id, reason, since, quarantined_at FROM quarantine ORDER BY place"
        with self._trouble("the spool can't say what was set aside"):
            found = self._file.read(lambda file: file.execute(query).fetchall()) if self._file.path.exists() else []
        moment = dt.datetime.fromisoformat
        return [
            Quarantined(log_id=log_id, reason=reason, since=moment(since), quarantined_at=moment(at))
            for log_id, reason, since, at in found
        ]

    def retry_quarantined(self) -> None:
        """Have what was set aside wait again; one of which more has come meanwhile stays aside."""
        back = (
            "INSERT OR IGNORE INTO entries (log_id, opening, session, ended, since) "
            "SELECT log_id, opening, session, ended, since FROM quarantine ORDER BY place"
        )
        gone = (
            "DELETE FROM quarantine WHERE EXISTS (SELECT 1 FROM entries WHERE entries.log_id = quarantine.log_id AND "
            "entries.opening IS quarantine.opening AND entries.session IS quarantine.session "
            "AND entries.ended IS quarantine.ended)"
        )

        def bring_back(file: sqlite3.Connection) -> None:
            file.execute(back)
            file.execute(gone)

        with self._trouble("the spool can't try again what was set aside"):
            self._file.write(bring_back)

    def status(self) -> SpoolStatus:
        """How the spool stands; creates nothing."""
        with self._trouble("the spool can't say how it stands"):
            return self._file.read(_status) if self._file.path.exists() else SpoolStatus()

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

    def _accept(self, file: sqlite3.Connection, log_id: str, text: str) -> str | None:
        known = file.execute("SELECT opening FROM entries WHERE log_id = ?", (log_id,)).fetchone()
        if known is not None:
            if known != (text,):
                raise SpoolTrouble("another attempt has its id")
            return None
        if (full := self._full(file)) is not None:
            count = "INSERT INTO counters VALUES ('refused', 1) ON CONFLICT (name) DO UPDATE SET count = count + 1"
            file.execute(count)
            return full
        file.execute("INSERT INTO entries (log_id, opening, since) VALUES (?, ?, ?)", (log_id, text, self._since()))
        return None

    def _full(self, file: sqlite3.Connection) -> str | None:
        used = _used_bytes(file)
        if used >= self.bounds.bytes:
            return f"{used} bytes wait, and it may hold {self.bounds.bytes}"
        oldest = _oldest(file)
        if oldest is not None and self._now() - oldest >= self.bounds.age:
            return f"an entry waits since {oldest:%Y-%m-%d %H:%M} UTC, longer than {self.bounds.age}"
        return None

    def _since(self) -> str:
        return self._now().astimezone(dt.UTC).isoformat()

    @contextlib.contextmanager
    def _trouble(self, failure: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, SpoolTrouble, OSError, UnicodeError, OverflowError) as error:
            raise LogUnavailable(f"{failure}: {self._file.path}: {reason_of(error, self._url)}") from None


def _used_bytes(file: sqlite3.Connection) -> int:
    pages, free, size = (
        int(file.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _oldest(file: sqlite3.Connection) -> dt.datetime | None:
    found = file.execute("SELECT since FROM entries ORDER BY place LIMIT 1").fetchone()
    return None if found is None else dt.datetime.fromisoformat(found[0])


def _status(file: sqlite3.Connection) -> SpoolStatus:
    waiting, quarantined, refused = file.execute(_COUNTS).fetchone()
    return SpoolStatus(
        waiting=waiting, oldest=_oldest(file), quarantined=quarantined, refused=refused, bytes=_used_bytes(file)
    )
