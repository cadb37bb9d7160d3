"""Where a database notes which revision its schema is at."""

from __future__ import annotations

import sqlalchemy as sa

from dispatcher.audit.tables import calls
from dispatcher.audit.trouble import is_denied

VERSION_TABLE = "dispatcher_alembic_version"
"""A table of our own, beside the `alembic_version` that another application may have in the schema."""

_EARLIER = "alembic_version"


def revision_of(connection: sa.Connection) -> str | None:
    """The revision that a connection's database is at; None where it was never migrated."""
    table = _version_table(connection)
    if table is None:
        return None
    revision: str | None = connection.execute(
        sa.select(sa.column("version_num", sa.String)).select_from(sa.table(table))
    ).scalar()
    return revision


def _version_table(connection: sa.Connection) -> str | None:
    """Where the revision is noted: until 0009 under the name that other applications' revisions have, too."""
    inspector = sa.inspect(connection)
    denied = None
    try:
        if inspector.has_table(VERSION_TABLE):
            return VERSION_TABLE
    except sa.exc.DBAPIError as error:
        # MySQL and MariaDB tell a role without rights nothing, not even that there is no such table.
        if not is_denied(error):
            raise
        denied = error
    if inspector.has_table(_EARLIER) and _has_calls(inspector):
        return _EARLIER
    if denied is not None:
        raise denied
    return None


def _has_calls(inspector: sa.Inspector) -> bool:
    try:
        return inspector.has_table(calls.name)
    except sa.exc.DBAPIError as error:
        # What a role without rights lacks is said where it is used.
        if not is_denied(error):
            raise
        return True


def renaming(connection: sa.Connection) -> list[str]:
    """What gives our table of revisions the name that is ours alone; nothing where it has it, or isn't there."""
    if _version_table(connection) != _EARLIER:
        return []
    statements = [f"ALTER TABLE {_EARLIER} RENAME TO {VERSION_TABLE}"]
    if connection.dialect.name == "postgresql":
        # An index's name is taken in the whole schema, and another application's would be this one.
        statements.append(f"ALTER INDEX IF EXISTS {_EARLIER}_pkc RENAME TO {VERSION_TABLE}_pkc")
    return statements
