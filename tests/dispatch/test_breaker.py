from __future__ import annotations

import pytest

from dispatcher.action.policy import BreakerPolicy
from dispatcher.dispatch.breaker import Breaker, Health

SECOND = 1_000_000_000


class Clock:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(BreakerPolicy(failures=3, cooldown_s=30), clock)


def fail(breaker, times):
    for _ in range(times):
        breaker.admit().report(Health.BAD)


def test_it_opens_after_so_many_failures_in_a_row_and_not_before(breaker):
    fail(breaker, 2)
    assert breaker.admit() is not None
    fail(breaker, 1)
    assert breaker.admit() is None


def test_a_success_between_failures_starts_the_count_again(breaker):
    fail(breaker, 2)
    breaker.admit().report(Health.GOOD)
    fail(breaker, 2)
    assert breaker.admit() is not None


def test_cancellations_neither_open_it_nor_start_the_count_again(breaker):
    fail(breaker, 2)
    for _ in range(10):
        breaker.admit().report(Health.UNKNOWN)
    assert breaker.admit() is not None
    fail(breaker, 1)
    assert breaker.admit() is None


def test_after_its_cooldown_it_admits_one_probe_however_many_come(breaker, clock):
    fail(breaker, 3)
    clock.now += 30 * SECOND - 1
    assert breaker.admit() is None
    clock.now += 1
    assert [breaker.admit() is not None for _ in range(20)] == [True] + [False] * 19


def test_a_good_probe_closes_it(breaker, clock):
    fail(breaker, 3)
    clock.now += 30 * SECOND
    breaker.admit().report(Health.GOOD)
    fail(breaker, 2)
    assert breaker.admit() is not None


def test_a_bad_probe_opens_it_for_another_cooldown(breaker, clock):
    fail(breaker, 3)
    clock.now += 30 * SECOND
    breaker.admit().report(Health.BAD)
    clock.now += 30 * SECOND - 1
    assert breaker.admit() is None
    clock.now += 1
    assert breaker.admit() is not None


def test_a_cancelled_probe_lets_the_next_one_probe(breaker, clock):
    fail(breaker, 3)
    clock.now += 30 * SECOND
    breaker.admit().report(Health.UNKNOWN)
    assert breaker.admit() is not None


def test_what_was_admitted_before_it_opened_says_nothing_about_the_probe(breaker, clock):
    early = [breaker.admit() for _ in range(5)]
    for permit in early[:3]:
        permit.report(Health.BAD)
    clock.now += 30 * SECOND
    probe = breaker.admit()
    early[3].report(Health.GOOD)
    assert breaker.admit() is None
    early[4].report(Health.BAD)
    probe.report(Health.GOOD)
    assert breaker.admit() is not None


def test_a_permit_counts_once(breaker):
    permit = breaker.admit()
    for _ in range(3):
        permit.report(Health.BAD)
    assert breaker.admit() is not None
