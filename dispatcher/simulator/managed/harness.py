"""The harness: runs a session's agent from a user message to the next time it is idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatcher.simulator.managed.budget import budget_view
from dispatcher.simulator.managed.inbox import message_blocks
from dispatcher.simulator.managed.model_call import call_model
from dispatcher.simulator.managed.mounting import start_container
from dispatcher.simulator.managed.running import Interrupted, charge_running_time, spent_nanousd
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
                try:
                    stop = await self._turn()
                except Interrupted:
                    stop = END_TURN
                if session.interrupts:
                    stop = self._interrupted()
                self._go_idle(stop)
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
        session.log.emit("session.thread_status_running", **self._thread())
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
        """A built-in call that the client denied has its result without having run."""
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

    def _go_idle(self, stop: StopReason) -> None:
        session, clock = self.session, self.world.clock
        charge_running_time(self.world, session)
        session.is_running = False
        session.updated_at = clock.timestamp()
        session.says_running_until = clock.real_seconds() + self.world.profiles.harness.status_lag_ms / 1000
        self._announce_idle(stop)

    def _announce_idle(self, stop: StopReason) -> None:
        log, budget = self.session.log, budget_view(self.session.budget_cents)
        log.emit("session.thread_status_idle", stop_reason=stop, stop_details=None, **self._thread())
        log.emit("session.usage", usage=self.session.meter.view(), budget=budget)
        log.emit("session.status_idle", stop_reason=stop, stop_details=None)

    def _requires_action(self) -> StopReason:
        return {"type": "requires_action", "event_ids": [call.event_id for call in self.session.awaited]}

    def _thread(self) -> dict[str, Any]:
        return {"session_thread_id": self.session.thread_id, "agent_name": self.session.agent["name"]}
