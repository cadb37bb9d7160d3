"""One message to a session and everything that follows, until the turn has its result, ends, or is stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from dispatcher.paths.observation import Observer
from dispatcher.paths.session import Failed, RemoteSession
from dispatcher.paths.session_ending import outcome_of
from dispatcher.paths.session_events import Event, TurnState, reduce
from dispatcher.paths.session_feed import SessionFeed
from dispatcher.paths.session_steps import Answer, Done, Halt, Respond, Wait, next_step, responded
from dispatcher.paths.session_watch import SessionWatch

DRAIN_S = 2.0
"""The caller's longest wait after the report is accepted, and for the totals of a turn that has ended."""

STOP_S = 5.0
"""The longest wait for a session that we interrupt to go idle."""

SETTLE_S = 0.1
"""How long nothing must arrive before a reply counts as announced in full; see `session_steps`."""


class SessionTurn:
    """A turn of a fresh session.

    `state` is what its events said so far, `decided_ns` when the outcome was certain, and `ended_in_order` says that
    the turn ended by itself and nothing is left to do but to archive the session.
    """

    def __init__(self, session: RemoteSession, observer: Observer, *, model: str, iteration_cap: int) -> None:
        self.state = TurnState(iteration_cap=iteration_cap)
        self.decided_ns: int | None = None
        self.ended_in_order = False
        self.archived = False
        self._session = session
        self._observer = observer
        self._feed = SessionFeed(session)
        self._watch = SessionWatch(observer, model)
        self._saying: asyncio.Task[str] | None = None
        self._last_answers: tuple[Answer, ...] = ()
        self._interrupted = False

    @property
    def at_rest(self) -> bool:
        """Whether nothing can run in the session: nothing was said yet, or the turn ended by itself."""
        return self._saying is None or self.state.end is not None

    async def carry_out(self, text: str) -> None:
        """Say the text, follow what happens, and read what the session cost where it ended by itself. Raises Failed.

        The stream is opened first, because it doesn't replay.
        """
        await self._feed.open()
        # Shielded, because a message that is on its way can't be taken back: only what it starts can be interrupted.
        self._saying = asyncio.ensure_future(self._session.say(text))
        self.state = replace(self.state, message_id=await asyncio.shield(self._saying))
        await self._follow()
        self._decide()
        with suppress(Failed, TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._drain()
        await self._feed.close()
        self.ended_in_order = self.at_rest

    async def wind_down(self) -> None:
        """Leave nothing running, read what the session cost, archive it. Never raises Failed.

        Can be taken up again where it was cancelled, and tries for as long as it is let.
        """
        await self._feed.close()
        with suppress(Failed):
            if not self.at_rest:
                await self._stop()
            elif self._observer.totals is None:
                self._observer.totals = await self._session.totals_at_rest()
        await self._session.archive(may_run=not self.at_rest)
        self.archived = True

    def give_up(self) -> None:
        """End what is still on its way."""
        if self._saying is not None:
            self._saying.cancel()

    async def _follow(self) -> None:
        quiet = False
        while True:
            match next_step(self.state, quiet=quiet):
                case Done():
                    return
                case Halt(stop):
                    self.state = replace(self.state, stopped=stop)
                    return
                case Respond() as step:
                    await self._respond(step)
                case Wait(settling):
                    quiet = not await self._hear(SETTLE_S if settling else None)

    async def _respond(self, step: Respond) -> None:
        self.state = responded(self.state, step)
        for answer in step.answers:
            self._observer.tool(failed=answer.is_error)
        if step.accepted is None:
            await self._session.answer(step.answers)
        else:
            self._last_answers = step.answers

    def _decide(self) -> None:
        """From here on the wait is ours: a report that is in hand stays, whatever becomes of the session."""
        self.decided_ns = self._observer.clock()
        outcome = outcome_of(self.state)
        if outcome.output is not None:
            self._observer.accept(outcome)

    async def _drain(self) -> None:
        if self._last_answers:
            await self._session.answer(self._last_answers)
            while self.state.end is None:
                await self._hear()
        if self.state.end is not None:
            self._observer.totals = await self._session.totals_at_rest()

    async def _hear(self, timeout_s: float | None = None) -> bool:
        heard = await self._feed.next(timeout_s)
        before = self.state
        for event in heard.events:
            self._take(event, live=heard.live)
        if self.state is not before:
            self._feed.had_news()
        return bool(heard.events)

    def _take(self, event: Event, *, live: bool) -> None:
        before = self.state
        self.state = reduce(before, event)
        if self.state is not before:
            self._watch.note(event, live=live)

    async def _stop(self) -> None:
        await self._settle_message()
        if not self._interrupted:
            with suppress(Failed):
                await self._session.interrupt()
            self._interrupted = True
        totals = await self._session.totals_at_rest()
        history = await self._session.history()
        if not self.state.message_id:
            # The answer to our message got lost on the way; in a fresh session there is no other message.
            found = (event.get("id") for event in history if event.get("type") == "user.message")
            self.state = replace(self.state, message_id=str(next(found, "")))
        for event in history:
            self._take(event, live=False)
        self._observer.totals = totals

    async def _settle_message(self) -> None:
        if self._saying is None or self.state.message_id:
            return
        await asyncio.wait({self._saying})
        # A loop that ends has cancelled it too; the history says then whether it landed.
        if not self._saying.cancelled():
            with suppress(Failed):
                self.state = replace(self.state, message_id=self._saying.result())
