"""One request against a fault: what the client saw, what was charged, and which faults happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
from simulator_driving import FORMAT, SONNET, TOOLS, Bench, bench, message

from dispatcher.simulator import LedgerEntry, Simulator
from dispatcher.simulator.faults import Fired, Rule

ASKED: dict[str, Any] = {
    "model": SONNET,
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "Where are flags evaluated?"}],
}
ANSWER = {**ASKED, "output_config": FORMAT}
SEARCH = {**ASKED, "tools": TOOLS}


@dataclass(frozen=True)
class Outcome:
    """What came of one call."""

    value: Any
    error: Exception | None
    charged: tuple[LedgerEntry, ...]
    fired: tuple[Fired, ...]

    @property
    def delivered(self) -> list[str]:
        """How much of each charged response the client was sent."""
        return [entry.delivered for entry in self.charged]


@dataclass(frozen=True)
class Stage:
    """A simulator whose faults are a test's own, and a client that never retries."""

    simulator: Simulator
    client: anthropic.Anthropic

    def meet(self, act: Callable[[], Any], *rules: Rule) -> Outcome:
        """Inject faults, act, and take back what is left of them."""
        charged, fired = len(self.simulator.ledger), len(self.simulator.faults_fired)
        value, error = None, None
        with self.injected(*rules):
            try:
                value = act()
            except Exception as caught:  # noqa: BLE001 - what the client sees is what is tested
                error = caught
        ledger, happened = self.simulator.ledger, self.simulator.faults_fired
        return Outcome(value, error, tuple(ledger[charged:]), tuple(happened[fired:]))

    @contextmanager
    def injected(self, *rules: Rule) -> Iterator[None]:
        """These faults are in force inside the block."""
        self.simulator.inject(*rules)
        try:
            yield
        finally:
            self.simulator.clear_faults()

    def create(self, **options: Any) -> Any:
        return self.client.messages.create(**{**ASKED, **options})

    def stream(self, **options: Any) -> Any:
        """The final message of a stream."""
        with self.client.messages.stream(**{**ASKED, **options}) as stream:
            return stream.get_final_message()

    def raw(self, **options: Any) -> list[Any]:
        """The events of a stream, as they come."""
        return list(self.client.messages.create(**{**ASKED, **options}, stream=True))

    def desk(self) -> Bench:
        return bench(self.client)

    def runtime(self, outcome: Outcome) -> int:
        """The running time that was charged, in simulated milliseconds."""
        return sum(entry.active_ms for entry in outcome.charged)


def fault_names(outcome: Outcome) -> list[str]:
    return [one.fault.name for one in outcome.fired]


def kinds(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def asks(text: str = "Where are feature flags evaluated?") -> dict[str, Any]:
    return message(text)
