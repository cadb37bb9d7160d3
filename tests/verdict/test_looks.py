"""When the evidence is looked at, and which stretch of it counts."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdict_worlds import DAY, START

from dispatcher.audit.record import Origin
from dispatcher.audit.registrations import Registration
from dispatcher.verdict.epoch import Definition, Epoch, current_epoch
from dispatcher.verdict.looks import WEEK, Looks


def seen_from(hash_: str, moment: dt.datetime) -> Definition:
    return Definition("candidate", hash_, moment, moment, 1)


def looks(as_of: dt.datetime, *, window: dt.timedelta = 0 * DAY, max_weeks: int = 52) -> Looks:
    return Looks(start=START, as_of=as_of, window=window, settle=DAY, max_weeks=max_weeks)


@pytest.mark.parametrize(
    ("as_of", "done"),
    [
        (START, 0),
        (START + 7 * DAY - dt.timedelta(microseconds=1), 0),
        (START + 7 * DAY, 1),
        (START + 20 * DAY, 2),
        (START + 4000 * DAY, 571),
    ],
)
def test_a_look_is_done_from_its_own_moment_on_after_the_horizon_too(as_of: dt.datetime, done: int) -> None:
    assert (looks(as_of).done, looks(as_of).at_horizon) == (done, done >= 52)


def test_a_record_that_is_not_registered_has_no_looks() -> None:
    unregistered = Looks(start=None, as_of=START, window=DAY, settle=DAY, max_weeks=52)

    assert unregistered.done == 0


@given(st.timedeltas(dt.timedelta(0), 300 * DAY), st.timedeltas(dt.timedelta(0), 9 * DAY))
def test_a_cluster_enters_at_the_first_look_later_than_its_window_and_settling(
    since: dt.timedelta, window: dt.timedelta
) -> None:
    calendar = looks(START + 400 * DAY, window=window)
    number = calendar.entry(START + since)
    settled = START + since + window + DAY

    assert calendar.at(number) > settled
    assert number == 1 or calendar.at(number) - WEEK <= settled


def registration(epoch: int, start: dt.datetime, candidate_hash: str = "b") -> Registration:
    return Registration(
        record="KD-0001",
        origin=Origin.PRODUCTION,
        epoch=epoch,
        start=start,
        candidate_hash=candidate_hash,
        record_hash=f"record {epoch}",
        block="{}",
    )


FIRST, SECOND = registration(1, START), registration(2, START + 30 * DAY, "c")


def epoch(number: int, start: dt.datetime, candidate_hash: str, of: Registration) -> Epoch:
    return Epoch(number=number, start=start, candidate_hash=candidate_hash, record_hash=of.record_hash)


def test_before_the_first_registration_there_is_no_epoch() -> None:
    assert current_epoch([FIRST], [], START - DAY) is None


def test_the_newest_registration_at_the_moment_is_the_epoch() -> None:
    assert current_epoch([FIRST, SECOND], [], START + DAY) == epoch(1, START, "b", FIRST)
    assert current_epoch([FIRST, SECOND], [], SECOND.start) == epoch(2, SECOND.start, "c", SECOND)


def test_a_candidate_that_changed_without_registration_opens_an_epoch_when_it_is_first_seen() -> None:
    seen = [seen_from("b", START), seen_from("x", START + 9 * DAY)]

    assert current_epoch([FIRST], seen, START + 40 * DAY) == epoch(2, START + 9 * DAY, "x", FIRST)


def test_rows_of_an_older_definition_open_nothing() -> None:
    seen = [seen_from("c", START + 30 * DAY), seen_from("b", START + 31 * DAY)]

    assert current_epoch([FIRST, SECOND], seen, START + 40 * DAY) == epoch(2, SECOND.start, "c", SECOND)
