"""What is the same on every engine: a moment in milliseconds since 1970, a quotient, and the order of texts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from dispatcher.audit.moment import UtcDateTime

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


def epoch_ms(moment: dt.datetime) -> int:
    """The same of a moment in Python: rounded down, as the engines do here."""
    return (moment - _EPOCH) // _MS


def moment_of(ms: int) -> dt.datetime:
    """The moment of so many milliseconds since 1970."""
    return _EPOCH + ms * _MS


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
    # `extract` counts in decimals, and millions of them take longer than all the rest. A double holds the microseconds
    # of this century to a quarter of one, so rounding it gives each of them exactly.
    column = compiler.process(element.clauses, **options)
    return f"(CAST(date_part('epoch', {column}) * 1000000 AS BIGINT) / 1000)"


@compiles(EpochMs, "mysql", "mariadb")
def _mysql(element: EpochMs, compiler: Any, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column}) DIV 1000)"


class Moment(FunctionElement[dt.datetime]):
    """A number of milliseconds since 1970, as a column has a moment."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(Moment, "sqlite")
def _sqlite_moment(element: Moment, compiler: Any, **options: Any) -> str:
    ms = compiler.process(element.clauses, **options)
    seconds = f"strftime('%Y-%m-%d %H:%M:%S', ({ms}) / 1000, 'unixepoch')"
    return f"({seconds} || printf('.%03d000', ({ms}) % 1000))"


@compiles(Moment, "postgresql")
def _postgresql_moment(element: Moment, compiler: Any, **options: Any) -> str:
    return f"(TIMESTAMPTZ 'epoch' + ({compiler.process(element.clauses, **options)}) * INTERVAL '1 millisecond')"


@compiles(Moment, "mysql", "mariadb")
def _mysql_moment(element: Moment, compiler: Any, **options: Any) -> str:
    return f"TIMESTAMPADD(MICROSECOND, ({compiler.process(element.clauses, **options)}) * 1000, '1970-01-01')"


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


def remainder(dividend: sa.ColumnElement[int], divisor: int) -> sa.ColumnElement[int]:
    """What is left of the dividend; written without `%`, which some drivers read as a parameter's beginning."""
    literal = sa.literal(divisor, sa.BigInteger)
    return dividend - Quotient(dividend, literal) * literal


class Bytewise(FunctionElement[str]):
    """A text that is compared, and has its least and its greatest, byte by byte, whatever the database's language."""

    type = sa.String()
    inherit_cache = True


@compiles(Bytewise)
def _as_it_is(element: Bytewise, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(Bytewise, "postgresql")
def _in_c(element: Bytewise, compiler: Any, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'


class Exact(FunctionElement[str]):
    """A text by which rows are grouped; MariaDB wouldn't see blanks at its end."""

    type = sa.String()
    inherit_cache = True


@compiles(Exact)
def _exact(element: Exact, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(Exact, "mysql", "mariadb")
def _exact_mysql(element: Exact, compiler: Any, **options: Any) -> str:
    return f"CONCAT({compiler.process(element.clauses, **options)}, '/')"


class Total(FunctionElement[int]):
    """The sum of whole numbers, of which no more than 53 bits are asked for.

    PostgreSQL adds up 64 bits as decimals, which takes several times as long as adding doubles, exact up to 53.
    """

    type = sa.BigInteger()
    inherit_cache = True


@compiles(Total)
def _total(element: Total, compiler: Any, **options: Any) -> str:
    return f"CAST(sum({compiler.process(element.clauses, **options)}) AS BIGINT)"


@compiles(Total, "postgresql")
def _total_postgresql(element: Total, compiler: Any, **options: Any) -> str:
    return f"CAST(sum(CAST({compiler.process(element.clauses, **options)} AS DOUBLE PRECISION)) AS BIGINT)"


@compiles(Total, "mysql", "mariadb")
def _total_mysql(element: Total, compiler: Any, **options: Any) -> str:
    return f"CAST(sum({compiler.process(element.clauses, **options)}) AS SIGNED INTEGER)"


class Code(FunctionElement[Any]):
    """Something that differs only where the texts do; where it can, a number, whose least and greatest cost little."""

    type = sa.String()
    inherit_cache = True


@compiles(Code)
def _code(element: Code, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(Code, "postgresql")
def _code_postgresql(element: Code, compiler: Any, **options: Any) -> str:
    return f"hashtext({compiler.process(element.clauses, **options)})"


def computed_once(query: sa.Select[Any]) -> sa.Select[Any]:
    """The same, its columns computed once for each row however often they are used, as PostgreSQL has to be told."""
    return query.suffix_with("OFFSET 0", dialect="postgresql")
