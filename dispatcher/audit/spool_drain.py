"""The draining of the spool: what waits becomes rows of the database, once, and is deleted when it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Call, Usage
from dispatcher.audit.connections import Connections, transaction
from dispatcher.audit.gap_file import Gap
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.record import AttemptEnding, AttemptOpening
from dispatcher.audit.spool import Spool, Waiting
from dispatcher.audit.spool_entry import SESSION, Entry, UnreadableEntry, entry_of
from dispatcher.audit.statement import STARTED, Statement
from dispatcher.audit.tables import calls, log_gaps, logs
from dispatcher.audit.trial import open_and_end
from dispatcher.audit.trouble import is_of_its_file, named, reason_of
from dispatcher.audit.writer import Writer

MOST_AT_ONCE = 500
"""How many entries are read, written and deleted together."""

ELSEWHERE = "another process drains the spool"
"""Why a round ended that never began."""

_MOST_REFUSALS = 3
_OPENING = [field.name for field in fields(AttemptOpening)]
_MERGED = list(dict.fromkeys([*_OPENING, *(field.name for field in fields(AttemptEnding))]))
_CALL = [field.name for field in fields(Call) if field.name != "usage"] + [field.name for field in fields(Usage)]
# The entry's own fault; what else a database refuses may be the database's, and pass.
_UNFIT = (sa.exc.IntegrityError, sa.exc.DataError, ValueError, OverflowError)
_REFUSALS = (sa.exc.SQLAlchemyError, *_UNFIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a round of draining did, in entries, and in gaps that it told the database of.

    `stopped` is why it ended before all was done, or None.
    """

    landed: int = 0
    quarantined: int = 0
    gaps: int = 0
    left: int = 0
    stopped: str | None = None


class Drain:
    """Writes what waits in a spool to the database, blocking.

    Entries are inserted many at once. Where the database refuses that, each is told alone, as the log would have told
    it: a row that is there already is read back and compared, so that an entry of which a part has landed before,
    through a slow database or a drain that was killed, is completed, and never doubled. An entry is deleted from the
    spool only when all of it is committed. One that contradicts its row, or that the database will never take, is
    quarantined with the reason; one that the database refuses for a reason of its own stays, and ends the round.
    """

    def __init__(self, spool: Spool, engine: sa.Engine) -> None:
        self._spool = spool
        self._url = engine.url
        self._connections = Connections(engine)
        self._writer = Writer(self._connections)
        dialect = engine.dialect
        self._open = Statement(sa.insert(logs).values(status=STARTED), _OPENING, dialect)
        self._merged = Statement(sa.insert(logs).values(landed_at=DatabaseNow()), _MERGED, dialect)
        self._calls = Statement(sa.insert(calls), ["log_id", *_CALL], dialect)
        self._gap = Statement(sa.insert(log_gaps), [field.name for field in fields(Gap)], dialect)

    def run(self) -> Drained:
        """Drain until nothing waits, or the database refuses. Raises LogUnavailable where the spool can't be read."""
        *_, done = self.batches()
        return done

    def batches(self) -> Iterator[Drained]:
        """Drain, as `run` does, and say after every batch what is done; whoever stops asking ends it there."""
        done = Drained()
        with self._spool.draining() as alone:
            if not alone:
                yield replace(done, left=self._spool.status().waiting, stopped=ELSEWHERE)
                return
            done = self._tell_gaps(done)
            while done.stopped is None and (batch := self._spool.waiting(MOST_AT_ONCE)):
                done = self._drain(batch, done)
                yield replace(done, left=self._spool.status().waiting)
        yield replace(done, left=self._spool.status().waiting)

    def shutdown(self) -> None:
        """Give the connection back; no round may be running."""
        self._connections.release()

    def _tell_gaps(self, done: Drained) -> Drained:
        for gap in self._spool.gaps(sealed=True):
            try:
                try:
                    self._connections.run(lambda connection, gap=gap: self._gap.run(connection, asdict(gap)))  # type: ignore[misc]
                except sa.exc.IntegrityError:
                    # It is there already where a drain was killed before it could forget it.
                    if not self._connections.run(lambda connection, gap=gap: _has_gap(connection, gap)):  # type: ignore[misc]
                        raise
            except sa.exc.SQLAlchemyError as error:
                return replace(done, stopped=f"{named(self._url)}: {reason_of(error, self._url)}")
            self._spool.forget_gap(gap.gap_id)
            done = replace(done, gaps=done.gaps + 1)
        return done

    def _drain(self, batch: Sequence[Waiting], done: Drained) -> Drained:
        whole: list[tuple[Waiting, Entry]] = []
        parts: list[tuple[Waiting, Entry]] = []
        for waiting in batch:
            try:
                entry = _entry(waiting)
            except UnreadableEntry as error:
                self._spool.quarantine(waiting, str(error))
                done = replace(done, quarantined=done.quarantined + 1)
            else:
                (whole if _is_one_row(entry) else parts).append((waiting, entry))
        if whole and self._insert_together([entry for _, entry in whole]):
            self._spool.landed([waiting for waiting, _ in whole])
            done = replace(done, landed=done.landed + len(whole))
        else:
            parts = whole + parts
        for waiting, entry in parts:
            done = self._tell(waiting, entry, done)
            if done.stopped is not None:
                break
        return done

    def _insert_together(self, entries: Sequence[Entry]) -> bool:
        """Insert rows and calls in one transaction; False where the database took none of them."""
        opened = [entry.row() for entry in entries if entry.ending is None]
        ended = [entry.row() for entry in entries if entry.ending is not None]
        made = [call for entry in entries for call in entry.calls]

        def insert(connection: sa.Connection) -> None:
            with transaction(connection):
                self._open.run_many(connection, opened)
                self._merged.run_many(connection, ended)
                self._calls.run_many(connection, made)

        try:
            self._connections.run(insert)
        except _REFUSALS:
            return False
        return True

    def _tell(self, waiting: Waiting, entry: Entry, done: Drained) -> Drained:
        try:
            problem = self._told(entry)
        except _REFUSALS as error:
            problem = f"{named(self._url)}: {reason_of(error, self._url)}"
            if not isinstance(error, _UNFIT):
                tries = self._spool.refused(waiting)
                # The database takes other entries in this round, and would now: it is this one that it can't take.
                if not done.landed or tries < _MOST_REFUSALS or not self._would_take_another(error):
                    return replace(done, stopped=problem)
        if problem is None:
            self._spool.landed([waiting])
            return replace(done, landed=done.landed + 1)
        self._spool.quarantine(waiting, problem)
        return replace(done, quarantined=done.quarantined + 1)

    def _would_take_another(self, refusal: Exception) -> bool:
        """Whether the database takes rows at this moment; what is tried isn't kept."""

        def tried(connection: sa.Connection) -> None:
            with transaction(connection):
                open_and_end(connection)

        # A disk that is full is met only where what is tried is kept.
        if isinstance(refusal, sa.exc.DBAPIError) and is_of_its_file(refusal):
            return False
        try:
            self._connections.run(tried)
        except sa.exc.SQLAlchemyError:
            return False
        return True

    def _told(self, entry: Entry) -> str | None:
        """Tell the database all that waits of an attempt; why the row contradicts it, or None where it doesn't."""
        refused: str | None = None
        if entry.opening is not None:
            try:
                self._connections.run(lambda connection: self._open.run(connection, dict(entry.opening or {})))
            except sa.exc.IntegrityError as error:
                # Most often the row itself; whether it is will be read.
                refused = reason_of(error, self._url)
        if entry.session is not None:
            self._writer.note_session(entry.log_id, *(entry.session[name] for name in SESSION))
        if entry.ending is not None:
            self._writer.close(entry.log_id, entry.as_ending(), entry.as_calls(), entry.kept)
        row, made = self._connections.run(lambda connection: _found(connection, entry.log_id))
        if row is None:
            return f"{named(self._url)} has no such row" if refused is None else f"{named(self._url)}: {refused}"
        if different := entry.differences(row, made):
            return f"{named(self._url)} has the row, and it differs in {', '.join(different)}"
        return None


def _entry(waiting: Waiting) -> Entry:
    return entry_of(waiting.log_id, waiting.version, waiting.opening, waiting.session, waiting.ended)


def _is_one_row(entry: Entry) -> bool:
    """Whether inserting a row and its calls is all that is to be done."""
    return entry.opening is not None and entry.kept is None and (entry.ending is not None or entry.session is None)


def _has_gap(connection: sa.Connection, gap: Gap) -> bool:
    same = sa.select(log_gaps.c.gap_id).where(log_gaps.c.gap_id == gap.gap_id)
    return connection.execute(same).first() is not None


def _found(connection: sa.Connection, log_id: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    row = connection.execute(sa.select(logs).where(logs.c.log_id == log_id)).mappings().first()
    made = connection.execute(sa.select(calls).where(calls.c.log_id == log_id)).mappings().all()
    return None if row is None else dict(row), [dict(call) for call in made]
