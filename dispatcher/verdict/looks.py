"""When the evidence is looked at: start + 7 d · i, whatever day it is."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

WEEK = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The looks of one epoch up to `as_of`; none where the record isn't registered and `start` is None.

    A cluster lasts `window` from its first dispatch and is waited for another `settle`. It enters, whole, at the first
    look after that. A pass may be reached up to look `max_weeks`, the horizon; the looks go on, since what was shipped
    is still watched.
    """

    start: dt.datetime | None
    as_of: dt.datetime
    window: dt.timedelta
    settle: dt.timedelta
    max_weeks: int

    @property
    def done(self) -> int:
        """How many looks there have been."""
        if self.start is None:
            return 0
        return max(0, (self.as_of - self.start) // WEEK)

    @property
    def at_horizon(self) -> bool:
        """Whether the last look that may pass has been."""
        return self.done >= self.max_weeks

    def at(self, number: int) -> dt.datetime:
        """The moment of a look, counted from 1."""
        assert self.start is not None
        return self.start + number * WEEK

    def entry(self, first_dispatch: dt.datetime) -> int:
        """The look at which a cluster enters: the first one later than its first dispatch + window + settle."""
        assert self.start is not None
        return max(0, (first_dispatch + self.window + self.settle - self.start) // WEEK) + 1
