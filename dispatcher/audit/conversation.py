"""What the rows of a conversation say about it. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from dispatcher.action.decision import PathName
from dispatcher.action.observation import Status
from dispatcher.audit.record import ConversationSoFar, LoggedSession, Origin, Role, SweptRow

GRACE = dt.timedelta(seconds=60)
"""How long after its deadline an attempt may still be at work, closing what it began."""

COLUMNS = (
    *("log_id", "tenant", "conversation_id", "turn", "attempt", "role", "origin", "status"),
    *("created_at", "deadline_at", "finished_at", "path", "model", "project", "repository", "commit_sha"),
    *("session_id", "agent_id", "agent_version", "prefix_fingerprint", "section_fingerprints"),
)
"""The columns that the rows given here have, each under its own name."""

_SESSION = (
    *("session_id", "agent_id", "agent_version", "model", "repository", "commit_sha", "project"),
    *("prefix_fingerprint", "finished_at"),
)


def so_far_of(
    rows: Sequence[Any], kept: Sequence[tuple[int, str]], origin: Origin, now: dt.datetime
) -> ConversationSoFar:
    """The conversation of all of its rows and its kept, unexpired turns, for a dispatcher of one origin."""
    own = [row for row in rows if row.origin == origin and _counts(row)]
    answered = sorted({row.turn for row in own if row.status == Status.SUCCESS})
    last = _last(own)
    return ConversationSoFar(
        turn=max((row.turn for row in rows if row.turn is not None), default=0),
        running=any(row.status == Status.STARTED and now <= row.deadline_at + GRACE for row in own),
        answered=tuple(answered),
        kept=tuple((turn, text) for turn, text in kept if turn in answered),
        session=None if last is None else _session_of(last),
        path=None if last is None else last.path,
        section_fingerprints=None if last is None else last.section_fingerprints,
    )


def swept_row_of(rows: Sequence[Any]) -> SweptRow:
    """What a sweep needs to know of a row, from it and, after it, the other rows of its conversation and origin."""
    row = rows[0]
    last = _last([row for row in rows if _counts(row)])
    session = None if last is None else _session_of(last)
    return SweptRow(
        log_id=row.log_id,
        tenant=row.tenant,
        conversation_id=row.conversation_id,
        status=Status(row.status),
        session_id=row.session_id,
        deadline_at=row.deadline_at,
        finished_at=row.finished_at,
        busy_until=max((row.deadline_at for row in rows if row.status == Status.STARTED), default=None),
        active_at=max(row.finished_at or row.created_at for row in rows),
        resumable=session is not None and session.session_id == row.session_id,
    )


def _counts(row: Any) -> bool:
    return row.turn is not None and row.role != Role.SHADOW


def _last(rows: Sequence[Any]) -> Any | None:
    """The latest attempt of the latest turn."""
    return max(rows, key=lambda row: (row.turn, row.attempt), default=None)


def _session_of(row: Any) -> LoggedSession | None:
    answered = row.status == Status.SUCCESS and row.path == PathName.MANAGED
    known = None not in (row.session_id, row.agent_id, row.agent_version)
    return LoggedSession(**{name: getattr(row, name) for name in _SESSION}) if answered and known else None
