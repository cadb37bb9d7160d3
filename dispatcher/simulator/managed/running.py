"""Running time: it passes in simulated seconds, is billed, and ends early at an interrupt."""

from __future__ import annotations

from typing import Any, Literal

from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.world import World


class Interrupted(Exception):
    """The client sent `user.interrupt`."""


class Stopped(Exception):
    """The turn ends for a reason of its own; `reason` and `details` are what the idle event says of it."""

    def __init__(self, reason: dict[str, Any], details: dict[str, Any] | None = None) -> None:
        self.reason, self.details = reason, details
        super().__init__()


class Ended(Exception):
    """The session ends in the middle of its work: `terminated` or `deleted`."""

    def __init__(self, how: Literal["terminated", "deleted"]) -> None:
        self.how = how
        super().__init__()


async def pass_time(world: World, session: Session, seconds: float) -> None:
    """Let simulated running time pass; raises Interrupted as soon as the client interrupts."""
    session.meter.active_s += await world.clock.wait_unless(session.interrupted, max(0.0, seconds))
    if session.interrupted.is_set():
        raise Interrupted


def charge_running_time(world: World, session: Session) -> None:
    """Charge the running time since the last charge."""
    meter = session.meter
    elapsed = meter.active_ms - meter.charged_ms
    entry = world.ledger.charge_runtime(
        session.id, world.mint("req"), session.agent["model"]["id"], elapsed, charged_ms=meter.charged_ms
    )
    meter.cost_nanousd += entry.cost_nanousd or 0
    meter.charged_ms += elapsed


def spent_nanousd(world: World, session: Session) -> int:
    """The list cost so far, running time that isn't charged yet included, in 10⁻⁹ US dollars."""
    meter, cost = session.meter, world.ledger.prices.runtime_cost_nanousd
    return meter.cost_nanousd + cost(meter.active_ms) - cost(meter.charged_ms)
