"""The blocking call's bridge to the one async core: an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from dispatcher.errors import CalledOnEventLoop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Serving:
    """An event loop, its thread, and what runs on it."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    running: set[asyncio.Task[None]]


class Bridge:
    """Runs coroutines for plain threads, many at once, on one event loop that starts with the first of them.

    A bridge doesn't survive a fork: threads aren't copied, so the child needs a new one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serving: _Serving | None = None

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
        ended, begun = Future[T](), list[asyncio.Task[None]]()
        with self._lock:
            # Under the lock, so that a loop which is being closed is never given anything more to do.
            serving = self._served()
            serving.loop.call_soon_threadsafe(lambda: begun.append(_begin(serving, coroutine, ended)))
        try:
            return ended.result()
        except BaseException:
            if not ended.done():
                serving.loop.call_soon_threadsafe(lambda: [task.cancel() for task in begun])
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
        try:
            asyncio.run_coroutine_threadsafe(_wind_down(serving, last), serving.loop).result()
        finally:
            serving.loop.call_soon_threadsafe(serving.loop.stop)
            serving.thread.join()

    def _served(self) -> _Serving:
        if self._serving is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(loop,), name="dispatcher-bridge", daemon=True)
            self._serving = _Serving(loop, thread, set())
            thread.start()
        return self._serving


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


def _begin(serving: _Serving, coroutine: Coroutine[Any, Any, T], ended: Future[T]) -> asyncio.Task[None]:
    task = serving.loop.create_task(_handed_over(coroutine, ended))
    serving.running.add(task)
    task.add_done_callback(serving.running.discard)
    return task


async def _handed_over(coroutine: Coroutine[Any, Any, T], ended: Future[T]) -> None:
    """Run the coroutine and hand over how it ended, whatever that is: a SystemExit would end the loop of everybody."""
    try:
        result = await coroutine
    except BaseException as error:  # noqa: BLE001 - it is raised again, where the result is waited for
        ended.set_exception(error)
    else:
        ended.set_result(result)


async def _wind_down(serving: _Serving, last: Coroutine[Any, Any, None]) -> None:
    while running := tuple(serving.running):
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    await last
