"""The events of a session: kept for the list, sent to whoever is connected at that moment."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from dispatcher.simulator.clock import rfc3339
from dispatcher.simulator.sse import KEEPALIVE, frame

Event = dict[str, Any]
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclass(eq=False, slots=True)
class Subscriber:
    """One open stream. `previews` are the event types whose pieces it asked for."""

    previews: frozenset[str]
    queue: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)


class EventLog:
    """The history of one session and its open streams."""

    def __init__(self, mint: Callable[[str], str], now: Callable[[], dt.datetime]) -> None:
        self._mint, self._now = mint, now
        self._history: dict[str, Event] = {}
        self._times: dict[str, dt.datetime | None] = {}
        self._subscribers: set[Subscriber] = set()

    @property
    def history(self) -> tuple[tuple[Event, dt.datetime | None], ...]:
        """Every event with the time it was processed, in that order; what still waits is last."""
        ordered = sorted(self._times.items(), key=lambda one: (one[1] is None, one[1] or _EPOCH))
        return tuple((self._history[event_id], when) for event_id, when in ordered)

    def emit(self, kind: str, *, event_id: str | None = None, **fields: Any) -> Event:
        """Add an event of the session's own, processed now."""
        return self._add({"id": event_id or self._mint("sevt"), "type": kind, **fields}, self._now())

    def accept(self, sent: Event, *, processed: bool) -> Event:
        """Add an event of the client: waiting, or processed on receipt."""
        return self._add({"id": self._mint("sevt"), **sent}, self._now() if processed else None)

    def mark_processed(self, event_id: str) -> None:
        """A waiting event is taken up: it is sent a second time, under its one id, now with its time."""
        self._add(self._history[event_id], self._now())

    def preview(self, kind: str, event: Event) -> None:
        """Send an event that is no part of the history to the streams that asked for such pieces."""
        for subscriber in self._subscribers:
            if kind in subscriber.previews:
                subscriber.queue.put_nowait(event)

    def wants_preview(self, kind: str) -> bool:
        """Whether any open stream asked for pieces of such events."""
        return any(kind in subscriber.previews for subscriber in self._subscribers)

    def subscribe(self, previews: frozenset[str]) -> Subscriber:
        """Open a stream at this moment; what happened before is not replayed."""
        subscriber = Subscriber(previews)
        self._subscribers.add(subscriber)
        return subscriber

    async def frames(self, subscriber: Subscriber, keepalive_seconds: float) -> AsyncGenerator[bytes, None]:
        """What a stream sends, with a comment after every real-time silence, until the session is gone."""
        try:
            while True:
                try:
                    async with asyncio.timeout(keepalive_seconds):
                        event = await subscriber.queue.get()
                except TimeoutError:
                    yield KEEPALIVE
                    continue
                if event is None:
                    return
                yield frame(event)
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End every open stream."""
        for subscriber in self._subscribers:
            subscriber.queue.put_nowait(None)

    def _add(self, event: Event, when: dt.datetime | None) -> Event:
        stamped = {**event, "processed_at": rfc3339(when) if when else None}
        self._history[stamped["id"]] = stamped
        self._times[stamped["id"]] = when
        for subscriber in self._subscribers:
            subscriber.queue.put_nowait(stamped)
        return stamped
