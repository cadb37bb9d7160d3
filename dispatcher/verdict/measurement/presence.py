"""Whether there are rows of a feature at all, and how new the newest is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy import func, select

from dispatcher.audit.reading import reading
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs


def features_with_rows(engine: sa.Engine, features: Iterable[str]) -> frozenset[str]:
    """Those of the features that the log has a production row of; one index look-up each. Raises SourceUnreachable."""
    with reading(engine) as connection:
        return frozenset(name for name in sorted(set(features)) if connection.execute(_any_row(name)).first())


def newest_row(engine: sa.Engine, feature: str, origin: Origin) -> dt.datetime | None:
    """When the newest dispatch of a feature began; None without any. Raises SourceUnreachable."""
    c = logs.c
    query = select(func.max(c.created_at)).where(c.feature == feature, c.origin == origin.value)
    with reading(engine) as connection:
        return connection.execute(query).scalar()


def _any_row(feature: str) -> sa.Select[int]:
    c = logs.c
    found = (c.feature == feature, c.origin == Origin.PRODUCTION.value, c.role != Role.SHADOW.value)
    return select(sa.literal(1)).where(*found).limit(1)
