"""What waits as the driver's own parameters: the way of the many entries of which nothing is in the database yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from dispatcher.audit.connections import transaction
from dispatcher.audit.moment import DatabaseNow, iso_reader
from dispatcher.audit.spool_table import Waiting
from dispatcher.audit.spool_text import CALL_NAMES, ENDED, ENDING_NAMES, MOMENTS, OPENING, OPENING_NAMES, SESSION
from dispatcher.audit.statement import STARTED, Statement
from dispatcher.audit.tables import calls, logs

# A text begins with its mark.
_OPENED = ("", *OPENING_NAMES)
_MERGED = (*_OPENED, *ENDING_NAMES)
_NOTED = [_MERGED.index(name) for name in SESSION]
_UNFIT = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


class Row(NamedTuple):
    """An entry that is inserted as it is: the parameters of its row and of its calls."""

    waiting: Waiting
    has_ended: bool
    values: Any
    calls: list[Any]


class RowInserter:
    """Inserts many attempts at once, with one statement for each kind of row, compiled once."""

    def __init__(self, dialect: sa.Dialect) -> None:
        moments = dict.fromkeys(MOMENTS, iso_reader(dialect))
        opened = list(OPENING_NAMES)
        ended = list(dict.fromkeys([*OPENING_NAMES, *ENDING_NAMES]))
        self._opened = Statement(sa.insert(logs).values(status=STARTED), opened, dialect)
        self._ended = Statement(sa.insert(logs).values(landed_at=DatabaseNow()), ended, dialect)
        self._calls = Statement(sa.insert(calls), ["log_id", *CALL_NAMES], dialect)
        self._prepare_opened = self._opened.preparing(_OPENED, moments)
        self._prepare_ended = self._ended.preparing(_MERGED, moments)
        self._prepare_call = self._calls.preparing(["log_id", *CALL_NAMES], {})

    def row_of(self, waiting: Waiting) -> Row | None:
        """The row of an attempt that waits whole; None where more is to be done than to insert it and its calls.

        None also for an entry by another program, and for one that can't be read.
        """
        if waiting.opening is None or (waiting.ended is None and waiting.session is not None):
            return None
        try:
            # One text is read faster than two.
            opening, ended = from_json(f"[{waiting.opening},{waiting.ended or 'null'}]")
            if opening[0] != OPENING.mark or opening[1] != waiting.log_id or len(opening) != len(_OPENED):
                return None
            if ended is None:
                return Row(waiting, has_ended=False, values=self._prepare_opened(opening), calls=[])
            mark, ending, made, kept = ended
            if mark != ENDED.mark or len(ending) != len(ENDING_NAMES) or kept is not None:
                return None
            return self._ended_row(waiting, opening + ending, made)
        except _UNFIT:
            return None

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """Insert rows and their calls in one transaction, all or none."""
        with transaction(connection):
            self._opened.run_prepared(connection, [row.values for row in rows if not row.has_ended])
            self._ended.run_prepared(connection, [row.values for row in rows if row.has_ended])
            self._calls.insert_prepared(connection, [call for row in rows for call in row.calls])

    def _ended_row(self, waiting: Waiting, values: list[Any], made: Sequence[list[Any]]) -> Row | None:
        if waiting.session is not None:
            # A session that was noted stays known where the ending doesn't know it.
            noted = from_json(waiting.session)[1:]
            for place, value in zip(_NOTED, noted, strict=True):
                if values[place] is None:
                    values[place] = value
        calls_made = [self._prepare_call([waiting.log_id, *call]) for call in made if len(call) == len(CALL_NAMES)]
        if len(calls_made) != len(made):
            return None
        return Row(waiting, has_ended=True, values=self._prepare_ended(values), calls=calls_made)
