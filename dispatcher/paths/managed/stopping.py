"""Stopping a turn that still runs: interrupted until it is at rest, its usage read meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from dispatcher.paths.managed.saying import Saying
from dispatcher.paths.managed.session import AT_REST, Failed, Pause
from dispatcher.paths.managed.so_far import TurnSoFar

STOP_S = 5.0
"""The longest wait for a session that we interrupt to go idle."""

_AGAIN_S = 1.0
_LATE_S = 0.3


async def stop(so_far: TurnSoFar, saying: Saying) -> None:
    """Interrupt the session and wait until the turn has ended; tries for as long as it is let. Raises Failed.

    The platform may be slow to obey, or not obey at all until it is asked again: whatever the history tells meanwhile
    is taken, so that a wait that is cut short still leaves the usage that could be known.
    """
    if not so_far.state.message_id:
        so_far.state = replace(so_far.state, message_id=await saying.settled() or "")
    stopping, pause = _Stopping(so_far, saying), Pause()
    while not await stopping.has_ended():
        await pause()
    await so_far.count()


class _Stopping:
    def __init__(self, so_far: TurnSoFar, saying: Saying) -> None:
        self._so_far = so_far
        self._saying = saying
        self._interrupted_at: float | None = None
        self._rests_since: float | None = None

    async def has_ended(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._so_far.state.end is None and (self._interrupted_at is None or now - self._interrupted_at >= _AGAIN_S):
            with suppress(Failed):
                await self._so_far.session.interrupt()
                self._interrupted_at = now
        try:
            await self._catch_up()
            return await self._rests(now)
        except Failed as failed:
            if not failed.failure.transient:
                raise
            return False

    async def _catch_up(self) -> None:
        so_far = self._so_far
        if not so_far.state.message_id:
            so_far.state = replace(so_far.state, message_id=await self._saying.landed() or "")
        await so_far.catch_up()

    async def _rests(self, now: float) -> bool:
        """Whether the turn is over and counted: it says so, or the session has been idle for a while without a word."""
        if (await self._so_far.session.retrieve()).status not in AT_REST:
            self._rests_since = None
            return False
        self._rests_since = now if self._rests_since is None else self._rests_since
        rested_s = now - self._rests_since
        if self._so_far.state.end is not None or self._interrupted_at is None:
            return not self._so_far.watch.awaits_usage or rested_s >= _LATE_S
        return rested_s >= _AGAIN_S
