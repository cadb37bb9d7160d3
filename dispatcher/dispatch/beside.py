"""Work beside the dispatches: on a thread and an event loop of its own, so that none of them waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from dispatcher.errors import DispatcherError

logger = logging.getLogger(__name__)

_LEAVING_S = 15.0
"""Longer than a session takes to be put away."""


class Beside:
    """Work that begins at once, and again where that is asked for. What it raises is logged: nobody waits for it.

    Between its end and its next beginning lie `rest_s` seconds.
    """

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, object]], rest_s: float = 300.0) -> None:
        self._name = name
        self._work = work
        self._rest_s = rest_s
        self._lock = threading.Lock()
        self._ended = False
        self._asked = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[object]] | None = None
        self._goes_on = True
        self._thread = self._started(self._work_and_more)

    def again(self) -> None:
        """Ask for the work once more: all who ask before its rest begins are served by one."""
        with self._lock:
            self._asked = True
            if self._goes_on or self._ended:
                return
            # A process that can have no more threads, or ends, leaves it to the next one.
            with contextlib.suppress(RuntimeError):
                self._thread = self._started(self._more)
                self._goes_on = True

    def shutdown(self) -> None:
        """Cancel the work and wait until it has cleaned up, some seconds at most; blocks."""
        with self._lock:
            self._ended = True
            if self._running is not None:
                loop, task = self._running
                loop.call_soon_threadsafe(task.cancel)
            thread = self._thread
        thread.join(_LEAVING_S)

    def _started(self, rounds: Callable[[], Coroutine[Any, Any, None]]) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(rounds,), name=f"dispatcher-{self._name}", daemon=True)
        thread.start()
        return thread

    def _run(self, rounds: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            asyncio.run(self._until_ended(rounds))
        except asyncio.CancelledError:
            logger.info("the %s was cut short", self._name)

    async def _work_and_more(self) -> None:
        await self._done()
        await self._more()

    async def _more(self) -> None:
        while self._is_wanted():
            await asyncio.sleep(self._rest_s)
            await self._done()

    def _is_wanted(self) -> bool:
        with self._lock:
            self._goes_on, self._asked = self._asked, False
            return self._goes_on

    async def _done(self) -> None:
        try:
            await self._work()
        except DispatcherError as error:
            logger.warning("the %s came to nothing: %s", self._name, error)
        except Exception:
            logger.exception("the %s broke", self._name)

    async def _until_ended(self, rounds: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(rounds())
        with self._lock:
            self._running = asyncio.get_running_loop(), task
            if self._ended:
                task.cancel()
        try:
            await task
        finally:
            with self._lock:
                self._running = None
