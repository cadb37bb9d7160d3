"""Whether the log can be kept in a table `ai_outbound_logs` that another application has made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from dispatcher.audit.moment import UtcDateTime
from dispatcher.audit.record import AttemptOpening
from dispatcher.audit.tables import logs
from dispatcher.errors import InvalidAdoption

_GIVEN = {name for name, kind in AttemptOpening.__annotations__.items() if "None" not in kind} | {
    "status",
    "recorded_at",
}
"""The columns that every row has from the moment in which it is opened."""

_SMALL = (sa.SmallInteger, mysql.TINYINT, mysql.SMALLINT, mysql.MEDIUMINT)
_MYSQL_KEY_BYTES = 3072
TELLS_CASES_APART = ("tenant", "conversation_id")
"""The columns in which two names that differ in a letter's case, or in a blank, are two names."""

_UNIQUE = [key for key in logs.constraints if isinstance(key, sa.UniqueConstraint)]
_KEYS: tuple[sa.Index | sa.UniqueConstraint, ...] = (*logs.indexes, *_UNIQUE)
_INDEXED = {column.name for key in _KEYS for column in key.columns}


@dataclass(frozen=True, slots=True)
class OtherTable:
    """Another application's `ai_outbound_logs`: its columns by name, as SQLAlchemy reflects them."""

    columns: Mapping[str, Mapping[str, Any]]


def names_of_log(connection: sa.Connection) -> frozenset[str]:
    """The columns and indexes of the table, whoever made it; a migration doesn't make them again."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(logs.name):
        return frozenset()
    columns = {str(column["name"]) for column in inspector.get_columns(logs.name)}
    # Another application's index may have the name of a column that isn't there.
    return frozenset(columns | {str(index["name"]) for index in inspector.get_indexes(logs.name)} - set(logs.c.keys()))


def other_table(connection: sa.Connection) -> OtherTable | None:
    """The table, where it isn't the log's own; None where there is none.

    The log's own has `log_id` in its primary key, and `dispatch_id` from its first revision on.
    """
    inspector = sa.inspect(connection)
    if not inspector.has_table(logs.name):
        return None
    columns = {column["name"]: column for column in inspector.get_columns(logs.name)}
    if "log_id" in inspector.get_pk_constraint(logs.name)["constrained_columns"] and "dispatch_id" in columns:
        return None
    collations = _collations(connection)
    return OtherTable({name: {**column, "collation": collations.get(name)} for name, column in columns.items()})


def refuse_unfit(connection: sa.Connection, table: OtherTable) -> None:
    """Raise InvalidAdoption with every reason why rows of the log can't live in the table."""
    dialect = connection.dialect.name
    problems = [
        f"{name}: {problem}"
        for name, column in table.columns.items()
        for problem in (_problems(logs.c[name], column, dialect) if name in logs.c else _foreign_problems(column))
    ]
    if "log_id" in table.columns and not problems and _log_id_is_theirs(connection, table):
        problems.append("log_id: holds values that aren't the log's; rename the column")
    if dialect in {"mysql", "mariadb"}:
        problems += _too_wide_keys(table)
    if problems:
        raise InvalidAdoption(f"the table {logs.name} can't be adopted", problems)


def _collations(connection: sa.Connection) -> dict[str, str]:
    """The collations of MySQL's and MariaDB's columns, which reflection leaves out where they are the table's."""
    if connection.dialect.name not in {"mysql", "mariadb"}:
        return {}
    columns = sa.text(
        "SELECT column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = database() AND table_name = :name AND collation_name IS NOT NULL"
    )
    found = connection.execute(columns, {"name": logs.name})
    return {row.column_name: row.collation_name for row in found}


def _problems(ours: sa.Column[Any], theirs: Mapping[str, Any], dialect: str) -> Iterator[str]:
    """Why a column can't hold what the log writes into it."""
    kind = theirs["type"]
    if dialect != "sqlite" and (wanted := _misfit(ours, kind)) is not None:
        yield f"is {_shown(kind)}, and must be {wanted}"
    elif dialect in {"mysql", "mariadb"}:
        yield from _problems_of_mysql(ours.name, theirs)
    if theirs.get("computed"):
        yield "is computed by the database, and the log writes it; rename the column"
    if ours.name == "log_id" and (not theirs["nullable"] or theirs.get("primary_key")):
        yield "has a value in every row, and only rows of the log may have one; rename the column"
    if ours.name in _GIVEN:
        return
    if not theirs["nullable"]:
        yield "must be allowed to be NULL, as it isn't known of every row"
    if theirs.get("default") not in {None, "NULL"} and theirs["nullable"]:
        yield f"has the default {theirs['default']}, which would stand for what isn't known; drop the default"


def _foreign_problems(theirs: Mapping[str, Any]) -> Iterator[str]:
    filled = theirs.get("default") is not None or theirs.get("autoincrement") is True or theirs.get("identity")
    filled = filled or theirs.get("computed") or theirs.get("primary_key")
    if not theirs["nullable"] and not filled:
        yield "must have a default or be allowed to be NULL, as rows of the log don't give it a value"


def _misfit(ours: sa.Column[Any], kind: sa.types.TypeEngine[Any]) -> str | None:
    """What a column must be, where it isn't that; every engine's words for it are understood."""
    match ours.type:
        case UtcDateTime():
            return None if isinstance(kind, sa.DateTime) else "a date with its time"
        case sa.String():
            return _misfit_text(ours, kind)
        case sa.Boolean():
            one_digit = isinstance(kind, mysql.TINYINT) and kind.display_width == 1
            return None if isinstance(kind, sa.Boolean) or one_digit else "BOOLEAN"
        case sa.Double():
            is_double = isinstance(kind, sa.Double | mysql.DOUBLE) or getattr(kind, "precision", None) == 53  # noqa: PLR2004
            return None if is_double and isinstance(kind, sa.Float) else "DOUBLE PRECISION"
        case _:
            return _misfit_number(ours, kind)


def _misfit_text(ours: sa.Column[Any], kind: sa.types.TypeEngine[Any]) -> str | None:
    wanted = None if isinstance(ours.type, sa.Text) else f"VARCHAR({ours.type.length})"  # type: ignore[attr-defined]
    # A CHAR is filled with blanks, and in a CITEXT letters of either case are the same.
    unfit = sa.Enum | mysql.ENUM | mysql.SET | sa.CHAR | postgresql.CITEXT
    if not isinstance(kind, sa.String) or isinstance(kind, unfit):
        return wanted or "TEXT"
    if kind.length is not None and (wanted is None or kind.length < ours.type.length):  # type: ignore[attr-defined]
        return f"{wanted} or wider" if wanted else "TEXT"
    return None


def _misfit_number(ours: sa.Column[Any], kind: sa.types.TypeEngine[Any]) -> str | None:
    if not isinstance(kind, sa.Integer):
        return "BIGINT" if _needs_64_bits(ours) else "INTEGER or BIGINT"
    if _needs_64_bits(ours):
        return None if isinstance(kind, sa.BigInteger) else "BIGINT"
    small = isinstance(kind, _SMALL) and not (ours.name == "http_status" and not isinstance(kind, mysql.TINYINT))
    return "INTEGER or BIGINT" if small else None


def _needs_64_bits(ours: sa.Column[Any]) -> bool:
    # 2³¹ nano-dollars are two dollars; so many tokens, characters or milliseconds no attempt has.
    return ours.name.endswith("_nanousd") or ours.name == "agent_version"


def _problems_of_mysql(name: str, theirs: Mapping[str, Any]) -> Iterator[str]:
    kind, collation = theirs["type"], theirs["collation"]
    if name in TELLS_CASES_APART and collation is not None and collation != "utf8mb4_bin":
        yield f"has the collation {collation}, by which two different names may be the same; make it utf8mb4_bin"
    if name in _INDEXED and isinstance(kind, sa.String) and not isinstance(kind, sa.VARCHAR):
        yield f"is {_shown(kind)}, which can't be indexed; make it a VARCHAR"
    if "ON UPDATE" in str(theirs.get("default") or "").upper():
        yield "changes by itself with every UPDATE; take its ON UPDATE away"


def _log_id_is_theirs(connection: sa.Connection, table: OtherTable) -> bool:
    """Whether a `log_id` is there that an adoption, which may have been interrupted, didn't add."""
    if "dispatch_id" in table.columns:
        return False
    found = connection.execute(sa.select(sa.literal(1)).select_from(logs).where(logs.c.log_id.is_not(None)).limit(1))
    return found.first() is not None


def _too_wide_keys(table: OtherTable) -> Iterator[str]:
    """The indexes that MySQL and MariaDB wouldn't make, as a column of the table is wider than our own."""
    for key in _KEYS:
        widths = [_bytes(column, table.columns.get(column.name)) for column in key.columns]
        if sum(widths) > _MYSQL_KEY_BYTES:
            wide = [column.name for column in key.columns if column.name in table.columns]
            yield f"{', '.join(wide)}: too wide together for the index {key.name}; make them narrower"


def _bytes(ours: sa.Column[Any], theirs: Mapping[str, Any] | None) -> int:
    length = getattr(ours.type if theirs is None else theirs["type"], "length", None)
    return 4 * length if length else 8


def _shown(kind: sa.types.TypeEngine[Any]) -> str:
    text = str(kind)
    return text.partition(" CHARACTER SET")[0].partition(" COLLATE")[0]
