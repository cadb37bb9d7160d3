"""Random schedules of faults with fallbacks, in conversations that change paths, break no invariant."""

from __future__ import annotations

from hypothesis import given, seed
from schedule_settings import IN_CI
from schedules import CROSSING, schedules


@seed(44)
@IN_CI
@given(schedule=schedules(CROSSING))
def test_between_the_paths_no_schedule_of_faults_breaks_what_must_hold(theatre, schedule):
    assert theatre.broken(schedule) == []
