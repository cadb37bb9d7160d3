"""The blocking call's bridge."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dispatcher.dispatch.bridge import Bridge
from dispatcher.errors import CalledOnEventLoop


async def thread_name_later(seconds: float = 0) -> str:
    await asyncio.sleep(seconds)
    return threading.current_thread().name


async def nothing() -> None:
    """What is left to do at the end."""


@pytest.fixture
def bridge():
    made = Bridge()
    yield made
    made.close(nothing())


def test_a_plain_thread_gets_the_result(bridge):
    assert bridge.run(thread_name_later()) == "dispatcher-bridge"


def test_many_threads_share_one_loop_and_wait_at_the_same_time(bridge):
    began = time.monotonic()
    with ThreadPoolExecutor(16) as threads:
        names = set(threads.map(lambda _: bridge.run(thread_name_later(0.2)), range(16)))

    assert names == {"dispatcher-bridge"}
    assert time.monotonic() - began < 16 * 0.2


def test_an_exception_reaches_the_caller_unchanged(bridge):
    async def fail() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        bridge.run(fail())


async def test_on_the_thread_of_a_running_loop_it_raises_at_once_and_names_the_other_call(bridge):
    with pytest.raises(CalledOnEventLoop, match="adispatch_research"):
        bridge.run(thread_name_later())


async def test_a_worker_thread_of_a_running_loop_may_call_it(bridge):
    assert await asyncio.to_thread(bridge.run, thread_name_later()) == "dispatcher-bridge"


def test_a_closed_bridge_starts_again(bridge):
    bridge.run(thread_name_later())
    bridge.close(nothing())

    assert bridge.run(thread_name_later()) == "dispatcher-bridge"


def test_an_interrupt_cancels_the_coroutine_and_waits_for_its_clean_up(bridge):
    cleaned = []

    async def long_work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.1)
            cleaned.append(True)

    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        bridge.run(long_work())

    assert cleaned == [True]


def test_closing_cancels_what_runs_waits_for_its_clean_up_and_then_does_the_last_thing(bridge):
    order = []
    began = threading.Event()

    async def long_work() -> None:
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.1)
            order.append("cleaned")

    async def last() -> None:
        order.append("last")

    def call() -> None:
        with pytest.raises(asyncio.CancelledError):
            bridge.run(long_work())

    caller = threading.Thread(target=call)
    caller.start()
    began.wait(5)
    bridge.close(last())
    caller.join(5)

    assert order == ["cleaned", "last"]
    assert not caller.is_alive()


def test_an_exit_inside_the_coroutine_ends_its_caller_and_nobody_elses_loop(bridge):
    async def leave():
        raise SystemExit(3)

    async def answer():
        return 7

    with pytest.raises(SystemExit):
        bridge.run(leave())
    assert bridge.run(answer()) == 7
