"""Simulated time: every wait comes from the profiles, scaled once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from simulator_driving import HAIKU, SONNET, Shop, bench, message, research

from dispatcher.simulator import Simulator
from dispatcher.simulator.clock import SimulatedClock
from dispatcher.simulator.profiles import BUILT_IN

QUESTIONS = [f"Where are feature flags evaluated for {what}?" for what in ("tenants", "the invoice", "pay", "tests")]


class RecordingClock(SimulatedClock):
    """Waits for nothing and remembers what it was asked to wait for."""

    def __init__(self) -> None:
        super().__init__(0)
        self.waits: list[float] = []
        self.dues: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def paced(self, parts: Iterable[tuple[float, Any]]) -> AsyncIterator[Any]:
        for due, part in parts:
            self.dues.append(due)
            yield part


HM: dict[str, Any] = {"model": SONNET, "max_tokens": 900, "messages": [{"role": "user", "content": "Hm?"}]}


def test_a_request_takes_its_profiles_time(simulation: Any, client_of: Any, tmp_path: Path) -> None:
    plain = "{request_ms: 1000, per_1k_uncached_input_ms: 100, per_output_token_ms: 10, spread: 0}"
    lines = [f"    latency: {plain}" if "latency:" in line else line for line in BUILT_IN.read_text().splitlines()]
    profiles, clock = tmp_path / "profiles.yml", RecordingClock()
    profiles.write_text("\n".join(lines))
    with Simulator(simulation(profiles=profiles), clock=clock) as simulator:
        usage = client_of(simulator).messages.create(**HM).usage
        with client_of(simulator).messages.stream(**HM) as stream:
            stream.until_done()

    first, generation, streamed_first = clock.waits
    assert first == streamed_first == pytest.approx(1 + 0.1 * usage.input_tokens / 1000)
    assert generation == pytest.approx(0.01 * usage.output_tokens)
    assert clock.dues == sorted(set(clock.dues))
    assert 0.7 * generation < clock.dues[-1] < generation


def test_a_tenth_of_the_time_takes_a_tenth(simulation: Any, client_of: Any) -> None:
    clock = RecordingClock()
    with Simulator(simulation(), clock=clock) as counting:
        client_of(counting).messages.create(**HM)
    with Simulator(simulation(time_scale=0.1)) as simulator:
        start = time.monotonic()
        client_of(simulator).messages.create(**HM)
        took = time.monotonic() - start

    # A busy machine makes it later, never earlier.
    assert took >= 0.1 * sum(clock.waits)


def test_a_run_of_todays_loop_takes_about_as_long_as_in_production(simulation: Any, client_of: Any, shop: Shop) -> None:
    """The published median is 18.7 s, the longest 32.2 s."""
    took = []
    for seed, question in enumerate(QUESTIONS):
        clock = RecordingClock()
        with Simulator(simulation(seed=seed), clock=clock) as simulator:
            replies, _ = research(client_of(simulator), shop, question)
            generated = [entry.usage.output_tokens or 0 for entry in simulator.ledger]
        took.append(sum(clock.waits) + 0.019 * sum(generated))
        assert 3 <= len(replies) <= 8

    assert 10 < sum(took) / len(took) < 28
    assert max(took) < 40


@pytest.mark.parametrize(("model", "seconds"), [(SONNET, 7.64), (HAIKU, 6.58)])
def test_a_managed_run_takes_the_measured_time_for_each_of_its_requests(
    client_of: Any, shared: Simulator, shop: Shop, model: str, seconds: float
) -> None:
    desk = bench(client_of(shared), model=model)
    active = requests = 0.0
    for question in QUESTIONS:
        session_id = desk.session(shop)
        events = desk.until_idle(session_id, message(question))
        requests += sum(event.type == "span.model_request_end" for event in events)
        active += events[-2].usage.active_seconds - 6.5

    assert active / requests == pytest.approx(seconds, rel=0.25)


def test_a_silent_stream_is_kept_alive(simulation: Any, client_of: Any, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.yml"
    profiles.write_text(BUILT_IN.read_text().replace("keepalive_seconds: 15", "keepalive_seconds: 0.05"))
    with Simulator(simulation(profiles=profiles)) as simulator:
        desk = bench(client_of(simulator))
        url = f"{simulator.base_url}/v1/sessions/{desk.session()}/events/stream"
        headers = {"x-api-key": "k", "anthropic-beta": "managed-agents-2026-04-01"}
        with httpx2.stream("GET", url, headers=headers, trust_env=False) as response:
            first = next(response.iter_text())

    assert response.headers["content-type"].startswith("text/event-stream")
    assert first == ": keepalive\n\n"
