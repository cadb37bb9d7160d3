"""When it could be decided, at the traffic that the record expects. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from fractions import Fraction

from dispatcher.adr.document import Acceptance
from dispatcher.verdict.finding import Forecast
from dispatcher.verdict.looks import WEEK
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.standing import Case

_WEEKS_PER_MONTH = Fraction(36525, 1200 * 7)
"""A month is a twelfth of 365.25 days."""


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
