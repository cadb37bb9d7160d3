"""When it could be decided, at the traffic that the record expects. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.verdict.judgement.figures import arms_of
from dispatcher.verdict.judgement.finding import Forecast
from dispatcher.verdict.judgement.standing import Case
from dispatcher.verdict.looks import WEEK
from dispatcher.verdict.measured import Arm, clusters_of

_WEEKS_PER_MONTH = Fraction(36525, 1200 * 7)
"""A month is a twelfth of 365.25 days."""
LOOKS_TO_KNOW_TRAFFIC = 4
"""Looks from which the traffic so far is taken for what is to come: a month."""


def clusters_per_week(block: Acceptance, arm: Arm) -> Fraction:
    """The clusters that an arm gets in a week at the record's own traffic; a flag by tenant gives the candidate all."""
    traffic, share = block.traffic, block.assignment.share
    weekly = Fraction(traffic.dispatches_per_month) / Fraction(traffic.dispatches_per_conversation) / _WEEKS_PER_MONTH
    if share is None:
        return weekly
    return weekly * (Fraction(share) if arm is Arm.CANDIDATE else 1 - Fraction(share))


def forecast_of(case: Case, more: Mapping[Arm, int]) -> Forecast:
    """What so many more clusters of each arm mean in weeks, and the look that could then decide."""
    weeks = max(Fraction(count) / clusters_per_week(case.block, arm) for arm, count in more.items())
    earliest = None
    if case.looks.start is not None:
        number = case.looks.entry(case.looks.as_of + dt.timedelta(seconds=math.ceil(weeks * WEEK.total_seconds())))
        earliest = case.looks.at(number) if number <= case.looks.max_weeks else None
    return Forecast(more=max(more.values()), weeks=math.ceil(weeks), earliest=earliest)


def alike_forecast(case: Case, decides: Callable[[Fraction], bool]) -> Forecast | None:
    """What so many weeks like those so far mean: the fewest with which so many times as much of the same decides.

    Found by search, since what decides keeps deciding when there is more of it. None where not even those up to the
    horizon would, and where nothing has been seen yet.
    """
    done = case.looks.done
    seen = clusters_of(case.measurement.of(Arm.CANDIDATE, up_to=done))
    if not seen:
        return None
    low, high = 0, case.looks.max_weeks - done
    if high < 1 or not decides(Fraction(done + high, done)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(Fraction(done + middle, done)) else (middle, high)
    more = math.ceil(Fraction(seen * high, done))
    return Forecast(more=more, weeks=high, earliest=case.looks.at(done + high), alike=True)


def has_both_sides(case: Case, criterion: Criterion) -> bool:
    """Whether the looks have taken in a cluster of every arm that a criterion is about."""
    done = case.looks.done
    return all(clusters_of(case.measurement.of(arm, up_to=done)) for arm in arms_of(criterion))


def is_out_of_reach(case: Case, more: Mapping[Arm, int]) -> bool:
    """Whether so many more clusters can't be counted by the last look.

    At the traffic so far, once there has been a month of it; before, at what the record expects or the traffic so far,
    whichever is more.
    """
    done = case.looks.done
    for arm, count in more.items():
        weekly = Fraction(clusters_of(case.measurement.of(arm, up_to=done)), max(done, 1))
        if done < LOOKS_TO_KNOW_TRAFFIC:
            weekly = max(weekly, clusters_per_week(case.block, arm))
        if count > weekly * (case.looks.max_weeks - done):
            return True
    return False
