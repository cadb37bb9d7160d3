"""A bound on what runs at once, shared by threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress


class QueueFull(Exception):
    """As many wait already as may."""


class Turnstile:
    """Lets so many in at once and so many wait, in the order they came, whichever event loop they wait on."""

    def __init__(self, places: int, waiting: int) -> None:
        self._free = places
        self._waiting_at_most = waiting
        self._lock = threading.Lock()
        self._waiters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def enter(self) -> None:
        """Wait for a place; whoever has one leaves it by `leave`. Raises QueueFull."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            if len(self._waiters) >= self._waiting_at_most:
                self._waiters = deque(waiter for waiter in self._waiters if not waiter[0].is_closed())
            if len(self._waiters) >= self._waiting_at_most:
                raise QueueFull
            loop = asyncio.get_running_loop()
            waiter = (loop, loop.create_future())
            self._waiters.append(waiter)
        try:
            await waiter[1]
        except BaseException:
            # Cancelled, or dropped with its loop. Out of the queue, its place was given already: to the next.
            if not self._gave_up(waiter):
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to who waits longest."""
        with self._lock:
            while self._waiters:
                loop, place = self._waiters.popleft()
                # A loop that is closed waits no more.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_give, place)
                    return
            self._free += 1

    def _gave_up(self, waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]) -> bool:
        with self._lock, suppress(ValueError):
            self._waiters.remove(waiter)
            return True
        return False


def _give(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_result(None)
