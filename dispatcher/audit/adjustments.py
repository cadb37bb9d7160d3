"""Rows of `ai_outbound_adjustments`: what is added to the cost of an ended row, which itself never changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.audit.connections import transaction
from dispatcher.audit.tables import adjustments
from dispatcher.audit.trouble import is_deadlock

T = TypeVar("T")

_MOST_LOOKS = 50


class AdjustmentKind(StrEnum):
    """What an adjustment was made by."""

    REPRICE = "reprice"
    """The row's model requests, priced again."""
    RECONCILE = "reconcile"
    """The platform's own figure for the session."""
    COMPLETE = "complete"
    """What a managed session told of its turn once it was at rest, where the row ended before it was."""


class AdjustmentReason(StrEnum):
    """Why the cost became another one."""

    PRICE_CHANGED = "price_changed"
    COST_WAS_UNKNOWN = "cost_was_unknown"
    PLATFORM_DIFFERS = "platform_differs"
    USAGE_COMPLETED = "usage_completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """One adjustment of a row; all amounts in nano-dollars (10⁻⁹ US dollars).

    `sequence` counts the row's adjustments from 1. `amount_nanousd` is added to the row's cost, where an unknown one
    counts 0, and may be negative; `cost_nanousd` is the row's cost with this and all earlier ones. `price_version` is
    the price table of a reprice or a complete, `platform_list_cost_nanousd` the platform's figure of a reconcile or a
    complete.
    """

    tenant: str
    log_id: str
    sequence: int
    kind: AdjustmentKind
    reason: AdjustmentReason
    amount_nanousd: int
    cost_nanousd: int
    price_version: str | None = None
    platform_list_cost_nanousd: int | None = None


def append_after(
    connection: sa.Connection, look: Callable[[], T], due: Callable[[T], Sequence[Adjustment]]
) -> tuple[T, Sequence[Adjustment]]:
    """Look at the log, and append what is due by that, all or none, in one transaction; both are returned.

    Where another program adjusts one of the rows meanwhile, the log is looked at again. Raises sqlalchemy's errors.
    """
    for looks in range(1, _MOST_LOOKS + 1):
        try:
            with transaction(connection):
                seen = look()
                if made := due(seen):
                    connection.execute(sa.insert(adjustments), [asdict(one) for one in made])
        except sa.exc.DBAPIError as error:
            overtaken = isinstance(error, sa.exc.IntegrityError) or is_deadlock(error)
            if not overtaken or looks == _MOST_LOOKS:
                raise
        else:
            return seen, made
    raise AssertionError("unreachable")


def adjusted(log_ids: Sequence[str] | None = None) -> sa.Subquery:
    """By `log_id`: how many adjustments a row has (`made`), and what those of each kind add (`repriced`, `reconciled`,
    `completed`); `listed` is the platform's figure of a completion.

    Of all rows or of some; a row without any isn't in it.
    """
    of_completion = sa.case(
        (adjustments.c.kind == AdjustmentKind.COMPLETE.value, adjustments.c.platform_list_cost_nanousd)
    )
    query = sa.select(
        adjustments.c.log_id,
        sa.func.max(adjustments.c.sequence).label("made"),
        _sum_of(AdjustmentKind.REPRICE).label("repriced"),
        _sum_of(AdjustmentKind.RECONCILE).label("reconciled"),
        _sum_of(AdjustmentKind.COMPLETE).label("completed"),
        sa.func.max(of_completion).label("listed"),
    )
    if log_ids is not None:
        query = query.where(adjustments.c.log_id.in_(log_ids))
    return query.group_by(adjustments.c.log_id).subquery("adjusted")


def _sum_of(kind: AdjustmentKind) -> sa.ColumnElement[Any]:
    return sa.func.sum(sa.case((adjustments.c.kind == kind.value, adjustments.c.amount_nanousd), else_=0))
