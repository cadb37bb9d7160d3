"""Looks at the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to read the log with. Raises SourceUnreachable where the database refuses."""
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as error:
        raise SourceUnreachable(f"{named(engine.url)} can't be read: {reason_of(error, engine.url)}") from None


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection on which all that is read comes from one state of the database. Raises sqlalchemy's errors."""
    with engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            connection.execution_options(isolation_level="REPEATABLE READ")
        else:
            # The driver begins no transaction for a SELECT.
            connection.exec_driver_sql("BEGIN")
        yield connection
