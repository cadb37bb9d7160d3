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
        self._serving: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._running: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine to its end and return its result.

        An exception in the waiting thread, such as an interrupt from the keyboard, cancels the coroutine and waits
        until it has cleaned up. Raises CalledOnEventLoop on the thread of a running loop, which it would block.
        """
        try:
            refuse_on_event_loop()
        except CalledOnEventLoop:
            coroutine.close()
            raise
        loop, ended, begun = self._loop(), Future[T](), list[asyncio.Task[T]]()

        def begin() -> None:
            task = loop.create_task(coroutine)
            begun.append(task)
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(lambda done: _hand_over(done, ended))

        try:
            loop.call_soon_threadsafe(begin)
            return ended.result()
        except BaseException:
            if not ended.done():
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in begun])
                ended.exception()
            raise

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what is running, wait until it has cleaned up, run `last` and end the loop.

        A later call starts another loop. Raises CalledOnEventLoop as `run` does.
        """
        refuse_on_event_loop()
        with self._lock:
            serving, self._serving = self._serving, None
        if serving is None:
            last.close()
            return
        loop, thread = serving
        asyncio.run_coroutine_threadsafe(self._wind_down(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    async def _wind_down(self, last: Coroutine[Any, Any, None]) -> None:
        while running := tuple(self._running):
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        await last

    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._serving is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(loop,), name="dispatcher-bridge", daemon=True)
                self._serving = (loop, thread)
                thread.start()
            return self._serving[0]


def refuse_on_event_loop() -> None:
    """Raise CalledOnEventLoop on the thread of a running event loop, which a blocking call would stall."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise CalledOnEventLoop(
        "dispatch_research() was called on the thread of a running event loop and would block it; "
        "await adispatch_research() there, or call it from a worker thread"
    )


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _hand_over(done: asyncio.Task[T], ended: Future[T]) -> None:
    if done.cancelled():
        ended.set_exception(asyncio.CancelledError())
    elif (error := done.exception()) is not None:
        ended.set_exception(error)
    else:
        ended.set_result(done.result())
