"""What a criterion is counted by, and the share of dispatches that may be above its limit. Pure."""

from __future__ import annotations

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.claims import Claim, claim_of


def counts_exceedances(criterion: Criterion) -> bool:
    """Whether a criterion is about a share of the dispatches: a percentile or a rate."""
    return claim_of(criterion) is not Claim.MEAN


def is_judgeable(criterion: Criterion) -> bool:
    """Whether there is something to hold it against: not where its baseline is yet to be measured."""
    return criterion.limit is not None or criterion.bound.times_control is not None


def counts_cells(criterion: Criterion) -> bool:
    """Whether each cluster has a count of dispatches above the limit: not where the limit is another percentile."""
    if not counts_exceedances(criterion) or not is_judgeable(criterion):
        return False
    return criterion.limit is not None or claim_of(criterion) is Claim.RATE


def allowed_share(criterion: Criterion) -> float:
    """The share p₀ of dispatches that may be above the limit: 0.05 of a p95, and of a rate of at least 0.95 or at most
    0.05. Of a rate against the control's there is none.
    """
    if criterion.quantile is not None:
        return float(1 - criterion.quantile)
    assert criterion.limit is not None
    return float(criterion.limit if criterion.measure.lower_is_better else 1 - criterion.limit)
