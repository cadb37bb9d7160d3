"""The events of a session as they arrive, across connections that break or fall silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatcher.action.observation import ErrorStage, ErrorType
from dispatcher.paths.claude import Failure
from dispatcher.paths.managed.event import Event
from dispatcher.paths.managed.session import ANSWER_S, Failed, RemoteSession, failing_at, in_json_form

if TYPE_CHECKING:
    from anthropic import AsyncStream
    from anthropic.types.beta.sessions import BetaManagedAgentsStreamSessionEvents

MOST_FRUITLESS = 5
"""Connections in a row that may be lost without news before the stream counts as lost."""

SILENCE_S = 15.0
"""After so many seconds without news the history is looked at: a stream may be open and deliver nothing."""

_FIRST_PAUSE_S = 0.05
_LASTING = frozenset(
    {
        ErrorType.AUTHENTICATION,
        ErrorType.PERMISSION,
        ErrorType.BILLING,
        ErrorType.NOT_FOUND,
        ErrorType.INVALID_REQUEST,
        ErrorType.ORIGIN_MISMATCH,
    }
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What arrived at once: one event off the stream, or, where not `live`, a history that was read again."""

    events: tuple[Event, ...]
    live: bool = True


class SessionFeed:
    """The session's events from the moment it is opened.

    A stream doesn't replay, so after a loss a new one is opened first and the whole history is read then: nothing is
    missed, and much arrives twice. A stream on which news was missed counts as lost.
    """

    def __init__(self, session: RemoteSession, silence_s: float) -> None:
        self._session = session
        self._silence_s = silence_s
        self._news_at = asyncio.get_running_loop().time()
        self._looked_up = False
        self._is_deaf = False
        self._stream: AsyncStream[BetaManagedAgentsStreamSessionEvents] | None = None
        self._arriving: asyncio.Task[BetaManagedAgentsStreamSessionEvents] | None = None
        self._fruitless = 0

    async def open(self) -> None:
        """Connect. Raises Failed, also where that takes too long: a stream has no time limit of its own."""
        try:
            async with asyncio.timeout(ANSWER_S):
                self._stream = await self._session.stream()
        except TimeoutError:
            raise Failed(_NOT_OPENED, ErrorStage.STREAM) from None

    async def next(self, timeout_s: float | None = None) -> Heard:
        """What arrives next; nothing where that takes longer than the timeout.

        Raises Failed where the stream is lost for good: its end before the turn's is no end.
        """
        self._looked_up = False
        try:
            if self._is_deaf:
                return Heard(await self._reopened(), live=False)
            left_s = self._news_at + self._silence_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                return Heard(await self._look_up(), live=False)
            event = await self._arrival(left_s if timeout_s is None else min(timeout_s, left_s))
        except Failed as lost:
            return Heard(await self._again(lost), live=False)
        return Heard(() if event is None else (event,))

    def had_news(self) -> None:
        """The last that arrived was new, so the connection is worth having, unless it wasn't what brought it."""
        self._fruitless = 0
        self._news_at = asyncio.get_running_loop().time()
        self._is_deaf = self._looked_up

    async def close(self) -> None:
        """Disconnect; what runs in the session runs on. Can be taken up again where it was cancelled."""
        if self._arriving is not None:
            self._arriving.cancel()
            await asyncio.wait({self._arriving})
            if not self._arriving.cancelled():
                self._arriving.exception()
            self._arriving = None
        if self._stream is not None:
            with suppress(Failed), failing_at(ErrorStage.STREAM):
                await self._stream.close()
            self._stream = None

    async def _arrival(self, timeout_s: float | None) -> Event | None:
        if self._arriving is None:
            assert self._stream is not None
            # Kept across calls: cancelling it at a timeout would close the stream.
            self._arriving = asyncio.ensure_future(self._stream.__anext__())
        done, _ = await asyncio.wait({self._arriving}, timeout=timeout_s)
        if not done:
            return None
        arrived, self._arriving = self._arriving, None
        try:
            with failing_at(ErrorStage.STREAM):
                return in_json_form(arrived.result())
        except StopAsyncIteration:
            raise Failed(_TRUNCATED, ErrorStage.STREAM) from None

    async def _look_up(self) -> tuple[Event, ...]:
        self._news_at = asyncio.get_running_loop().time()
        try:
            events = tuple(await self._session.history())
        except Failed as failed:
            if not failed.failure.transient:
                raise
            return ()
        self._looked_up = True
        return events

    async def _reopened(self) -> tuple[Event, ...]:
        await self.close()
        await self.open()
        self._is_deaf = False
        return tuple(await self._session.history())

    async def _again(self, lost: Failed) -> tuple[Event, ...]:
        while self._fruitless < MOST_FRUITLESS and lost.failure.error_type not in _LASTING:
            await asyncio.sleep(_FIRST_PAUSE_S * 2**self._fruitless)
            self._fruitless += 1
            try:
                return await self._reopened()
            except Failed as again:
                lost = again
        raise lost


_TRUNCATED = Failure(
    error_type=ErrorType.STREAM_TRUNCATED, http_status=None, message="the event stream ended before the turn did"
)
_NOT_OPENED = Failure(
    error_type=ErrorType.CONNECTION, http_status=None, message="the event stream did not open in time", transient=True
)
