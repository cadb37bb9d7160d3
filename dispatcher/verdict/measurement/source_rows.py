"""Asking another application's table for the rows of a baseline: one statement, read-only, counted by value."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import func, select

from dispatcher.adr.baseline import Baseline
from dispatcher.adr.criterion import Criterion
from dispatcher.audit.engine import open_existing
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import InvalidPolicy, SourceUnreachable
from dispatcher.verdict.pinning.pin import SourceRows
from dispatcher.verdict.pinning.sources import Source

_MOST_VALUES = 1_000_000
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


def source_rows(url: str, source: Source, criterion: Criterion, baseline: Baseline) -> SourceRows:
    """The rows of a criterion's baseline in a source, by status and value.

    Raises InvalidPolicy where the table doesn't have the mapped columns, and SourceUnreachable.
    """
    engine = open_existing(url)
    if engine is None:
        raise SourceUnreachable("the source can't be read: its file isn't there")
    try:
        with _reading(engine) as connection:
            return _asked(connection, source, criterion, baseline)
    except sa.exc.SQLAlchemyError as error:
        raise SourceUnreachable(f"{named(engine.url)} can't be read: {reason_of(error, engine.url)}") from None
    finally:
        engine.dispose()


def _asked(connection: sa.Connection, source: Source, criterion: Criterion, baseline: Baseline) -> SourceRows:
    table = _table(connection, source)
    statement = _statement(connection.dialect, table, source, criterion, baseline)
    counts: dict[tuple[str, Decimal | None], int] = {}
    try:
        for status, value, rows in connection.execute(statement):
            key = (str(status), None if value is None else _exact(value))
            counts[key] = counts.get(key, 0) + int(rows)
            if len(counts) > _MOST_VALUES:
                told = f"the window holds more than {_MOST_VALUES} different values: state a shorter one"
                raise SourceUnreachable(told)
    except (ArithmeticError, ValueError, TypeError):
        column = source.columns.of_measure(criterion.measure)
        assert column is not None
        told = f"{criterion.measure}: the column {column.column} holds something in the window that isn't a number"
        raise InvalidPolicy(f"sources.yml: {source.table}", [told]) from None
    sql = str(statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    return SourceRows(counts=counts, sql="\n".join(line.rstrip() for line in sql.split("\n")))


def _table(connection: sa.Connection, source: Source) -> sa.Table:
    """The table as the database describes it. Raises InvalidPolicy with every column that isn't there."""
    subject = f"sources.yml: {source.table}"
    try:
        described = sa.inspect(connection).get_columns(source.table)
    except sa.exc.NoSuchTableError:
        raise InvalidPolicy(subject, ["there is no such table in the source"]) from None
    there = {column["name"]: column["type"] for column in described}
    wanted = _mapped(source)
    missing = [f"{ours}: there is no column {theirs}" for ours, theirs in wanted.items() if theirs not in there]
    if missing:
        raise InvalidPolicy(subject, missing)
    columns = [sa.Column(name, there[name]) for name in dict.fromkeys(wanted.values())]
    return sa.Table(source.table, sa.MetaData(), *columns)


def _mapped(source: Source) -> Mapping[str, str]:
    columns = source.columns
    plain = {name: getattr(columns, name) for name in ("created_at", "feature", "status", "tenant", "conversation_id")}
    mapped = {name: theirs for name, theirs in plain.items() if theirs is not None}
    mapped |= {measure.value: column.column for measure, column in columns.measures.items()}
    return mapped | {name: name for name in source.only}


def _statement(
    dialect: sa.Dialect, table: sa.Table, source: Source, criterion: Criterion, baseline: Baseline
) -> sa.Select[Any]:
    """Rows by status and value; of a sample only the first of each conversation, since the others aren't new."""
    columns, where = source.columns, baseline.where
    column = columns.of_measure(criterion.measure)
    assert column is not None
    assert where is not None
    assert baseline.window is not None
    status = table.c[columns.status] if columns.status is not None else sa.literal(source.success[0])
    value, moment = table.c[column.column], table.c[columns.created_at]
    first, last = (_moment(dialect, moment, day, source.zone) for day in baseline.window)
    conditions = [moment >= first, moment < last]
    conditions += [table.c[name] == wanted for name, wanted in source.only.items()]
    if columns.feature is not None:
        conditions.append(table.c[columns.feature] == where.feature)
    if columns.tenant is not None and where.tenant is not None:
        conditions.append(table.c[columns.tenant] == where.tenant)
    if baseline.treat_as == "sample" and columns.conversation_id is not None:
        talk = table.c[columns.conversation_id]
        order = func.row_number().over(partition_by=talk, order_by=(moment, value))
        ranked = select(status.label("status"), value.label("value"), talk.label("talk"), order.label("place"))
        inner = ranked.where(*conditions).subquery("ranked")
        kept = (inner.c.place == 1) | inner.c.talk.is_(None)
        return select(inner.c.status, inner.c.value, func.count()).where(kept).group_by(inner.c.status, inner.c.value)
    chosen = select(status.label("status"), value.label("value"), func.count().label("rows"))
    return chosen.where(*conditions).group_by(status, value)


def _moment(dialect: sa.Dialect, column: sa.Column[Any], day: dt.date, zone: str) -> sa.ColumnElement[Any]:
    """The start of a day of the source's zone, as its column has moments."""
    start = dt.datetime.combine(day, dt.time(), ZoneInfo(zone))
    if dialect.name == "sqlite":
        # Moments are texts there, with or without `T` and fractions; the day alone sorts before all of its own.
        return sa.literal(day.isoformat(), sa.String())
    if getattr(column.type, "timezone", False):
        return sa.literal(start.astimezone(dt.UTC).isoformat(sep=" "), sa.String()).cast(column.type)
    if isinstance(column.type, sa.types.TIMESTAMP) and dialect.name in {"mysql", "mariadb"}:
        # A moment of the session, which is in UTC.
        return sa.literal(f"{start.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}", sa.String())
    return sa.literal(f"{day.isoformat()} 00:00:00", sa.String()).cast(sa.DateTime())


def _exact(value: Any) -> Decimal:
    """A number as the table has it; a binary one as the shortest decimal that reads back as it.

    Raises ValueError, TypeError or ArithmeticError for what is none, or isn't written in plain digits.
    """
    if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value):
        raise ValueError("not in plain digits")
    found = value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)
    if not found.is_finite():
        raise ValueError("not finite")
    return found


@contextmanager
def _reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        else:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        yield connection
        connection.rollback()
