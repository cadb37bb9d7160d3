"""Statements compiled once: Core's text and types, the driver's own parameters, nothing in between when they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

Processor = Callable[[Any], Any]

_PREFIX = "given_"
_VALUES = " VALUES "
_TOGETHER = 30
STARTED: sa.ColumnElement[str] = sa.literal_column("'started'")
"""The status of an open row, as a part of the statement's text."""
LOST: sa.ColumnElement[str] = sa.literal_column("'lost'")
"""The status of a row that a sweep gave up."""


def given(column: sa.Column[Any]) -> sa.BindParameter[Any]:
    """The value given for a column, where Core keeps the plain name for the SET that it writes itself."""
    return sa.bindparam(f"{_PREFIX}{column.name}", type_=column.type)


class Statement:
    """An INSERT or UPDATE compiled for an engine.

    `columns` are written besides those that the statement names itself. The values are given by name of their column;
    each must be there, and more may be.
    """

    def __init__(self, statement: sa.Insert | sa.Update, columns: Sequence[str], dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns))
        self._text = str(compiled)
        # A driver that counts its parameters has them in an order; one that names them has not.
        self._by_name = compiled.positiontup is None
        self._names = list(compiled.positiontup or compiled.binds)
        self._columns = [name.removeprefix(_PREFIX) for name in self._names]
        types = (compiled.binds[name].type for name in self._names)
        processors = (type_.dialect_impl(dialect).bind_processor(dialect) for type_ in types)
        self._processors: list[tuple[int, Processor]] = [
            (place, process) for place, process in enumerate(processors) if process is not None
        ]

    def run(self, connection: sa.Connection, values: Mapping[str, Any]) -> int:
        """Execute once; returns how many rows it met."""
        return connection.exec_driver_sql(self._text, self._parameters(values)).rowcount

    def run_many(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute once for each row; returns how many rows it met in all."""
        return self.run_prepared(connection, [self._parameters(row) for row in rows])

    def run_prepared(self, connection: sa.Connection, rows: Sequence[Any]) -> int:
        """Execute once for each row that `preparing` has prepared; returns as `run_many` does."""
        return connection.exec_driver_sql(self._text, rows).rowcount if rows else 0

    def insert_prepared(self, connection: sa.Connection, rows: Sequence[Any]) -> None:
        """Insert rows that `preparing` has prepared, some of them with one statement: for rows of few columns."""
        whole = 0 if self._by_name else len(rows) - len(rows) % _TOGETHER
        if whole:
            head, _, marks = self._text.partition(_VALUES)
            text = f"{head}{_VALUES}{', '.join([marks] * _TOGETHER)}"
            chunks = (rows[first : first + _TOGETHER] for first in range(0, whole, _TOGETHER))
            connection.exec_driver_sql(text, [tuple(chain.from_iterable(chunk)) for chunk in chunks])
        self.run_prepared(connection, rows[whole:])

    def preparing(self, names: Sequence[str], texts: Mapping[str, Processor]) -> Callable[[list[Any]], Any]:
        """What makes the driver's parameters of a list of values as JSON has them; it changes the list.

        `names` are the columns of the values; one that comes twice has its last value. `texts` says what makes the
        driver's own parameter of a column's value that JSON has no type for; all others are the driver's own.
        """
        place_of = {name: place for place, name in enumerate(names)}
        taken = itemgetter(*(place_of[column] for column in self._columns))
        changes = [(place_of[name], read) for name, read in texts.items() if name in place_of]
        if not changes and not self._by_name:
            return taken

        def prepare(values: list[Any]) -> Any:
            for place, read in changes:
                if (text := values[place]) is not None:
                    values[place] = read(text)
            parameters = taken(values)
            return dict(zip(self._names, parameters, strict=True)) if self._by_name else parameters

        return prepare

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        parameters = [values[column] for column in self._columns]
        for place, process in self._processors:
            parameters[place] = process(parameters[place])
        return dict(zip(self._names, parameters, strict=True)) if self._by_name else tuple(parameters)
