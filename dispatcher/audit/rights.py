"""What the role of a serving process may do, and what it shouldn't be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from dispatcher.audit.append_only import INSERT_ONLY, SESSION, ending_columns
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.audit.tables import budget_locks, conversations, idempotency_keys, logs, results
from dispatcher.errors import InvalidSettings

TOLD = (*SESSION, "status", "landed_at", "swept_at", *ending_columns())
"""The columns of a row of the log that are written after it was opened."""

_OF_SERVING: Mapping[str, tuple[str, ...]] = {
    VERSION_TABLE: ("SELECT",),
    logs.name: ("SELECT", "INSERT", f"UPDATE ({', '.join(TOLD)})"),
    **{table.name: ("SELECT", "INSERT") for table in INSERT_ONLY},
    **{table.name: ("SELECT", "INSERT", "UPDATE") for table in (idempotency_keys, budget_locks)},
    # Content that has expired goes when the tenant's next content comes.
    **{table.name: ("SELECT", "INSERT", "UPDATE", "DELETE") for table in (conversations, results)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The role of a connection: what makes it able to do what nobody should, and what it lacks; both in words."""

    role: str
    too_much: tuple[str, ...]
    lacks: tuple[str, ...]


def refuse_without_roles(dialect: str) -> None:
    """Raise InvalidSettings for an engine that has no roles."""
    if dialect == "sqlite":
        raise InvalidSettings("--grant-to", ["a SQLite file has no roles; who may write to it is up to the file"])


def granting(connection: sa.Connection, role: str) -> list[str]:
    """The statements that give a role what serving needs; they take nothing away. Raises InvalidSettings."""
    prepare, dialect = connection.dialect.identifier_preparer, connection.dialect.name
    refuse_without_roles(dialect)
    match dialect:
        case "postgresql":
            quoted = prepare.quote(role)
            schema = prepare.quote(str(connection.exec_driver_sql("SELECT current_schema()").scalar()))
            database = [f"GRANT USAGE ON SCHEMA {schema} TO {quoted}", *_of_sequence(connection, quoted)]
        case _:
            name, at, host = role.rpartition("@") if "@" in role else (role, "", "")
            quoted = "@".join(_text(part) for part in ([name, host] if at else [name]))
            database = []
    names = {name: tuple(_quoted_columns(connection, right) for right in of) for name, of in _OF_SERVING.items()}
    return [*database, *(f"GRANT {', '.join(rights)} ON {table} TO {quoted}" for table, rights in names.items())]


def standing(connection: sa.Connection) -> Standing | None:
    """How the connection's role stands; None on SQLite, which has no roles."""
    match connection.dialect.name:
        case "postgresql":
            return _standing_in_postgresql(connection)
        case "mysql" | "mariadb":
            return _standing_in_mysql(connection)
        case _:
            return None


def _of_sequence(connection: sa.Connection, role: str) -> list[str]:
    """Of another application's table that was adopted, whose `id` counts."""
    inspector = sa.inspect(connection)
    there = inspector.get_columns(logs.name) if inspector.has_table(logs.name) else []
    columns = [column["name"] for column in there]
    query = sa.select(sa.func.pg_get_serial_sequence(logs.name, sa.bindparam("name")))
    found = [connection.execute(query, {"name": name}).scalar() for name in columns if name not in logs.c]
    return [f"GRANT USAGE ON SEQUENCE {sequence} TO {role}" for sequence in found if sequence is not None]


def _quoted_columns(connection: sa.Connection, right: str) -> str:
    verb, _, columns = right.partition(" (")
    if not columns:
        return right
    quote = connection.dialect.identifier_preparer.quote
    return f"{verb} ({', '.join(quote(name) for name in columns.removesuffix(')').split(', '))})"


def _text(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _standing_in_postgresql(connection: sa.Connection) -> Standing:
    role, is_superuser = connection.exec_driver_sql(
        "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user"
    ).one()
    too_much = ["it is a superuser"] if is_superuser else []
    owned, taken = [], []
    owner = sa.text("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(:name)")
    for table in _OF_SERVING:
        if not is_superuser and connection.execute(owner, {"name": table}).scalar():
            owned.append(table)
        if _is_kept(table):
            dangerous = ("DELETE", "TRUNCATE", "TRIGGER")
            taken += [f"{right} on {table}" for right in dangerous if _may(connection, role, right, table)]
    too_much += [f"it owns {', '.join(owned)}"] if owned else []
    too_much += [f"it has {', '.join(taken)}"] if taken and not owned and not is_superuser else []
    return Standing(role=str(role), too_much=tuple(too_much), lacks=lacking(connection, role))


def lacking(connection: sa.Connection, role: str) -> tuple[str, ...]:
    """What a role of PostgreSQL lacks for serving, in words; that database only warns where nothing is granted."""
    lacks = [
        f"{right} on {table}"
        for table, rights in _OF_SERVING.items()
        for right in rights
        if "(" not in right and not _may(connection, role, right, table)
    ]
    update = sa.text("SELECT has_column_privilege(:role, :name, :column, 'UPDATE')")
    of_role = {"role": role, "name": logs.name}
    untold = [name for name in TOLD if not connection.execute(update, of_role | {"column": name}).scalar()]
    return tuple(lacks + [f"UPDATE of {name} on {logs.name}" for name in untold])


def _may(connection: sa.Connection, role: str, right: str, table: str) -> bool:
    may = sa.text("SELECT has_table_privilege(:role, :name, :right)")
    return bool(connection.execute(may, {"role": role, "name": table, "right": right}).scalar())


def _standing_in_mysql(connection: sa.Connection) -> Standing:
    """From the grants as the server tells them of oneself, those of a role that is in force included."""
    dangerous = {"ALL PRIVILEGES", "DELETE", "DROP", "TRIGGER", "ALTER", "SUPER"}
    database = str(connection.exec_driver_sql("SELECT database()").scalar())
    held: dict[str, set[str]] = {}
    for (grant,) in connection.exec_driver_sql("SHOW GRANTS"):
        rights, _, place = str(grant).removeprefix("GRANT ").partition(" ON ")
        where = place.partition(" TO ")[0].replace("`", "").replace("\\", "")
        # In parentheses are columns.
        outside = "".join(part.partition(")")[2] if depth else part for depth, part in enumerate(rights.split("(")))
        held.setdefault(where, set()).update(right.strip() for right in outside.split(","))
    everywhere = {where: held.get(where, set()) for where in ("*.*", f"{database}.*")}
    too_much = [f"{right} on {where}" for where, of in everywhere.items() for right in sorted(of & dangerous)]
    lacks = []
    for table, needed in _OF_SERVING.items():
        own = held.get(f"{database}.{table}", set())
        too_much += [f"{right} on {table}" for right in sorted(own & dangerous) if _is_kept(table)]
        every = own.union(*everywhere.values())
        lacking = sorted({right.partition(" (")[0] for right in needed} - every)
        lacks += [f"{right} on {table}" for right in lacking if "ALL PRIVILEGES" not in every]
    role = str(connection.exec_driver_sql("SELECT current_user()").scalar())
    return Standing(role=role, too_much=(f"it has {', '.join(too_much)}",) if too_much else (), lacks=tuple(lacks))


def _is_kept(table: str) -> bool:
    return table == logs.name or table in {kept.name for kept in INSERT_ONLY}
