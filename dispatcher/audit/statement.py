"""Statements compiled once: Core's text and types, the driver's own parameters, nothing in between when they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

_PREFIX = "given_"
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
        self._processors: list[tuple[int, Callable[[Any], Any]]] = [
            (place, process) for place, process in enumerate(processors) if process is not None
        ]

    def run(self, connection: sa.Connection, values: Mapping[str, Any]) -> int:
        """Execute once; returns how many rows it met."""
        return connection.exec_driver_sql(self._text, self._parameters(values)).rowcount

    def run_many(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute once for each row."""
        if rows:
            connection.exec_driver_sql(self._text, [self._parameters(row) for row in rows])

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        parameters = [values[column] for column in self._columns]
        for place, process in self._processors:
            parameters[place] = process(parameters[place])
        return dict(zip(self._names, parameters, strict=True)) if self._by_name else tuple(parameters)
