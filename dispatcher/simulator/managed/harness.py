"""The harness: runs a session's agent from a user message to the next time it is idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatcher.simulator.managed.budget import budget_view
from dispatcher.simulator.managed.inbox import message_blocks
from dispatcher.simulator.managed.mishaps import at_idle
from dispatcher.simulator.managed.model_call import call_model
from dispatcher.simulator.managed.mounting import start_container
from dispatcher.simulator.managed.running import Ended, Interrupted, Stopped, charge_running_time, spent_nanousd
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.managed.tool_calls import emit_result, give_up_calls, hand_over_results, run_allowed_calls
from dispatcher.simulator.world import World

StopReason = dict[str, Any]
END_TURN: StopReason = {"type": "end_turn"}
BUDGET_REACHED: StopReason = {"type": "budget_reached"}


def wake(world: World, session: Session) -> None:
    """Let the agent go on where it can: after a message, a result, a confirmation, an interrupt, a raised budget."""
    harness = Harness(world, session)
    if session.is_running:
        if session.interrupts:
            session.interrupted.set()
        return
    if session.interrupts:
        harness.interrupt_idle()
    if session.budget_reached:
        return
    if session.awaited:
        harness.still_waiting()
    elif session.waiting or session.open_calls or session.resumes:
        session.is_running = True
        world.run_beside(harness.run())


@dataclass(frozen=True, slots=True)
class Harness:
    """One session being run."""

    world: World
    session: Session

    async def run(self) -> None:
        """Work until nothing is left to do; every stop is announced."""
        session = self.session
        try:
            while True:
                details = None
                try:
                    stop = await self._turn()
                except Interrupted:
                    stop = END_TURN
                except Stopped as stopped:
                    stop, details = stopped.reason, stopped.details
                except Ended as ended:
                    self._end(ended)
                    return
                if session.interrupts:
                    stop, details = self._interrupted(), None
                self._go_idle(stop, details)
                if stop is not END_TURN or not session.waiting:
                    return
                session.is_running = True
        finally:
            session.is_running = False

    def still_waiting(self) -> None:
        """Some results arrived, not all: say again which are missing."""
        self._announce_idle(self._requires_action())

    def interrupt_idle(self) -> None:
        """An interrupt without work gives up the calls that wait for the client; at a reached budget it is ignored."""
        gives_up = bool(self.session.open_calls) and not self.session.budget_reached
        self._take_interrupts()
        if gives_up:
            give_up_calls(self.session)
            self._announce_idle(END_TURN)

    async def _turn(self) -> StopReason:
        session = self.session
        self._take_message()
        session.log.emit("session.status_running")
        session.log.emit("session.thread_status_running", **session.thread_facts)
        if session.container is None:
            await start_container(self.world, session)
        while True:
            self._emit_denials()
            await run_allowed_calls(self.world, session)
            if session.awaited:
                return self._requires_action()
            hand_over_results(session)
            if self._budget_is_spent():
                session.budget_reached = True
                return BUDGET_REACHED
            if not await call_model(self.world, session):
                return END_TURN

    def _take_message(self) -> None:
        """The next waiting message becomes the turn's; a turn that goes on takes none."""
        session = self.session
        goes_on = bool(session.open_calls) or session.resumes
        session.resumes = False
        if not goes_on and session.waiting:
            echo = session.waiting.popleft()
            session.log.mark_processed(echo["id"])
            session.transcript.append({"role": "user", "content": message_blocks(echo)})

    def _emit_denials(self) -> None:
        """A built-in call that was denied, by the client or as not switched on, has its result without having run."""
        for call in self.session.open_calls:
            if call.is_denied:
                call.is_denied = False
                emit_result(self.session, call)

    def _budget_is_spent(self) -> bool:
        limit = self.session.budget_nanousd
        return limit is not None and spent_nanousd(self.world, self.session) >= limit

    def _interrupted(self) -> StopReason:
        self._take_interrupts()
        give_up_calls(self.session)
        return END_TURN

    def _take_interrupts(self) -> None:
        for event_id in self.session.interrupts:
            self.session.log.mark_processed(event_id)
        self.session.interrupts.clear()
        self.session.interrupted.clear()

    def _go_idle(self, stop: StopReason, details: dict[str, Any] | None) -> None:
        session, clock = self.session, self.world.clock
        charge_running_time(self.world, session)
        for interrupt in session.unheard:
            session.log.mark_processed(interrupt.event_id)
        session.unheard.clear()
        session.is_running = False
        session.updated_at = clock.timestamp()
        session.says_running_until = clock.real_seconds() + self.world.profiles.harness.status_lag_ms / 1000
        self._announce_idle(stop, details)

    def _announce_idle(self, stop: StopReason, details: dict[str, Any] | None = None) -> None:
        session = self.session
        log, late = session.log, at_idle(self.world, session)
        usage: dict[str, Any] = {"usage": session.meter.view(), "budget": budget_view(session.budget_cents)}
        log.emit("session.thread_status_idle", stop_reason=stop, stop_details=details, **session.thread_facts)
        if not late:
            log.emit("session.usage", **usage)
        log.emit("session.status_idle", stop_reason=stop, stop_details=details)
        session.tell_untold()
        if late:
            log.emit("session.usage", **usage)

    def _end(self, ended: Ended) -> None:
        """The session is over at once: what it ran is charged, nobody is waited for any more."""
        session, log = self.session, self.session.log
        charge_running_time(self.world, session)
        session.is_running, session.is_terminated = False, True
        session.ended_simulated_s = self.world.clock.simulated_seconds()
        session.updated_at = self.world.clock.timestamp()
        session.flush_waiting()
        session.open_calls.clear()
        session.tell_untold()
        if ended.how == "terminated":
            log.emit("session.thread_status_terminated", **session.thread_facts)
            log.emit("session.status_terminated")
        else:
            self.world.store.sessions.pop(session.id, None)
            log.emit("session.deleted")
            log.close()

    def _requires_action(self) -> StopReason:
        return {"type": "requires_action", "event_ids": [call.event_id for call in self.session.awaited]}
