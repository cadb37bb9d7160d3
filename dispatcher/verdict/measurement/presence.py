"""Whether there are production rows of a feature at all."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy import select

from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable


def features_with_rows(engine: sa.Engine, features: Iterable[str]) -> frozenset[str]:
    """Those of the features that the log has a production row of; one index look-up each. Raises SourceUnreachable."""
    try:
        with engine.connect() as connection:
            return frozenset(name for name in sorted(set(features)) if connection.execute(_any_row(name)).first())
    except sa.exc.SQLAlchemyError as error:
        raise SourceUnreachable(f"{named(engine.url)} can't be read: {reason_of(error, engine.url)}") from None


def _any_row(feature: str) -> sa.Select[int]:
    c = logs.c
    found = (c.feature == feature, c.origin == Origin.PRODUCTION.value, c.role != Role.SHADOW.value)
    return select(sa.literal(1)).where(*found).limit(1)
