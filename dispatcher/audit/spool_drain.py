"""The draining of the spool: what waits becomes rows of the database, once, and is deleted when it has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import sqlalchemy as sa

from dispatcher.audit.connections import Connections, transaction
from dispatcher.audit.gap_file import Gap
from dispatcher.audit.spool import Spool, Waiting
from dispatcher.audit.spool_entry import Entry, entry_of
from dispatcher.audit.spool_rows import Row, RowInserter
from dispatcher.audit.spool_text import OPENING_NAMES, SESSION, UnreadableEntry
from dispatcher.audit.statement import STARTED, Statement
from dispatcher.audit.tables import calls, log_gaps, logs
from dispatcher.audit.trial import a_row, open_and_end, undone
from dispatcher.audit.trouble import is_of_its_file, named, reason_of
from dispatcher.audit.writer import Writer

MOST_AT_ONCE = 500
"""How many entries are read, written and deleted together."""

ELSEWHERE = "another process drains the spool"
"""Why a round ended that never began."""

_MOST_REFUSALS, _MOST_LONELY_REFUSALS = 3, 10
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

    Entries are inserted many at once. Those of them that are there already, through a slow database or a drain that was
    killed, are read back together and compared. Where the database refuses what isn't there, it is halved until what is
    refused is alone; and what is alone, or of which the database has a part, is told as the log would have told it. So
    an entry is completed, and never doubled. It is deleted from the spool only when all of it is committed.

    An entry that contradicts its row, or that the database will never take, is quarantined with the reason. One that
    the database refuses for a reason of its own stays, and ends the round; unless the database would take another row
    at that moment, and has refused this one 3 times while others landed, or 10 times while none else waited.
    """

    def __init__(self, spool: Spool, engine: sa.Engine) -> None:
        self._spool = spool
        self._url = engine.url
        self._connections = Connections(engine)
        self._writer = Writer(engine.dialect)
        self._inserter = RowInserter(engine.dialect)
        self._open = Statement(sa.insert(logs).values(status=STARTED), OPENING_NAMES, engine.dialect)
        self._gap = Statement(sa.insert(log_gaps), [field.name for field in fields(Gap)], engine.dialect)

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
            done, gap_refused = self._tell_gaps(done)
            # How many wait is counted only once; what is added meanwhile is counted at the end.
            left = self._spool.status().waiting
            while done.stopped is None and (batch := self._spool.waiting(MOST_AT_ONCE)):
                done = self._drain(batch, done)
                yield replace(done, left=max(0, left - done.landed - done.quarantined))
        yield replace(done, left=self._spool.status().waiting, stopped=done.stopped or gap_refused)

    def shutdown(self) -> None:
        """Give the connection back; no round may be running."""
        self._connections.release()

    def _tell_gaps(self, done: Drained) -> tuple[Drained, str | None]:
        """Tell what gaps there are, and why one of them couldn't be told; rows wait for none of them."""
        refused: str | None = None
        for gap in self._spool.gaps(sealed=True):
            try:
                self._connections.run(lambda connection, gap=gap: self._told_gap(connection, gap))  # type: ignore[misc]
            except sa.exc.SQLAlchemyError as error:
                refused = f"{named(self._url)}: {reason_of(error, self._url)}"
                if not isinstance(error, _UNFIT):
                    # It would refuse the others likewise, perhaps after its whole patience.
                    break
            else:
                self._spool.forget_gap(gap.gap_id)
                done = replace(done, gaps=done.gaps + 1)
        return done, refused

    def _told_gap(self, connection: sa.Connection, gap: Gap) -> None:
        # It is there already where a drain was killed before it could forget it.
        if not _has_gap(connection, gap):
            self._gap.run(connection, asdict(gap))

    def _drain(self, batch: Sequence[Waiting], done: Drained) -> Drained:
        whole: list[Row] = []
        alone: list[Waiting] = []
        for waiting in batch:
            if (row := self._inserter.row_of(waiting)) is not None:
                whole.append(row)
            else:
                alone.append(waiting)
        landed, refused = self._insert(whole)
        done = replace(done, landed=done.landed + landed)
        for waiting in [*refused, *alone]:
            done = self._tell(waiting, done)
            if done.stopped is not None:
                break
        return done

    def _insert(self, rows: Sequence[Row]) -> tuple[int, list[Waiting]]:
        """Insert rows together; how many have landed, and what is to be told alone."""
        if not rows:
            return 0, []
        entries = [row.waiting for row in rows]
        try:
            self._connections.run(lambda connection: self._inserter.insert(connection, rows))
        except _UNFIT:
            return self._insert_in_parts(rows)
        except sa.exc.SQLAlchemyError:
            return 0, entries
        self._spool.landed(entries)
        return len(entries), []

    def _insert_in_parts(self, rows: Sequence[Row]) -> tuple[int, list[Waiting]]:
        """Set apart what is there already, then halve what isn't until what the database refuses is alone."""
        try:
            same, other = self._compared([row.waiting for row in rows])
        except _REFUSALS:
            return 0, [row.waiting for row in rows]
        self._spool.landed(same)
        apart = {waiting.log_id for waiting in (*same, *other)}
        new = [row for row in rows if row.waiting.log_id not in apart]
        if len(new) == len(rows) == 1:
            return 0, [rows[0].waiting]
        # Where some were there, they may have been all that was refused.
        size = len(new) if apart else len(new) // 2
        parts = [self._insert(new[:size]), self._insert(new[size:])]
        return len(same) + sum(landed for landed, _ in parts), [*other, *(one for _, left in parts for one in left)]

    def _compared(self, entries: Sequence[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
        """Of what the database has, the entries that say the same as it, and those that don't."""
        ids = [waiting.log_id for waiting in entries]
        found, made = self._connections.run(lambda connection: _found(connection, ids))
        same: list[Waiting] = []
        other: list[Waiting] = []
        for waiting in entries:
            if (row := found.get(waiting.log_id)) is not None:
                is_same = not entry_of(*waiting).differences(row, made.get(waiting.log_id, []))
                (same if is_same else other).append(waiting)
        return same, other

    def _tell(self, waiting: Waiting, done: Drained) -> Drained:
        try:
            problem = self._told(entry_of(*waiting, self._spool.shapes()))
        except UnreadableEntry as error:
            problem = str(error)
        except _REFUSALS as error:
            problem = f"{named(self._url)}: {reason_of(error, self._url)}"
            if not isinstance(error, _UNFIT):
                most = _MOST_REFUSALS if done.landed else _MOST_LONELY_REFUSALS
                # Where the database would take another one now, it is this one that it can't take.
                if self._spool.refused(waiting) < most or not self._would_take_another(error):
                    return replace(done, stopped=problem)
        if problem is None:
            self._spool.landed([waiting])
            return replace(done, landed=done.landed + 1)
        self._spool.quarantine(waiting, problem)
        return replace(done, quarantined=done.quarantined + 1)

    def _would_take_another(self, refusal: Exception) -> bool:
        """Whether the database takes a row and a call at this moment; what is tried isn't kept."""

        def tried(connection: sa.Connection) -> None:
            with transaction(connection):
                open_and_end(connection)
                with undone(connection):
                    connection.execute(sa.insert(calls).values(a_row(calls)))

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
            told = self._writer.session(entry.log_id, *(entry.session[name] for name in SESSION))
            self._connections.run(told.alone)
        if entry.ending is not None:
            told = self._writer.ending(entry.log_id, entry.as_ending(), entry.as_calls(), entry.kept)
            self._connections.run(told.alone)
        found, made = self._connections.run(lambda connection: _found(connection, [entry.log_id]))
        if (row := found.get(entry.log_id)) is None:
            return f"{named(self._url)} has no such row" if refused is None else f"{named(self._url)}: {refused}"
        if different := entry.differences(row, made.get(entry.log_id, [])):
            return f"{named(self._url)} has the row, and it differs in {', '.join(different)}"
        return None


def _has_gap(connection: sa.Connection, gap: Gap) -> bool:
    same = sa.select(log_gaps.c.gap_id).where(log_gaps.c.gap_id == gap.gap_id)
    return connection.execute(same).first() is not None


def _found(
    connection: sa.Connection, log_ids: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The rows of a few hundred attempts and their calls, by `log_id`."""
    of_ids = (sa.select(table).where(table.c.log_id.in_(log_ids)) for table in (logs, calls))
    rows, made = (connection.execute(query).mappings().all() for query in of_ids)
    calls_of: dict[str, list[dict[str, Any]]] = {}
    for call in made:
        calls_of.setdefault(call["log_id"], []).append(dict(call))
    return {row["log_id"]: dict(row) for row in rows}, calls_of
