"""Asking the log under which definitions the two sides have run."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy import func, select

from dispatcher.adr.document import Acceptance
from dispatcher.audit.reading import reading
from dispatcher.audit.record import Origin, Role
from dispatcher.audit.tables import logs
from dispatcher.verdict.epoch import Definition
from dispatcher.verdict.measurement.planning import plan_for_groups


def definitions(
    engine: sa.Engine, block: Acceptance, origin: Origin, *, since: dt.datetime, as_of: dt.datetime
) -> tuple[Definition, ...]:
    """The definitions under which candidate and control have run, in the order they were seen. Raises
    SourceUnreachable.

    Only a first attempt that ran what was routed shows its definition. The moment is that of arrival, not of creation,
    so that nothing that arrives later can change the order; and a row created before `since` that arrives after it
    shows nothing.
    """
    c = logs.c
    seen = func.min(c.recorded_at)
    query = (
        select(c.routed_variant, c.variant_hash, seen, func.max(c.recorded_at), func.count())
        .where(
            c.feature == block.feature,
            c.origin == origin.value,
            c.role != Role.SHADOW.value,
            c.tenant.in_(sorted(block.tenants)),
            c.attempt == 1,
            c.routed_variant.in_([block.candidate.variant, block.control.variant]),
            c.variant == c.routed_variant,
            c.variant_hash.is_not(None),
            (c.recorded_at < since) | (c.created_at >= since),
            c.recorded_at <= as_of,
        )
        .group_by(c.routed_variant, c.variant_hash)
        .order_by(seen, c.variant_hash, c.routed_variant)
    )
    with reading(engine) as connection:
        plan_for_groups(connection)
        return tuple(Definition(*row) for row in connection.execute(query))
