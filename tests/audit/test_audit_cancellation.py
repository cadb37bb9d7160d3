"""Work that a cancellation must not cut short."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.audit.settling import settling


async def to_its_end(work):
    with settling() as waiting:
        return await waiting.result(asyncio.ensure_future(work))


async def test_the_result_and_the_error_come_through():
    async def fail() -> None:
        raise ValueError("as it is")

    assert await to_its_end(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="as it is"):
        await to_its_end(fail())


async def test_the_work_ends_although_its_caller_is_cancelled_twice_and_the_cancellation_is_raised():
    ended = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.append(True)

    caller = asyncio.ensure_future(to_its_end(work()))
    for _ in range(2):
        await asyncio.sleep(0.01)
        caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert ended == [True]
