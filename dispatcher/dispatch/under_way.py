"""The dispatches under way, on whatever event loop, so that what they need isn't taken away from under them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LEAVING_S = 15.0
"""Longer than any path takes to leave what runs at the provider."""


class UnderWay:
    """What is being carried out. Any thread may ask for its end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[tuple[asyncio.AbstractEventLoop, asyncio.Task[object]]] = set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """While it lasts, the running task is under way."""
        task = asyncio.current_task()
        assert task is not None
        entry = (asyncio.get_running_loop(), task)
        with self._changed:
            self._running.add(entry)
        try:
            yield
        finally:
            with self._changed:
                self._running.discard(entry)
                self._changed.notify_all()

    def end(self) -> None:
        """Cancel what runs on loops that run, and wait until it has cleaned up; some seconds at most. Blocks."""
        with self._changed:
            for loop, task in self._alive():
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(task.cancel)
            self._changed.wait_for(lambda: not self._alive(), _LEAVING_S)

    def _alive(self) -> list[tuple[asyncio.AbstractEventLoop, asyncio.Task[object]]]:
        return [entry for entry in self._running if entry[0].is_running()]
