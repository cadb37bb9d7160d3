"""One message to a session and everything that follows, until the turn has its result, ends, or is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from dispatcher.action.event import CapReached
from dispatcher.action.observation import EndedBy
from dispatcher.paths.managed.ending import outcome_of
from dispatcher.paths.managed.events import End, Stop
from dispatcher.paths.managed.feed import SessionFeed
from dispatcher.paths.managed.saying import Saying
from dispatcher.paths.managed.sending import Sending
from dispatcher.paths.managed.session import Failed, RemoteSession
from dispatcher.paths.managed.so_far import Before, TurnSoFar
from dispatcher.paths.managed.steps import Answer, Confirmation, Done, Halt, Respond, Wait, next_step, responded
from dispatcher.paths.managed.stopping import STOP_S, stop
from dispatcher.paths.observation import Observer
from dispatcher.paths.path import Job, Outcome
from dispatcher.paths.wire import word

DRAIN_S = 2.0
"""The caller's longest wait once the outcome is certain: until the session is idle and counted, or was stopped."""

_STOPPING_S = 0.5
_LOOK_S = 1.0

SETTLE_S = 0.1
"""How long nothing must arrive before a reply counts as announced in full; see `session_steps`."""

_CAPS: Mapping[Stop, EndedBy] = {Stop(cap): cap for cap in EndedBy if cap.endswith("_cap")}


class SessionTurn:
    """A turn of a session, its first or a later one.

    `decided_ns` is when the outcome was certain, and `ended_in_order` says that the turn ended by itself and nothing is
    left to do but to put the session away, or to keep it.
    """

    def __init__(
        self, session: RemoteSession, observer: Observer, job: Job, *, text: str, before: Before, silence_s: float
    ) -> None:
        self.decided_ns: int | None = None
        self.ended_in_order = False
        self.archived = False
        self._so_far = TurnSoFar(session, observer, job, before)
        self._sending = Sending.of(job, observer)
        self._feed = SessionFeed(session, silence_s)
        self._saying = Saying(session, text, before.message_ids)
        self._knows_mount = bool(before.message_ids)
        self._looked_for: tuple[str, ...] = ()
        self._last_answers: tuple[Answer | Confirmation, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """How the turn ended, once it has its result, has ended, or is to be stopped."""
        return outcome_of(self._so_far.state)

    @property
    def untouched(self) -> bool:
        """Whether nothing was said in the session, so that it is as it was."""
        return not self._saying.may_have_landed

    @property
    def at_rest(self) -> bool:
        """Whether nothing can run in the session: nothing was said, or the turn ended by itself."""
        return self.untouched or self._so_far.state.end is not None

    @property
    def can_be_followed(self) -> bool:
        """Whether another turn may go on in the session: this one was answered, and nothing is left of it."""
        state = self._so_far.state
        return state.end is End.IDLE and state.stop_reason == "end_turn" and self.outcome.output is not None

    @property
    def stops_within_s(self) -> float:
        """How long the caller waits for a session that is stopped: what is left after the report was accepted."""
        accepted, decided_ns = self._so_far.observer.accepted, self.decided_ns
        if accepted is None or decided_ns is None:
            return STOP_S
        return max(_STOPPING_S, DRAIN_S - (self._so_far.observer.clock() - decided_ns) / 1e9)

    async def ask(self) -> None:
        """Say the message, once. Raises Failed. The stream is opened first, because it doesn't replay."""
        await self._sending(self._feed.open)
        with suppress(Failed, TimeoutError):
            # Tried once and for a moment, because the caller waits; `follow` makes sure of it.
            async with asyncio.timeout(_LOOK_S):
                await self._look_at_mount()
        message_id = await self._sending(self._saying.once, self._saying.landed)
        self._so_far.state = replace(self._so_far.state, message_id=message_id)

    async def follow(self) -> None:
        """Follow what happens, and read what the turn cost where it ended by itself. Raises Failed."""
        await self._follow()
        if self._so_far.state.accepted is None and self.outcome.output is not None:
            # An interrupted turn says `end_turn` too, and no stream is known to deliver every event.
            await self._sending(self._so_far.catch_up)
        elif self.outcome.output is not None:
            await self._sending(self._look_at_mount)
        self._decide()
        with suppress(Failed, TimeoutError):
            async with asyncio.timeout(DRAIN_S - _STOPPING_S):
                await self._drain()
        await self._feed.close()
        self.ended_in_order = self.at_rest

    async def wind_down(self, *, archives: bool) -> None:
        """Leave nothing running, read what the turn cost, and archive the session where asked. Never raises Failed.

        Can be taken up again where it was cancelled, and tries for as long as it is let.
        """
        await self._feed.close()
        with suppress(Failed):
            if not self.at_rest:
                await stop(self._so_far, self._saying)
            elif self._so_far.observer.totals is None:
                await self._so_far.count()
        if archives:
            await self._so_far.session.archive(may_run=not self.at_rest)
            self.archived = True

    def give_up(self) -> None:
        """Wait no longer for what is still on its way."""
        self._saying.give_up()

    async def disconnect(self) -> None:
        """Close the stream; what runs in the session runs on."""
        await self._feed.close()

    async def _look_at_mount(self) -> None:
        """Learn, once, what became of the repository before the stream was open. Raises Failed."""
        if not self._knows_mount:
            await self._so_far.look_for_mount_errors()
            self._knows_mount = True

    async def _follow(self) -> None:
        quiet = False
        while True:
            match next_step(self._so_far.state, self._so_far.watch.spent, quiet=quiet):
                case Done():
                    return
                case Halt(Stop.UNKNOWN_ACTION) if self._looked_for != self._so_far.state.required:
                    # What it waits for may be among what the stream didn't deliver.
                    self._looked_for = self._so_far.state.required
                    await self._sending(self._so_far.catch_up)
                case Halt(reason):
                    self._tell_cap(_CAPS.get(reason))
                    self._so_far.state = replace(self._so_far.state, stopped=reason)
                    return
                case Respond() as step:
                    await self._respond(step)
                case Wait(settling):
                    quiet = not await self._hear(SETTLE_S if settling else None)

    async def _respond(self, step: Respond) -> None:
        observer = self._so_far.observer
        self._tell_cap(step.capped)
        self._so_far.state = responded(self._so_far.state, step)
        for answer in step.answers:
            if isinstance(answer, Answer):
                observer.tool(word(answer.name), failed=answer.is_error)
            elif answer.deny_message is not None:
                self._so_far.watch.deny(answer.use_id)
        if step.corrects:
            observer.repair()
        if step.accepted is None:
            await self._answer(step.answers)
        else:
            self._last_answers = step.answers

    def _tell_cap(self, cap: EndedBy | None) -> None:
        if cap is not None and self._so_far.state.capped is None:
            self._so_far.observer.tell(CapReached(ended_by=cap))

    async def _answer(self, answers: tuple[Answer | Confirmation, ...]) -> None:
        async def send() -> bool:
            await self._so_far.session.answer(answers)
            return True

        async def landed() -> bool | None:
            await self._so_far.catch_up()
            return True if self._so_far.state.told >= {answer.use_id for answer in answers} else None

        await self._sending(send, landed)

    def _decide(self) -> None:
        """From here on the wait is ours: a report that is in hand stays, whatever becomes of the session."""
        observer, outcome = self._so_far.observer, self.outcome
        self.decided_ns = observer.clock()
        if outcome.output is not None:
            observer.accept(outcome)

    async def _drain(self) -> None:
        if self._last_answers:
            await self._answer(self._last_answers)
            # Whatever else it may ask for now, nobody will answer.
            while self._so_far.state.end is None and not self._so_far.state.unanswered:
                await self._hear()
        if self._so_far.state.end is not None:
            await self._sending(self._so_far.count)
            while self._so_far.watch.awaits_usage:
                await self._hear()

    async def _hear(self, timeout_s: float | None = None) -> bool:
        heard, so_far = await self._feed.next(timeout_s), self._so_far
        if so_far.take(heard.events, live=True) if heard.live else so_far.take_history(heard.events):
            self._feed.had_news()
        return bool(heard.events)
