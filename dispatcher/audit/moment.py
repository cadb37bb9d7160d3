"""Moments in the database: the column type that keeps them, and the database's own clock."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_DAY_WIDTH = len("YYYY-MM-DD")
_WIDTH = len("YYYY-MM-DD HH:MM:SS.ffffff")
_is_usual = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\+00:00").fullmatch


class UtcDateTime(sa.types.TypeDecorator[dt.datetime]):
    """A moment to the microsecond: aware in, aware UTC out, on every engine.

    SQLite keeps the text 'YYYY-MM-DD HH:MM:SS.ffffff' in UTC, which sorts as time does and compares with what its own
    `datetime()` returns. Raises ValueError for a moment without a time zone.
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """A plain DATETIME of MySQL and MariaDB would drop the microseconds."""
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name == "postgresql"))

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        """On SQLite, the text at once: a row has several moments, and there are many rows."""
        return _sqlite_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """The moment in UTC, without its zone where the engine's type has none."""
        if value is None:
            return None
        moment = _in_utc(value)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:  # noqa: ARG002
        """The moment, aware and in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def _in_utc(moment: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment for the log has no time zone")
    return moment.astimezone(dt.UTC)


def _sqlite_text(moment: dt.datetime | None) -> str | None:
    if moment is None:
        return None
    in_utc = moment if moment.tzinfo is dt.UTC else _in_utc(moment)
    return in_utc.isoformat(" ", "microseconds")[:_WIDTH]


def iso_reader(dialect: sa.Dialect) -> Callable[[str], Any]:
    """What makes the driver's own parameter of a moment in ISO 8601; it raises ValueError for what is none."""
    if dialect.name == "sqlite":
        return _sqlite_text_of_iso
    bind = UtcDateTime().dialect_impl(dialect).bind_processor(dialect)

    def read(text: str) -> Any:
        moment = dt.datetime.fromisoformat(text)
        return moment if bind is None else bind(moment)

    return read


def _sqlite_text_of_iso(text: str) -> str | None:
    moment = dt.datetime.fromisoformat(text)
    # Most are written alike but for the T; to write one anew takes several times as long.
    return f"{text[:_DAY_WIDTH]} {text[_DAY_WIDTH + 1 : _WIDTH]}" if _is_usual(text) else _sqlite_text(moment)


class DatabaseNow(FunctionElement[dt.datetime]):
    """Now, by the clock of the database: one clock for all hosts that write to it.

    SQLite's clock has milliseconds; the missing digits are written as zeros so that all moments have one width.
    """

    type = UtcDateTime()
    inherit_cache = True


@compiles(DatabaseNow)
def _portable_now(_element: DatabaseNow, _compiler: Any, **_: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(_element: DatabaseNow, _compiler: Any, **_: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(DatabaseNow, "postgresql")
def _postgresql_now(_element: DatabaseNow, _compiler: Any, **_: Any) -> str:
    # CURRENT_TIMESTAMP is the start of the transaction, which may be long before the row arrives.
    return "clock_timestamp()"


@compiles(DatabaseNow, "mysql", "mariadb")
def _mysql_now(_element: DatabaseNow, _compiler: Any, **_: Any) -> str:
    # CURRENT_TIMESTAMP follows the session's time zone.
    return "UTC_TIMESTAMP(6)"
