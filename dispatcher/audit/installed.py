"""What a database has of the triggers that keep rows as they are, compared with what it should have."""

from __future__ import annotations

import re

import sqlalchemy as sa

from dispatcher.audit.append_only import INSERT_ONLY, functions, triggers
from dispatcher.audit.tables import logs
from dispatcher.audit.trial import undone

_Texts = dict[tuple[str, str], str]

_OF_SQLITE = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
_OF_MYSQL = (
    "SELECT trigger_name, event_object_table, concat(action_timing, ' ', event_manipulation, ' ', action_statement) "
    "FROM information_schema.triggers WHERE trigger_schema = database()"
)
_OF_POSTGRESQL = (
    "SELECT t.tgname, c.relname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s AND t.tgenabled IN ('O', 'A')"
)
_FUNCTIONS = (
    "SELECT p.proname, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
    "WHERE n.nspname = %(schema)s"
)


def missing(connection: sa.Connection) -> list[str]:
    """The triggers that aren't there, or are switched off, as far as the connection's role may see.

    One of a table that was renamed went with it, and isn't there.
    """
    there = _found(connection, _schema(connection))
    return [name for name, (table, _) in triggers(connection.dialect.name).items() if (name, table) not in there]


def changed(connection: sa.Connection) -> list[str]:
    """The triggers that are there under their name and aren't what they should be, and so the functions they call, as
    far as the connection's role may see.

    The connection is in a transaction; on PostgreSQL its role may make temporary tables. Raises sqlalchemy's errors.
    """
    if connection.dialect.name == "postgresql":
        return _changed_in_postgresql(connection)
    found = _found(connection, None)
    return [
        name
        for name, (table, statement) in triggers(connection.dialect.name).items()
        if found.get((name, table), "") not in {"", _told(statement, connection.dialect.name)}
    ]


def _changed_in_postgresql(connection: sa.Connection) -> list[str]:
    """PostgreSQL tells a trigger in words of its own: what should be there is made beside it, and told likewise."""
    schema = _schema(connection)
    quoted = connection.dialect.identifier_preparer.quote(schema)
    with undone(connection):
        for table in (logs, *INSERT_ONLY):
            connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {table.name} (LIKE {quoted}.{table.name})")
        connection.exec_driver_sql(f"SET LOCAL search_path TO pg_temp, {quoted}")
        for _, statement in triggers("postgresql").values():
            connection.exec_driver_sql(statement)
        temporary = connection.exec_driver_sql("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")
        wanted, found = _found(connection, str(temporary.scalar_one())), _found(connection, schema)
        bodies = {
            str(name): _one_line(body) for name, body in connection.exec_driver_sql(_FUNCTIONS, {"schema": schema})
        }
    other = [key[0] for key, text in wanted.items() if key in found and found[key] != text]
    return sorted(other) + [name for name, body in functions().items() if bodies.get(name) != _one_line(body)]


def _found(connection: sa.Connection, schema: str | None) -> _Texts:
    match connection.dialect.name:
        case "sqlite":
            rows = connection.exec_driver_sql(_OF_SQLITE)
        case "postgresql":
            rows = connection.exec_driver_sql(_OF_POSTGRESQL, {"schema": schema})
        case _:
            rows = connection.exec_driver_sql(_OF_MYSQL)
    # MariaDB tells a role that may not make triggers their names only.
    return {(str(name), str(table)): _without_table(_one_line(text or "")) for name, table, text in rows}


def _without_table(text: str) -> str:
    """The table is looked at by its name, and here it may be one of another schema."""
    return re.sub(r" ON \S+ FOR EACH ", " FOR EACH ", text, count=1)


def _told(statement: str, dialect: str) -> str:
    """A statement as the engine tells the trigger that it made."""
    text = _one_line(statement)
    if dialect == "sqlite":
        return _without_table(text)
    event, _, body = text.partition(" FOR EACH ROW ")
    _, _, _, timing, verb, *_ = event.split()
    return f"{timing} {verb} {body}"


def _schema(connection: sa.Connection) -> str:
    if connection.dialect.name != "postgresql":
        return ""
    return str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())


def _one_line(text: str) -> str:
    return " ".join(text.split())
