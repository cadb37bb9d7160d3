"""What a measurement reads beside the log's rows: changes of the flag, gaps of the log, and whether costs changed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import func, select

from dispatcher.adr.document import Acceptance
from dispatcher.audit.evidence_tables import flag_changes
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import adjustments, log_gaps, logs
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measurement.integers import epoch_ms


def lost_dispatches(connection: sa.Connection, block: Acceptance, origin: Origin, looks: Looks) -> int:
    """The dispatches that the log is known to have lost since the start; none before a registration."""
    if looks.start is None:
        return 0
    c = log_gaps.c
    query = select(func.sum(c.dispatches)).where(
        c.feature == block.feature,
        c.origin == origin.value,
        c.began_at < looks.as_of,
        c.ended_at >= looks.start,
        c.recorded_at <= looks.as_of,
    )
    return int(connection.execute(query).scalar() or 0)


def has_adjustments(connection: sa.Connection, looks: Looks) -> bool:
    """Whether any cost was adjusted by the moment; a later one may not change the statement of a stored verdict."""
    adjusted = select(adjustments.c.log_id).where(adjustments.c.adjusted_at <= looks.as_of)
    return connection.execute(adjusted.limit(1)).first() is not None


def tenants_in(connection: sa.Connection, block: Acceptance, origin: Origin, looks: Looks) -> dict[str, int]:
    """From which moment on, in milliseconds, each registered tenant was in the assignment, by the changes of the flag.

    A tenant that no moment has in it for every source of the flag seen by then isn't there, and neither is any where no
    change was seen.
    """
    if len(block.tenants) == 1 or looks.start is None:
        return {}
    c = flag_changes.c
    of_feature = (
        select(logs.c.log_id)
        .where(logs.c.flag == c.flag, logs.c.feature == block.feature, logs.c.origin == origin.value)
        .exists()
    )
    query = (
        select(c.source, c.standing, c.seen_at)
        .where(c.seen_at <= looks.as_of, of_feature)
        .order_by(c.source, c.flag, c.sequence)
    )
    changes = [(source, json.loads(text), epoch_ms(seen)) for source, text, seen in connection.execute(query)]
    return first_in(block, changes)


def first_in(block: Acceptance, changes: Iterable[tuple[str, Mapping[str, Any], int]]) -> dict[str, int]:
    """The same from (source, standing, moment), each source's in their order.

    A source that is read later, as after a move to a server, changes nothing of what was so before.
    """
    seen: set[str] = set()
    having: dict[str, set[str]] = defaultdict(set)
    found: dict[str, int] = {}
    for source, standing, moment in sorted(changes, key=lambda change: change[2]):
        seen.add(source)
        for tenant in block.tenants:
            if _takes_part(block, standing, tenant):
                having[tenant].add(source)
            if seen <= having[tenant]:
                found.setdefault(tenant, moment)
    return dict(sorted(found.items()))


def _takes_part(block: Acceptance, standing: Mapping[str, Any], tenant: str) -> bool:
    """Whether a standing of the flag draws the tenant's conversations between the two, or has set it to the candidate.

    The entry of a tenant as a whole is the one without a project; where there is none, everybody else's.
    """
    if not standing["on"]:
        return False
    entries = {(each["tenant"], each["project"]): each for each in standing["entries"]}
    entry = entries.get((tenant, None)) or entries.get((None, None))
    if entry is None:
        return False
    shares = {variant: share for variant, share in entry["shares"] if share > 0}
    if block.assignment.kind == "tenant_flag":
        return entry["by"] is None and block.candidate.variant in shares
    return entry["by"] == "conversation" and {block.candidate.variant, block.control.variant} <= set(shares)
