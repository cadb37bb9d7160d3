"""Whole numbers in SQL that are the same on every engine: a moment in milliseconds since 1970, and a quotient."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


def epoch_ms(moment: dt.datetime) -> int:
    """The same of a moment in Python: rounded down, as the engines do here."""
    return (moment - _EPOCH) // _MS


class EpochMs(FunctionElement[int]):
    """Milliseconds of a moment's column, rounded down."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(EpochMs, "sqlite")
def _sqlite(element: EpochMs, compiler: Any, **options: Any) -> str:
    # The moment is text of one width; strftime would round its fraction to the nearest millisecond.
    column = compiler.process(element.clauses, **options)
    seconds = f"CAST(strftime('%s', substr({column}, 1, 19)) AS INTEGER)"
    return f"({seconds} * 1000 + CAST(substr({column}, 21, 3) AS INTEGER))"


@compiles(EpochMs, "postgresql")
def _postgresql(element: EpochMs, compiler: Any, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"CAST(floor(extract(epoch FROM {column}) * 1000) AS BIGINT)"


@compiles(EpochMs, "mysql", "mariadb")
def _mysql(element: EpochMs, compiler: Any, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column}) DIV 1000)"


class Quotient(FunctionElement[int]):
    """How often the second number is contained in the first, neither being negative."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(Quotient)
def _quotient(element: Quotient, compiler: Any, **options: Any) -> str:
    dividend, divisor = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(({dividend}) / ({divisor}))"


@compiles(Quotient, "mysql", "mariadb")
def _mysql_quotient(element: Quotient, compiler: Any, **options: Any) -> str:
    # Their `/` rounds to four decimals.
    dividend, divisor = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(({dividend}) DIV ({divisor}))"
