"""An outage of half a day, polled every five seconds, fills no log."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from dispatcher.routing.flags.outage import QUIET_S, REPEAT_S, OutageLog

HALF_A_DAY_S = 12 * 3600
POLLS = range(0, HALF_A_DAY_S, 5)


def lines_of(caplog: pytest.LogCaptureFixture, problems: Iterable[str | None]) -> list[str]:
    """What is logged where poll after poll comes to these problems, None for none."""
    caplog.set_level(logging.INFO)
    outage = OutageLog(logging.getLogger("dispatcher.outage"))
    for now, problem in zip(POLLS, problems, strict=True):
        if problem is None:
            outage.answered("the server", float(now))
        else:
            outage.failed(problem, "the last good flags stay in force", float(now))
    return [record.message for record in caplog.records]


def test_a_lasting_one_is_repeated_every_ten_minutes_with_its_age(caplog: pytest.LogCaptureFixture) -> None:
    lines = lines_of(caplog, ("the server can't be reached" for _ in POLLS))

    assert len(lines) == HALF_A_DAY_S / REPEAT_S
    assert lines[:2] == [
        "the server can't be reached; the last good flags stay in force",
        "the server can't be reached (for 600 s); the last good flags stay in force",
    ]


def test_reasons_that_change_with_every_poll_are_no_more_lines(caplog: pytest.LogCaptureFixture) -> None:
    assert len(lines_of(caplog, (f"refused for the {number}th reason" for number in POLLS))) == HALF_A_DAY_S / REPEAT_S


def test_a_server_that_flaps_is_two_lines_a_minute_at_most(caplog: pytest.LogCaptureFixture) -> None:
    lines = lines_of(caplog, (None if now % 10 else "the server can't be reached" for now in POLLS))

    assert len(lines) <= 2 * HALF_A_DAY_S / QUIET_S


def test_the_first_failure_after_a_quiet_time_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    lines = lines_of(caplog, ("away" if 3600 <= now < 3660 else None for now in POLLS))

    assert lines == ["away; the last good flags stay in force", "the server answers again, after 60 s"]
