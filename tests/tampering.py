"""What someone can do who owns the tables: change rows although the database refuses it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import sqlalchemy as sa

from dispatcher.audit.append_only import making, removing


@contextlib.contextmanager
def without_triggers(connection: sa.Connection) -> Iterator[None]:
    """Take away what keeps rows as they are, and make it again."""
    dialect = connection.dialect.name
    for statement in removing(dialect):
        connection.exec_driver_sql(statement)
    yield
    for statement in making(dialect):
        connection.exec_driver_sql(statement)


def open_to_changes(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A file's connection, when nothing in the file refuses to change any more."""
    for statement in removing("sqlite"):
        connection.execute(statement)
    return connection
