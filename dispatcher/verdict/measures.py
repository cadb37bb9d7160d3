"""The closed vocabulary of measures, as conditions on one dispatch.

A criterion names a measure; it never contains SQL. Each measure says of a dispatch whether it is above the limit, which
for a rate means that it lacks what is asked for. A failure of the provider or of ours always is. What isn't known is
judged against the claim: it counts as above the limit where the limit's keeping is to be shown, and as kept where its
breach is. A caller who cancels before the limit leaves such an unknown; one who cancels after it has waited too long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dispatcher.adr.criterion import Criterion, Measure

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Exceedance:
    """Conditions on a dispatch: above the limit against the claim that it is kept, above it against the claim that it
    is broken, and of unknown value.
    """

    over: Condition
    proven: Condition
    unknown: Condition


def counts_exceedances(criterion: Criterion) -> bool:
    """Whether a criterion is about a share of the dispatches: a percentile or a rate."""
    return criterion.measure is not Measure.COST


def is_judgeable(criterion: Criterion) -> bool:
    """Whether this version can judge it: a percentile or rate against a number, a mean also against the control."""
    return criterion.limit is not None or not counts_exceedances(criterion)


def allowed_share(criterion: Criterion) -> float:
    """The share p₀ of dispatches that may be above the limit: 0.05 of a p95, 0.05 of a rate of at least 0.95."""
    kept = criterion.quantile if criterion.quantile is not None else criterion.limit
    assert kept is not None
    return float(1 - kept)


def exceedance(criterion: Criterion, dispatch: Any) -> Exceedance:
    """The conditions of a judgeable criterion, on the columns of a dispatch."""
    failed, cancelled = dispatch.failed == 1, dispatch.cancelled == 1
    if criterion.measure is Measure.RESPONSE_TIME_MS:
        assert criterion.limit is not None
        # Times are whole milliseconds, so the limit's fraction can't matter.
        above = dispatch.wall_ms > math.floor(criterion.limit)
        missing = dispatch.wall_ms.is_(None)
        return Exceedance(over=failed | cancelled | missing | above, proven=failed | above, unknown=~failed & missing)
    invalid, missing = dispatch.valid == 0, dispatch.valid.is_(None)
    return Exceedance(
        over=failed | cancelled | missing | invalid,
        proven=failed | (~cancelled & invalid),
        unknown=~failed & ~cancelled & missing,
    )
