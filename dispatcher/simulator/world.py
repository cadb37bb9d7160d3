"""Everything one simulator holds; two simulators share nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from dispatcher.prices import PriceTable
from dispatcher.simulator.clock import SimulatedClock
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.effects import Effect
from dispatcher.simulator.faults.plan import Plan
from dispatcher.simulator.identity import Mint, random_id
from dispatcher.simulator.inference import Inferences
from dispatcher.simulator.managed.checkout import Checkouts
from dispatcher.simulator.managed.store import Store
from dispatcher.simulator.metering.cache import PromptCache
from dispatcher.simulator.metering.ledger import Ledger
from dispatcher.simulator.profiles import Profiles

_GIT_THREADS = 4


@dataclass(slots=True)
class World:
    """The state of one simulator. Only its event loop changes it; ledger and effects may be read from other threads."""

    config: SimulatorConfig
    profiles: Profiles
    clock: SimulatedClock
    ledger: Ledger
    inferences: Inferences
    checkouts: Checkouts
    faults: Plan
    mint: Mint = random_id
    store: Store = field(default_factory=Store)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    effects: list[Effect] = field(default_factory=list)

    @classmethod
    def build(cls, config: SimulatorConfig, clock: SimulatedClock | None = None) -> World:
        """Read the profiles and prices that the configuration names. Raises InvalidSimulation or InvalidPolicy."""
        profiles = Profiles.load(config.profiles)
        return cls(
            config=config,
            profiles=profiles,
            clock=clock or SimulatedClock(config.time_scale),
            ledger=Ledger(PriceTable.load(config.prices)),
            inferences=Inferences(PromptCache(), config.seed, profiles.character),
            checkouts=Checkouts(config.repositories, ThreadPoolExecutor(_GIT_THREADS, "simulator-git")),
            faults=Plan(config.faults.rules),
        )

    def run_beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that outlives the request which caused it."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def close(self) -> None:
        """End every running session and every open stream."""
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for session in self.store.sessions.values():
            session.log.close()
        self.checkouts.close()
