from __future__ import annotations

import asyncio
import threading

import pytest

from dispatcher.dispatch.turnstile import QueueFull, Turnstile


async def _soon(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be")


async def test_so_many_are_inside_at_once_and_the_rest_enter_in_the_order_they_came():
    turnstile, inside, entered = Turnstile(3, 100), [0, 0], []

    async def visit(number):
        await turnstile.enter()
        entered.append(number)
        inside[0] += 1
        inside[1] = max(inside)
        await asyncio.sleep(0)
        inside[0] -= 1
        turnstile.leave()

    await asyncio.gather(*(visit(number) for number in range(50)))
    assert (max(inside), entered) == (3, list(range(50)))


async def test_who_finds_the_queue_full_is_told_so_at_once():
    turnstile = Turnstile(1, 1)
    await turnstile.enter()
    waiting = asyncio.ensure_future(turnstile.enter())
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await turnstile.enter()
    turnstile.leave()
    await waiting


async def test_who_is_cancelled_while_waiting_leaves_the_queue():
    turnstile = Turnstile(1, 10)
    await turnstile.enter()
    impatient, patient = (asyncio.ensure_future(turnstile.enter()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    turnstile.leave()
    await patient
    assert impatient.cancelled()


async def test_a_place_that_was_given_to_a_cancelled_one_goes_on_to_the_next():
    turnstile = Turnstile(1, 10)
    await turnstile.enter()
    impatient, patient = (asyncio.ensure_future(turnstile.enter()) for _ in range(2))
    await asyncio.sleep(0)
    turnstile.leave()  # the place is on its way to the first
    impatient.cancel()
    await asyncio.wait_for(patient, 1)


async def test_event_loops_of_several_threads_share_the_places():
    turnstile, most, inside, lock = Turnstile(2, 100), 0, 0, threading.Lock()

    async def visit():
        nonlocal most, inside
        await turnstile.enter()
        with lock:
            inside += 1
            most = max(most, inside)
        await asyncio.sleep(0.001)
        with lock:
            inside -= 1
        turnstile.leave()

    async def visits():
        await asyncio.gather(*(visit() for _ in range(20)))

    threads = [threading.Thread(target=asyncio.run, args=(visits(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    await _soon(lambda: not any(thread.is_alive() for thread in threads))
    assert (most, inside) == (2, 0)


async def test_who_waited_on_a_loop_that_is_gone_neither_holds_a_place_nor_fills_the_queue():
    turnstile = Turnstile(1, 1)
    await turnstile.enter()

    def wait_and_die():
        loop = asyncio.new_event_loop()
        task = loop.create_task(turnstile.enter())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return task

    dropped = await asyncio.to_thread(wait_and_die)
    waiting = asyncio.ensure_future(turnstile.enter())
    await asyncio.sleep(0)
    assert not waiting.done()
    turnstile.leave()
    await asyncio.wait_for(waiting, 1)
    dropped._log_destroy_pending = False
