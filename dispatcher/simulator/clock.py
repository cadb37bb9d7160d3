"""Time in the simulator: real for timestamps, simulated for waits, caches and billing."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

# Below this a sleep costs more than it waits for.
_SHORTEST_SLEEP_S = 0.001


class SimulatedClock:
    """Seconds and waits of one simulator.

    `time_scale` is real seconds per simulated second: 1 is real time, 0.02 is fifty times faster, 0 waits for nothing.
    At 0 simulated time would have no length, so caches and session ages then follow real time.
    """

    def __init__(
        self,
        time_scale: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.time_scale = time_scale
        self._monotonic = monotonic
        self._wall = wall
        self._latest = wall()

    def timestamp(self) -> dt.datetime:
        """Now, in real UTC; strictly later than every timestamp given before, so that events have one order."""
        self._latest = max(self._wall(), self._latest + dt.timedelta(microseconds=1))
        return self._latest

    def real_seconds(self) -> float:
        """Monotonic real seconds, for what isn't scaled."""
        return self._monotonic()

    def simulated_seconds(self) -> float:
        """Monotonic simulated seconds."""
        return self._monotonic() / (self.time_scale or 1.0)

    async def wait(self, seconds: float) -> None:
        """Let simulated seconds pass; a wait too short to sleep for still lets other runs go on."""
        real = seconds * self.time_scale
        await asyncio.sleep(real if real >= _SHORTEST_SLEEP_S else 0)

    async def wait_unless(self, stop: asyncio.Event, seconds: float) -> float:
        """Let simulated seconds pass, less where `stop` is set before their end; returns how many passed."""
        if stop.is_set():
            return 0.0
        real = seconds * self.time_scale
        if real < _SHORTEST_SLEEP_S:
            await asyncio.sleep(0)
            return seconds
        start = self._monotonic()
        try:
            async with asyncio.timeout(real):
                await stop.wait()
        except TimeoutError:
            return seconds
        return min(seconds, (self._monotonic() - start) / self.time_scale)

    async def real_intervals(self, length: float, seconds: float | None) -> AsyncIterator[None]:
        """Yield after every `length` real seconds until simulated seconds have passed; for ever where they are None."""
        end = None if seconds is None else self._monotonic() + seconds * self.time_scale
        while end is None or (left := end - self._monotonic()) > 0:
            await asyncio.sleep(length if end is None else min(length, left))
            yield

    async def paced(self, parts: Iterable[tuple[float, T]]) -> AsyncIterator[T]:
        """Yield each part at its own simulated second after now; what the sender costs is not added to the schedule."""
        start = self._monotonic()
        for due, part in parts:
            remaining = start + due * self.time_scale - self._monotonic()
            if remaining >= _SHORTEST_SLEEP_S:
                await asyncio.sleep(remaining)
            yield part


def rfc3339(moment: dt.datetime) -> str:
    """A UTC timestamp with microseconds, as the API writes it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
