"""Work beside the dispatches: nobody waits for it, and it can be ended."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from dispatcher.dispatch.beside import Beside
from dispatcher.errors import LogUnavailable


def waited_for(beside: Beside) -> None:
    beside._thread.join(30)
    assert not beside._thread.is_alive()


@pytest.mark.parametrize(
    ("failure", "level", "words"),
    [
        (LogUnavailable("the log is gone"), logging.WARNING, "the tidying came to nothing: the log is gone"),
        (RuntimeError("a defect"), logging.ERROR, "the tidying broke"),
    ],
)
def test_what_it_raises_is_logged_and_harms_nobody(caplog, failure, level, words):
    async def work():
        raise failure

    waited_for(Beside("tidying", work))
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (level, words)


def test_its_end_waits_until_it_has_cleaned_up():
    began, cleaned_up = threading.Event(), threading.Event()

    async def work():
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            cleaned_up.set()

    beside = Beside("tidying", work)
    assert began.wait(30)
    beside.shutdown()
    assert cleaned_up.is_set()
    beside.shutdown()


def test_it_may_be_ended_before_it_began_and_after_it_is_done():
    ran = threading.Event()

    async def work():
        await asyncio.sleep(3600)
        ran.set()

    for _ in range(20):
        Beside("tidying", work).shutdown()
    assert not ran.is_set()

    async def nothing():
        ran.set()

    done = Beside("tidying", nothing)
    waited_for(done)
    done.shutdown()
    assert ran.is_set()


def test_who_starts_it_does_not_wait_for_it():
    may_go_on = threading.Event()

    async def work():
        await asyncio.to_thread(may_go_on.wait)

    beside = Beside("tidying", work)
    assert beside._thread.is_alive()
    may_go_on.set()
    waited_for(beside)


def test_it_is_done_again_after_its_rest_once_for_all_who_asked():
    done, may_end = threading.Semaphore(0), threading.Semaphore(0)

    async def work():
        done.release()
        await asyncio.to_thread(may_end.acquire)

    beside = Beside("tidying", work, rest_s=0.05)
    assert done.acquire(timeout=30)
    beside.again()
    beside.again()
    may_end.release()
    assert done.acquire(timeout=30)
    may_end.release()
    waited_for(beside)
    assert not done.acquire(blocking=False)


def test_it_is_done_again_long_after_it_was_done_and_after_it_broke(caplog):
    done = threading.Semaphore(0)

    async def work():
        done.release()
        raise RuntimeError("a defect")

    beside = Beside("tidying", work, rest_s=0.0)
    for _ in range(3):
        waited_for(beside)
        assert done.acquire(timeout=30)
        beside.again()
    waited_for(beside)
    assert [record.getMessage() for record in caplog.records] == ["the tidying broke"] * 4


def test_its_rest_is_ended_with_it_and_nothing_begins_after():
    done = threading.Semaphore(0)

    async def work():
        done.release()

    beside = Beside("tidying", work, rest_s=3600.0)
    waited_for(beside)
    beside.again()
    assert beside._thread.is_alive()
    beside.shutdown()
    beside.again()
    assert not beside._thread.is_alive()
    assert [done.acquire(blocking=False) for _ in range(2)] == [True, False]
