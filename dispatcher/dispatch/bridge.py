"""The blocking call's bridge to the one async core: an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from dispatcher.errors import CalledOnEventLoop

T = TypeVar("T")


class Bridge:
    """Runs coroutines for plain threads, many at once, on one event loop that starts with the first of them.

    A bridge doesn't survive a fork: threads aren't copied, so the child needs a new one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine to its end and return its result.

        An exception in the waiting thread, such as an interrupt from the keyboard, cancels the coroutine and waits
        until it has cleaned up. Raises CalledOnEventLoop on the thread of a running loop, which it would block.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise CalledOnEventLoop(
                "dispatch_research() was called on the thread of a running event loop and would block it; "
                "await adispatch_research() there, or call it from a worker thread"
            )
        loop = self._running_loop()
        ended: Future[T] = Future()
        task = asyncio.run_coroutine_threadsafe(_start(coroutine, ended), loop).result()
        try:
            return ended.result()
        except BaseException:
            if not ended.done():
                loop.call_soon_threadsafe(task.cancel)
                ended.exception()
            raise

    def close(self) -> None:
        """Stop the loop; a later call starts another."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(self._loop,), name="dispatcher-bridge", daemon=True).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _start(coroutine: Coroutine[Any, Any, T], ended: Future[T]) -> asyncio.Task[T]:
    task = asyncio.ensure_future(coroutine)

    def hand_over(done: asyncio.Task[T]) -> None:
        if done.cancelled():
            ended.set_exception(asyncio.CancelledError())
        elif (error := done.exception()) is not None:
            ended.set_exception(error)
        else:
            ended.set_result(done.result())

    task.add_done_callback(hand_over)
    return task
