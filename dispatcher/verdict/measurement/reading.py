"""A connection to the log, for whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to read by. Raises SourceUnreachable, also where a statement fails."""
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as error:
        raise SourceUnreachable(f"{named(engine.url)} can't be read: {reason_of(error, engine.url)}") from None
