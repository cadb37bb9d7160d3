"""What is taken for granted of rows that don't exist yet, so that a record's chances can be computed. Pure.

Each assumption has a sentence, which is shown with every figure that rests on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.document.notation import plain
from dispatcher.verdict.judgement.forecast import clusters_per_week
from dispatcher.verdict.looks import WEEK
from dispatcher.verdict.measured import Arm

if TYPE_CHECKING:
    from decimal import Decimal

FAILURES = 0.01
"""Of the control, where nothing is said: one dispatch in a hundred."""
SHAPE = 2.0
"""Of a Weibull distribution through the stated percentile, where no order statistics are pinned.

Its p95 is 2.1 times its median; the times of the published baseline fit the shape 3.6, a lighter tail.
"""
SIGMA = 0.6
"""The spread of the logarithms of what a mean is taken of."""
LONGEST = 520
"""Weeks that a record may wait."""

ONE_FATE = "the dispatches of a conversation share one fate, so each conversation counts once"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the dispatches above a limit, and what it rests on."""

    value: float
    because: tuple[str, ...]


def sizes(block: Acceptance, arm: Arm, weeks: int, *, times: float = 1.0) -> tuple[int, ...]:
    """The clusters of an arm that each look has taken in, at the record's traffic or a multiple of it."""
    weekly = clusters_per_week(block, arm) * Fraction(times)
    waits = Fraction(int((block.unit.window + block.looks.settle).total_seconds()), int(WEEK.total_seconds()))
    return tuple(max(0, math.floor(weekly * (look - waits))) for look in range(1, weeks + 1))


def stands_at(criterion: Criterion) -> Decimal | None:
    """Where the authors expect the candidate, as a multiple of the limit; None where they don't say or it isn't known.

    An expectation in another form than the limit is known where both are numbers.
    """
    expected, bound = criterion.expected, criterion.bound
    if expected is None:
        return None
    if expected.form == bound.form:
        return expected.number / bound.number
    reached = expected.value
    if expected.times_baseline is not None and criterion.baseline is not None and criterion.baseline.value is not None:
        reached = expected.times_baseline * criterion.baseline.value
    return None if reached is None or criterion.limit is None else reached / criterion.limit


def control_stands_at(criterion: Criterion) -> Decimal | None:
    """Where the control itself stands, as a multiple of the limit: one over the multiplier; None of an own target."""
    return None if criterion.bound.form == "value" else 1 / criterion.bound.number


def tail(p0: float, position: float, ranks: PinnedRanks | None) -> float:
    """The share above a limit of a distribution whose percentile lies at `position` times this limit.

    The pinned distribution, scaled; without one a Weibull of `SHAPE`, whose share above R times its percentile is
    p0 to the power R^shape. At the limit it is p0 by definition.
    """
    if position == 1:
        return p0
    if ranks is None:
        return float(p0 ** ((1 / position) ** SHAPE))
    known = sum(ranks.histogram.values())
    value = ranks.at_rank(math.ceil(round((1 - p0) * ranks.n, 9)))
    if value is None or not known:
        return p0
    share = (ranks.above(value / position) - ranks.failures) / known
    return min(share, p0) if position < 1 else max(share, p0)


def expected_share(criterion: Criterion, p0: float, ranks: PinnedRanks | None) -> Share:
    """The share above the limit where the candidate is expected: by default that of the control with 1 % failures."""
    position = stands_at(criterion)
    if criterion.expected is None:
        return control_share(criterion, p0, ranks)
    if criterion.aggregate == "rate":
        reached = criterion.expected.value
        if reached is None:
            return control_share(criterion, p0, ranks)
        bad = float(reached) if criterion.measure.lower_is_better else float(1 - reached)
        return Share(bad, (f"the candidate is where the record expects it: {100 * bad:.3g} % on the wrong side",))
    if position is None:
        return control_share(criterion, p0, ranks)
    told = f"the candidate's {criterion.aggregate} is where the record expects it, at {float(position):.3g} × the limit"
    return Share(tail(p0, float(position), ranks), (told, _tail_told(ranks)))


def control_share(criterion: Criterion, p0: float, ranks: PinnedRanks | None) -> Share:
    """The share above the limit of the control itself, with 1 % failures."""
    failing = f"{100 * FAILURES:g} % of the control's dispatches fail, and a failure is above every limit"
    position = control_stands_at(criterion)
    if criterion.aggregate == "rate" or position is None:
        none = "nothing is known of where the control lies against this limit, so only its failures are above it"
        return Share(FAILURES, (failing,) if criterion.aggregate == "rate" else (failing, none))
    slow = tail(p0, float(position), ranks)
    multiple = plain(criterion.bound.number)
    told = f"{100 * slow:.3g} % of the control's successes lie above {multiple} × its own {criterion.aggregate}"
    return Share(FAILURES + (1 - FAILURES) * slow, (failing, told, _tail_told(ranks)))


def _tail_told(ranks: PinnedRanks | None) -> str:
    if ranks is not None:
        return f"times are distributed as the {ranks.n} pinned ones"
    return f"times beyond a stated percentile fall like a Weibull's of shape {SHAPE:g}"
