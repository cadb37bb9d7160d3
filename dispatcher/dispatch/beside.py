"""Work beside the dispatches: on a thread and an event loop of its own, so that none of them waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from dispatcher.errors import DispatcherError

logger = logging.getLogger(__name__)

_LEAVING_S = 15.0
"""Longer than a session takes to be put away."""


class Beside:
    """One piece of work that begins at once. What it raises is logged: nobody waits for it."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._ended = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[object]] | None = None
        self._thread = threading.Thread(target=self._run, name=f"dispatcher-{name}", daemon=True)
        self._thread.start()

    def shutdown(self) -> None:
        """Cancel the work and wait until it has cleaned up, some seconds at most; blocks."""
        with self._lock:
            self._ended = True
            if self._running is not None:
                loop, task = self._running
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join(_LEAVING_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._worked())
        except asyncio.CancelledError:
            logger.info("the %s was cut short", self._name)
        except DispatcherError as error:
            logger.warning("the %s came to nothing: %s", self._name, error)
        except Exception:
            logger.exception("the %s broke", self._name)

    async def _worked(self) -> None:
        task = asyncio.ensure_future(self._work())
        with self._lock:
            self._running = asyncio.get_running_loop(), task
            if self._ended:
                task.cancel()
        try:
            await task
        finally:
            with self._lock:
                self._running = None
