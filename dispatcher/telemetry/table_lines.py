"""The rows of another application's table, as `policies/sources.yml` describes it, for an import; only ever read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Status
from dispatcher.adr.measure import Measure
from dispatcher.audit.engine import open_existing
from dispatcher.audit.reading import snapshot
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import InvalidImport, SourceUnreachable
from dispatcher.telemetry.import_map import ImportMap
from dispatcher.telemetry.lines import Line, as_text, not_text
from dispatcher.telemetry.target import targets
from dispatcher.verdict.pinning.sources import Source

_ROWS_AT_ONCE = 1_000
_TARGETS = {Measure.COST: "cost_nanousd"}
_TOLD = ("created_at", "feature", "tenant", "conversation_id")


class TableLines:
    """The rows in the order of their primary key, counted from 1."""

    unit = "row"

    def __init__(self, connection: sa.Connection, table: sa.Table, source: Source, column_map: ImportMap) -> None:
        where = [table.c[name] == value for name, value in source.only.items()]
        columns = [_cell(table, source, name) for name in column_map.needed]
        self._is_utc = [_is_utc(table, name, connection.dialect) for name in column_map.needed]
        query = sa.select(*columns).where(*where).order_by(*(table.c[name] for name in column_map.key))
        self._rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
        counted = sa.select(sa.func.count()).select_from(table).where(*where)
        with connection.engine.connect() as other:
            self._total = int(other.execute(counted).scalar_one())
        self._url = connection.engine.url
        self._read = 0

    def __iter__(self) -> Iterator[Line]:
        """Each row once. Raises SourceUnreachable."""
        rows = iter(self._rows)
        while True:
            try:
                row = next(rows, None)
            except sa.exc.SQLAlchemyError as error:
                raise _unreachable(self._url, error) from None
            if row is None:
                return
            self._read += 1
            yield self._line(row)

    def _line(self, row: sa.Row[Any]) -> Line:
        cells = []
        for value, is_utc in zip(row, self._is_utc, strict=True):
            moment = value.replace(tzinfo=dt.UTC) if is_utc and isinstance(value, dt.datetime) else value
            cell = as_text(moment)
            if cell is None:
                return Line(self._read, (), f"holds a {type(value).__name__}, which is not a plain value")
            cells.append(cell)
        return Line(self._read, tuple(cells), not_text("".join(cells)))

    def done(self) -> float:
        """By the number of rows."""
        return min(1.0, self._read / self._total) if self._total else 1.0


@contextmanager
def open_table(name: str, source: Source, url: str) -> Iterator[tuple[ImportMap, TableLines]]:
    """A source's rows, and the map by which they are imported.

    What the source counts as an answer is a `success`, any other status an `error`, none `lost`. A row is told from the
    others by the table's primary key. Raises InvalidImport where the table hasn't what is mapped, or SourceUnreachable.
    """
    subject = f"source {name}"
    engine = open_existing(url)
    if engine is None:
        raise SourceUnreachable(f"{subject} can't be read: its file isn't there")
    try:
        with snapshot(engine) as connection:
            is_file = connection.dialect.name == "sqlite"
            connection.exec_driver_sql("PRAGMA query_only = ON" if is_file else "SET TRANSACTION READ ONLY")
            table = _table(connection, subject, source)
            column_map = _map(name, table, source)
            yield column_map, TableLines(connection, table, source, column_map)
    except sa.exc.SQLAlchemyError as error:
        raise _unreachable(engine.url, error) from None
    finally:
        engine.dispose()


def _unreachable(url: sa.URL, error: sa.exc.SQLAlchemyError) -> SourceUnreachable:
    return SourceUnreachable(f"{named(url)} can't be read: {reason_of(error, url)}")


def _table(connection: sa.Connection, subject: str, source: Source) -> sa.Table:
    try:
        table = sa.Table(source.table, sa.MetaData(), autoload_with=connection, resolve_fks=False)
    except sa.exc.NoSuchTableError:
        raise InvalidImport(subject, [f"there is no table {source.table}"]) from None
    wanted = {**_plain(source), **{measure.value: name for measure, name in _measured(source).items()}}
    wanted |= {name: name for name in source.only}
    problems = [f"{ours}: there is no column {theirs}" for ours, theirs in wanted.items() if theirs not in table.c]
    if not table.primary_key.columns:
        problems.append(f"the table {source.table} has no primary key, by which a second import would know its rows")
    if problems:
        raise InvalidImport(subject, problems)
    return table


def _map(name: str, table: sa.Table, source: Source) -> ImportMap:
    columns: dict[str, Any] = {ours: {"from": theirs} for ours, theirs in _plain(source).items()}
    columns["created_at"] = {"from": source.columns.created_at, "zone": source.zone}
    if source.columns.status is not None:
        words = {Status.SUCCESS: Status.SUCCESS, Status.ERROR: Status.ERROR, "": Status.LOST}
        columns["status"] = {"from": source.columns.status, "map": {str(k): str(v) for k, v in words.items()}}
    for measure, theirs in _measured(source).items():
        column = source.columns.measures[measure]
        given = {"unit": column.unit, "zero_is_unknown": column.zero_is_unknown}
        stated = {key: value for key, value in given.items() if value is not None}
        columns[_TARGETS.get(measure, measure.value)] = {"from": theirs, **stated}
    constants = {"feature": source.feature, "tenant": source.tenant}
    if source.columns.status is None:
        constants["status"] = Status.SUCCESS
    return ImportMap.model_validate(
        {
            "schema": "1",
            "source": name,
            "key": list(table.primary_key.columns.keys()),
            "columns": columns,
            "constants": {ours: value for ours, value in constants.items() if value is not None},
        }
    )


def _plain(source: Source) -> Mapping[str, str]:
    found = {name: getattr(source.columns, name) for name in (*_TOLD, "status")}
    return {name: theirs for name, theirs in found.items() if theirs is not None}


def _measured(source: Source) -> Mapping[Measure, str]:
    """The mapped measures that are columns of the log."""
    measures = source.columns.measures
    return {one: column.column for one, column in measures.items() if _TARGETS.get(one, one.value) in targets()}


def _cell(table: sa.Table, source: Source, name: str) -> sa.ColumnElement[Any]:
    if name != source.columns.status:
        return table.c[name]
    answered: Sequence[str] = source.success
    status = table.c[name]
    return sa.case(
        (status.is_(None), sa.null()), (status.in_(answered), Status.SUCCESS.value), else_=Status.ERROR.value
    ).label(name)


def _is_utc(table: sa.Table, name: str, dialect: sa.Dialect) -> bool:
    """Whether a moment without an offset is in UTC, whatever the zone of the source: MySQL's own kind of moment is."""
    is_kept_in_utc = isinstance(table.c[name].type, sa.types.TIMESTAMP)
    return is_kept_in_utc and dialect.name in {"mysql", "mariadb"}
