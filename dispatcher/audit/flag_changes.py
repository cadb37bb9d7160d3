"""Rows of `flag_changes`: the states of a flag one after the other, as processes saw them; append-only."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.audit.connections import Connections
from dispatcher.audit.evidence_tables import flag_changes
from dispatcher.audit.record import new_log_id
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable

T = TypeVar("T")

BEGUN_ANEW = dt.timedelta(minutes=1)
"""How much later than the latest state one with a lower revision was seen that isn't an old one seen late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChange:
    """A flag's state from one moment on.

    `source` is where the flag's document comes from, and `sequence` counts the flag's changes there from 1. A
    fingerprint is a hash of what decides the flag; `from_fingerprint` is that of the state before, None for the first
    that was ever seen. `flag_version` and `revision` are those of the whole document, `standing` says in JSON which
    variant each tenant got. `seen_at`, in UTC, is when a process first saw the state; `actor` is who made it, None
    where nobody said.
    """

    change_id: str
    source: str
    flag: str
    sequence: int
    from_fingerprint: str | None
    to_fingerprint: str
    flag_version: str
    revision: int
    standing: str
    seen_at: dt.datetime
    actor: str | None


_CONFLICTS = 100
"""More than processes that append to one flag at once; beyond it, the row is refused for another reason."""
_FILE = "file"
"""The source whose revisions are times, which never begin anew."""
_COLUMNS = [field.name for field in fields(FlagChange)]


class FlagChanges:
    """The changes of flags in a database. May be used from any thread, and goes on in a child after a fork."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connections = Connections(engine)
        self._process = os.getpid()

    def record(
        self,
        *,
        source: str,
        flag: str,
        fingerprint: str,
        version: str,
        revision: int,
        seen_at: dt.datetime,
        standing: str,
        actor: str | None = None,
    ) -> bool:
        """Append the state that a process saw, if it is another than the latest of the source and flag.

        A state of a document that isn't newer than the latest's is an old one that was seen late, and is left out. A
        document whose source states no revision has 0, and is newer where it was seen later; so is a server's that was
        seen more than BEGUN_ANEW after the latest, since it counts anew then, as with another database. Of several
        processes that see one change, one appends it and gets True. Raises SourceUnreachable.
        """
        state = {
            "source": source,
            "flag": flag,
            "to_fingerprint": fingerprint,
            "flag_version": version,
            "revision": revision,
            "standing": standing,
            "seen_at": seen_at,
            "actor": actor,
        }
        return self._run(partial(_append, state=state))

    def history(self, flag: str, source: str | None = None, limit: int = 100) -> list[FlagChange]:
        """The latest changes of a flag, the newest first; of every source where none is named.

        Raises SourceUnreachable.
        """
        query = sa.select(*(flag_changes.c[name] for name in _COLUMNS)).where(flag_changes.c.flag == flag).limit(limit)
        by_sequence = flag_changes.c.sequence.desc()
        if source is None:
            # Only between sources do the clocks of the processes make the order.
            query = query.order_by(flag_changes.c.seen_at.desc(), by_sequence)
        else:
            query = query.where(flag_changes.c.source == source).order_by(by_sequence)

        def read(connection: sa.Connection) -> list[FlagChange]:
            return [FlagChange(**row) for row in connection.execute(query).mappings()]

        return self._run(read)

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        if self._process != os.getpid():
            # The parent goes on with the connections that it had at the fork.
            self._engine.dispose(close=False)
            self._process = os.getpid()
        try:
            return self._connections.once(work)
        except sa.exc.SQLAlchemyError as error:
            url = self._engine.url
            raise SourceUnreachable(f"{named(url)} can't be used: {reason_of(error, url)}") from None


def _append(connection: sa.Connection, state: Mapping[str, Any]) -> bool:
    own = (flag_changes.c[name] == state[name] for name in ("source", "flag"))
    latest = sa.select(flag_changes).where(*own).order_by(flag_changes.c.sequence.desc()).limit(1)
    conflicts = 0
    while True:
        before = connection.execute(latest).first()
        if before is not None and (before.to_fingerprint == state["to_fingerprint"] or not _newer(state, before)):
            return False
        place = {
            "change_id": new_log_id(),
            "sequence": 1 if before is None else before.sequence + 1,
            "from_fingerprint": None if before is None else before.to_fingerprint,
        }
        try:
            connection.execute(sa.insert(flag_changes), {**state, **place})
        except sa.exc.IntegrityError:
            # Another process has appended a change meanwhile, perhaps this one; or the row itself is refused.
            conflicts += 1
            if conflicts > _CONFLICTS:
                raise
            continue
        return True


def _newer(state: Mapping[str, Any], latest: sa.Row[Any]) -> bool:
    later = state["seen_at"] - latest.seen_at
    if not (state["revision"] and latest.revision):
        return bool(later > dt.timedelta())
    if state["revision"] < latest.revision and state["source"] != _FILE:
        return bool(later > BEGUN_ANEW)
    return bool(state["revision"] > latest.revision)
