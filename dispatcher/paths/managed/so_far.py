"""A turn so far: what its events have said and what it has cost, whichever way that was learned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dispatcher.action.decision import CapMode
from dispatcher.action.observation import UsageQuality
from dispatcher.paths.managed.caps import GRACE
from dispatcher.paths.managed.event import Event, loses_repository, recurs_unnoticed, since
from dispatcher.paths.managed.events import TurnState, reduce
from dispatcher.paths.managed.session import RemoteSession
from dispatcher.paths.managed.totals import NOTHING_YET, difference
from dispatcher.paths.managed.watch import SessionWatch
from dispatcher.paths.observation import Observer
from dispatcher.paths.path import Job
from dispatcher.paths.sums import SessionTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a session held before the turn: the ids of the user's messages, and its own count."""

    message_ids: frozenset[str] = frozenset()
    totals: SessionTotals = NOTHING_YET


class TurnSoFar:
    """The state of a turn; events come off the stream and out of the history alike, and each counts once."""

    def __init__(self, session: RemoteSession, observer: Observer, job: Job, before: Before) -> None:
        self.session = session
        self.observer = observer
        self.before = before
        self.watch = SessionWatch(observer, job.variant.model)
        self.state = TurnState(caps=job.caps, grace=GRACE if job.variant.cap_mode is CapMode.CONFIRM else 0)

    def take(self, events: Iterable[Event], *, live: bool) -> bool:
        """Take events as they arrived, or from a history; returns whether they said anything new."""
        start = self.state
        for event in events:
            if not live and recurs_unnoticed(event):
                continue
            before = self.state
            self.state = reduce(before, event)
            if self.state is not before:
                self.watch.note(event, live=live)
        return self.state is not start

    def take_history(self, events: Iterable[Event]) -> bool:
        """Take a whole history: what lies before our message belongs to earlier turns, or tells of the repository."""
        history = tuple(events)
        ours = since(history, self.state.message_id)
        earlier = history[: len(history) - len(ours)]
        return self.take([*filter(loses_repository, earlier), *ours], live=False)

    async def catch_up(self) -> None:
        """Take everything that has happened. Raises Failed."""
        self.take_history(await self.session.history())

    async def count(self) -> None:
        """Take the session's own count of this turn, once nothing runs in it. Raises Failed.

        Where ours is another one the history is read, because no stream is known to deliver every event.
        """
        self.observer.totals = difference(await self.session.totals_at_rest(), self.before.totals)
        if self.observer.observed().usage_quality is UsageQuality.PARTIAL:
            await self.catch_up()

    async def look_for_mount_errors(self) -> None:
        """Take what became of the repository before the stream was opened. Raises Failed."""
        self.take(filter(loses_repository, await self.session.errors()), live=False)
