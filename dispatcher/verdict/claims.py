"""What a criterion claims, by which its evidence is of another kind each time. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from dispatcher.adr.criterion import Criterion


class Claim(StrEnum):
    """The four kinds of claims; closed."""

    SHARE = "share"
    """At most so many dispatches are above a number: a percentile or a rate against a number."""
    PERCENTILE = "percentile"
    """A percentile is at most so many times another one that a sample is known of: the control's, or a pinned one."""
    RATE = "rate"
    """A rate is at least, or at most, so many times the control's."""
    MEAN = "mean"
    """A mean is at most a number, or so many times the control's."""


def claim_of(criterion: Criterion) -> Claim:
    """The kind of a criterion's claim."""
    if criterion.aggregate == "mean":
        return Claim.MEAN
    concurrent = criterion.bound.times_control is not None
    if criterion.quantile is None:
        return Claim.RATE if concurrent else Claim.SHARE
    sampled = criterion.baseline is not None and criterion.baseline.treat_as == "sample"
    return Claim.PERCENTILE if concurrent or sampled else Claim.SHARE


def allowed_beside(criterion: Criterion) -> Callable[[float], float]:
    """Of a rate against the control's: the share of exceedances that the candidate may have, given the control's."""
    times = criterion.bound.times_control
    assert times is not None
    factor = float(times)
    if criterion.measure.lower_is_better:
        return lambda share: factor * share
    return lambda share: 1 - factor * (1 - share)
