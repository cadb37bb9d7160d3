"""What the database will never take as it is, set aside in the spool's file until somebody has looked at it."""

from __future__ import annotations

import datetime as dt
import sqlite3
from dataclasses import dataclass

from dispatcher.audit.spool_table import Waiting

_ASIDE = (
    "INSERT INTO quarantine (log_id, opening, session, ended, reason, since, quarantined_at) SELECT log_id, "
    "opening, session, ended, ?, since, ? FROM entries WHERE log_id = ? AND version = ?"
)
# A part that waits and one that comes back are one, unless they differ.
_BACK = """
    INSERT INTO entries (log_id, opening, session, ended, since)
    SELECT log_id, opening, session, ended, since FROM quarantine WHERE true ORDER BY place
    ON CONFLICT (log_id) DO UPDATE SET
        opening = COALESCE(opening, excluded.opening),
        session = COALESCE(session, excluded.session),
        ended = COALESCE(ended, excluded.ended),
        version = version + 1,
        refusals = 0
    WHERE (opening IS NULL OR excluded.opening IS NULL OR opening = excluded.opening)
        AND (session IS NULL OR excluded.session IS NULL OR session = excluded.session)
        AND (ended IS NULL OR excluded.ended IS NULL OR ended = excluded.ended)
"""
_GONE = """
    DELETE FROM quarantine WHERE EXISTS (
        SELECT 1 FROM entries WHERE entries.log_id = quarantine.log_id
            AND (quarantine.opening IS NULL OR quarantine.opening = entries.opening)
            AND (quarantine.session IS NULL OR quarantine.session = entries.session)
            AND (quarantine.ended IS NULL OR quarantine.ended = entries.ended)
    )
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """An entry that the database will never take as it is, and why."""

    log_id: str
    reason: str
    since: dt.datetime
    quarantined_at: dt.datetime


def set_aside(file: sqlite3.Connection, entry: Waiting, reason: str, now: dt.datetime) -> None:
    """Move an entry here; one that was added to meanwhile stays where it is."""
    file.execute(_ASIDE, (reason, now.astimezone(dt.UTC).isoformat(), entry.log_id, entry.version))
    file.execute("DELETE FROM entries WHERE log_id = ? AND version = ?", (entry.log_id, entry.version))


def quarantined(file: sqlite3.Connection) -> list[Quarantined]:
    """What was set aside, the oldest first."""
    found = file.execute("SELECT log_id, reason, since, quarantined_at FROM quarantine ORDER BY place").fetchall()
    moment = dt.datetime.fromisoformat
    return [
        Quarantined(log_id=log_id, reason=reason, since=moment(since), quarantined_at=moment(at))
        for log_id, reason, since, at in found
    ]


def bring_back(file: sqlite3.Connection) -> None:
    """Have what was set aside wait again, an attempt's parts as one entry with what has come of it meanwhile.

    A part that contradicts one that waits stays aside.
    """
    file.execute(_BACK)
    file.execute(_GONE)
