"""Interrupts that are obeyed later than they arrive, where a fault says so."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.simulator.faults.plan import Due
from dispatcher.simulator.faults.runs import IgnoredInterrupt, SlowInterrupt
from dispatcher.simulator.managed.harness import wake
from dispatcher.simulator.managed.session import Session, Unheard
from dispatcher.simulator.world import World


def defer_interrupts(world: World, session: Session, event_ids: Sequence[str], due: Due) -> None:
    """Take interrupts that have just arrived out of the agent's sight until the fault is over."""
    due.happened()
    session.interrupts = [one for one in session.interrupts if one not in event_ids]
    if isinstance(due.fault, IgnoredInterrupt):
        session.unheard += [Unheard(one, due.fault.requests) for one in event_ids]
    elif isinstance(due.fault, SlowInterrupt):
        world.run_beside(_hear_later(world, session, event_ids, due.fault.seconds))


async def _hear_later(world: World, session: Session, event_ids: Sequence[str], seconds: float) -> None:
    await world.clock.wait(seconds)
    if not session.is_over:
        session.interrupts += event_ids
        wake(world, session)
