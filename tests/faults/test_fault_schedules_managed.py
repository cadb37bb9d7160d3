"""Random schedules of faults on the managed path break nothing that must never break."""

from __future__ import annotations

from hypothesis import given, seed
from schedule_settings import IN_CI
from schedules import ON_MANAGED, schedules


@seed(42)
@IN_CI
@given(schedule=schedules(ON_MANAGED))
def test_on_the_managed_path_no_schedule_of_faults_breaks_what_must_hold(theatre, schedule):
    assert theatre.broken(schedule) == []
