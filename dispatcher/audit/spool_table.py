"""What waits in the spool's file: the statements on its entries, each inside a transaction of the file."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_WAITING = "SELECT log_id, version, opening, session, ended FROM entries"
_FRESH = _WAITING + " WHERE refusals = 0 ORDER BY place LIMIT ?"
_REFUSED = _WAITING + " WHERE refusals > 0 ORDER BY refusals, place LIMIT ?"
_OPEN = "INSERT INTO entries (log_id, opening, since) VALUES (?, ?, ?) ON CONFLICT (log_id) DO NOTHING"
_NOTE = (
    "INSERT INTO entries (log_id, session, since) VALUES (?, ?, ?) ON CONFLICT (log_id) DO UPDATE "
    "SET session = excluded.session, version = version + 1 WHERE ended IS NULL OR session = excluded.session"
)
_END = (
    "INSERT INTO entries (log_id, ended, since) VALUES (?, ?, ?) ON CONFLICT (log_id) DO UPDATE "
    "SET ended = excluded.ended, version = version + 1 WHERE ended IS NULL"
)
_COUNT_REFUSED = "INSERT INTO counters VALUES ('refused', 1) ON CONFLICT (name) DO UPDATE SET count = count + 1"
_COUNTS = (
    "SELECT (SELECT COUNT(*) FROM entries), (SELECT COUNT(*) FROM quarantine), "
    "(SELECT COALESCE(SUM(count), 0) FROM counters WHERE name = 'refused')"
)
_HELD = (
    "SELECT (page_count - freelist_count) * page_size, (SELECT since FROM entries ORDER BY place LIMIT 1) "
    "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
)


class AnotherAttempt(Exception):
    """An entry has the id of the one that is to be added, and is of another attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may wait: an attempt is accepted while the file holds fewer bytes, and the oldest entry is younger."""

    bytes: int = 1 << 30
    age: dt.timedelta = dt.timedelta(days=7)


class Waiting(NamedTuple):
    """One entry as the file has it; its texts are for `entry_of`."""

    log_id: str
    version: int
    opening: str | None
    session: str | None
    ended: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStatus:
    """How the spool stands. `refused` counts the openings that its bounds refused since the file was made."""

    waiting: int = 0
    oldest: dt.datetime | None = None
    quarantined: int = 0
    refused: int = 0
    bytes: int = 0


def accept(file: sqlite3.Connection, log_id: str, text: str, bounds: Bounds, now: dt.datetime) -> str | None:
    """Add an opening; why the bounds refuse it, or None. Raises AnotherAttempt, and changes nothing then."""
    full = _full(file, bounds, now)
    if full is None and file.execute(_OPEN, (log_id, text, _since(now))).rowcount:
        return None
    known = file.execute("SELECT opening FROM entries WHERE log_id = ?", (log_id,)).fetchone()
    if known is None:
        file.execute(_COUNT_REFUSED)
        return full
    if known != (text,):
        raise AnotherAttempt("another attempt has its id")
    return None


def note(file: sqlite3.Connection, log_id: str, text: str, now: dt.datetime) -> bool:
    """Add a session, or replace an earlier one; False where the ending waits already with another one."""
    return file.execute(_NOTE, (log_id, text, _since(now))).rowcount > 0


def end(file: sqlite3.Connection, log_id: str, text: str, now: dt.datetime) -> None:
    """Add an ending; one that waits already stays as it is."""
    file.execute(_END, (log_id, text, _since(now)))


def waiting(file: sqlite3.Connection, most: int) -> list[Waiting]:
    """The oldest entries, those that the database has refused before after all others."""
    found = file.execute(_FRESH, (most,)).fetchall() or file.execute(_REFUSED, (most,)).fetchall()
    return list(map(Waiting._make, found))


def waits_for(file: sqlite3.Connection, log_ids: Sequence[str]) -> set[str]:
    """Those of a few hundred attempts of which something waits."""
    query = f"SELECT log_id FROM entries WHERE log_id IN ({', '.join('?' * len(log_ids))})"  # noqa: S608 - only marks
    return {log_id for (log_id,) in file.execute(query, tuple(log_ids))}


def landed(file: sqlite3.Connection, entries: Sequence[Waiting]) -> None:
    """Delete entries; one that was added to meanwhile stays."""
    keys = [(entry.log_id, entry.version) for entry in entries]
    file.executemany("DELETE FROM entries WHERE log_id = ? AND version = ?", keys)


def refused(file: sqlite3.Connection, entry: Waiting) -> int:
    """Count a refusal of an entry; how many there are now."""
    again = "UPDATE entries SET refusals = refusals + 1 WHERE log_id = ? RETURNING refusals"
    found = file.execute(again, (entry.log_id,)).fetchall()
    return int(found[0][0]) if found else 0


def shapes(file: sqlite3.Connection) -> dict[str, str]:
    """The names of the texts' values, by the texts' marks."""
    return dict(file.execute("SELECT mark, names FROM shapes").fetchall())


def status(file: sqlite3.Connection) -> SpoolStatus:
    """How the spool stands."""
    count, aside, turned_away = file.execute(_COUNTS).fetchone()
    used, oldest = _held(file)
    return SpoolStatus(waiting=count, oldest=oldest, quarantined=aside, refused=turned_away, bytes=used)


def _full(file: sqlite3.Connection, bounds: Bounds, now: dt.datetime) -> str | None:
    used, oldest = _held(file)
    if used >= bounds.bytes:
        return f"{used} bytes wait, and it may hold {bounds.bytes}"
    if oldest is not None and now - oldest >= bounds.age:
        return f"an entry waits since {oldest:%Y-%m-%d %H:%M} UTC, longer than {bounds.age}"
    return None


def _held(file: sqlite3.Connection) -> tuple[int, dt.datetime | None]:
    """How many bytes are in use, and since when the oldest entry waits."""
    used, since = file.execute(_HELD).fetchone()
    return used, None if since is None else dt.datetime.fromisoformat(since)


def _since(now: dt.datetime) -> str:
    return now.astimezone(dt.UTC).isoformat()
