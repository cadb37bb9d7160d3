"""Starting and stopping, configuration, time, and many runs at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from simulator_driving import FORMAT, QUESTION, SONNET, TOOLS, URL, Shop, bench, message, research, results

from dispatcher.errors import InvalidPolicy, InvalidSimulation, PortInUse
from dispatcher.simulator import Simulator, SimulatorConfig
from dispatcher.simulator.clock import SimulatedClock
from dispatcher.simulator.profiles import BUILT_IN, Profiles


def test_a_taken_port_is_told(simulation: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse, match=str(taken.getsockname()[1])):
            Simulator(simulation(), port=taken.getsockname()[1])


def test_two_simulators_share_no_port(simulation: Any, shared: Simulator) -> None:
    with pytest.raises(PortInUse):
        Simulator(simulation(), port=int(shared.base_url.rpartition(":")[2]))


def test_a_configuration_lists_all_that_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidSimulation) as caught:
        SimulatorConfig(
            repositories={"https://example.org/a/b": tmp_path, URL: tmp_path / "none"},
            time_scale=-1,
            prices=tmp_path / "prices.yml",
            profiles=tmp_path / "profiles.yml",
        )

    assert len(caught.value.problems) == 6


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), "1", None, True])
def test_a_time_scale_is_a_number(scale: Any, simulation: Any) -> None:
    with pytest.raises(InvalidSimulation):
        simulation(time_scale=scale)


def test_unreadable_files_are_told_before_anything_starts(simulation: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("schema: 1\nmodels: {x: 1}\n")
    with pytest.raises(InvalidSimulation, match="models"):
        Simulator(simulation(profiles=wrong))
    with pytest.raises(InvalidPolicy):
        Simulator(simulation(prices=wrong))


def test_every_priced_model_has_a_profile(shared: Simulator) -> None:
    prices, profiles = shared._world.ledger.prices, Profiles.load(BUILT_IN)

    assert set(prices.models) <= set(profiles.models)
    assert set(prices.aliases) <= set(profiles.aliases)


def test_it_says_that_it_is_the_simulator_without_a_credential(simulation: Any) -> None:
    with Simulator(simulation(time_scale=0.25)) as simulator:
        answer = httpx2.get(f"{simulator.base_url}/simulator")

    assert answer.json() == {"simulator": "dispatcher", "time_scale": 0.25}
    assert answer.headers["x-simulator-time-scale"] == "0.25"


def test_simulated_time_ends_cache_entries(simulation: Any, client_of: Any) -> None:
    now = [1000.0]
    clock = SimulatedClock(0, monotonic=lambda: now[0])
    system: Any = [{"type": "text", "text": "x" * 8000, "cache_control": {"type": "ephemeral"}}]
    request: dict[str, Any] = {
        "model": SONNET,
        "max_tokens": 9,
        "system": system,
        "messages": [{"role": "user", "content": "x"}],
    }
    with Simulator(simulation(), clock=clock) as simulator:
        client = client_of(simulator)
        reads = []
        for passed in (0, 299, 299, 301):
            now[0] += passed
            reads.append(client.messages.create(**request).usage.cache_read_input_tokens)
        other = client.with_options(api_key="another").messages.create(**request).usage

    assert reads == [0, reads[1], reads[1], 0]
    assert reads[1] > 2000
    assert other.cache_read_input_tokens == 0
    assert other.cache_creation.ephemeral_5m_input_tokens == reads[1]


def test_a_marked_conversation_is_cheaper_and_charged_as_told(simulator: Simulator, client_of: Any, shop: Shop) -> None:
    system: Any = [{"type": "text", "text": "You research code. " * 300}]
    plain, _ = research(client_of(simulator), shop, system=system)
    marked, _ = research(client_of(simulator), shop, system=system, cache_control={"type": "ephemeral"})
    usages = [reply.usage for reply in (*plain, *marked)]
    charged = simulator.ledger

    assert [entry.usage.input_tokens for entry in charged] == [usage.input_tokens for usage in usages]
    assert [entry.usage.output_tokens for entry in charged] == [usage.output_tokens for usage in usages]
    assert len({entry.request_id for entry in charged}) == len(charged)
    cost = [sum(e.cost_nanousd or 0 for e in part) for part in (charged[: len(plain)], charged[len(plain) :])]
    assert cost[1] < 0.7 * cost[0]


def test_a_client_that_goes_away_is_charged_for_what_was_written(simulation: Any, client_of: Any) -> None:
    with Simulator(simulation(time_scale=0.2)) as simulator:
        request: dict[str, Any] = {"model": SONNET, "max_tokens": 900, "messages": [{"role": "user", "content": "Hm?"}]}
        whole = client_of(simulator).messages.create(**request).usage.output_tokens
        with client_of(simulator).messages.stream(**request) as stream:
            next(event for event in stream if event.type == "content_block_delta")
        deadline = time.monotonic() + 5
        while len(simulator.ledger) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        left = simulator.ledger[1].usage.output_tokens

    assert left is not None
    assert 1 <= left < whole


async def one_run(client: anthropic.AsyncAnthropic, shop: Shop, number: int) -> str:
    """A run of either API; the ending it came to."""
    if number % 2:
        return await one_session(client, number)
    messages: list[Any] = [{"role": "user", "content": f"{QUESTION} ({number})"}]
    while True:
        request: Any = {"model": SONNET, "max_tokens": 4000, "tools": TOOLS, "output_config": FORMAT}
        async with client.messages.stream(messages=messages, **request) as stream:
            reply = await stream.get_final_message()
        if reply.stop_reason != "tool_use":
            assert shop.cites_existing_lines(json.loads(reply.content[0].text))  # type: ignore[union-attr]
            return str(reply.stop_reason)
        messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results(shop, reply)}]


async def one_session(client: anthropic.AsyncAnthropic, number: int) -> str:
    agent = next(iter((await client.beta.agents.list()).data))
    environment = next(iter((await client.beta.environments.list()).data))
    session = await client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
    async with await client.beta.sessions.events.stream(session.id) as stream:
        await client.beta.sessions.events.send(session.id, events=[message(f"{QUESTION} ({number})")])  # type: ignore[list-item]
        async for event in stream:
            if event.type == "session.status_idle":
                return event.stop_reason.type
    return "the stream ended"


async def test_many_runs_at_once_all_end(simulation: Any, client_of: Any, shop: Shop) -> None:
    with Simulator(simulation(time_scale=0.001)) as simulator:
        bench(client_of(simulator))
        async with anthropic.AsyncAnthropic(api_key="k", base_url=simulator.base_url, max_retries=0) as client:
            endings = await asyncio.gather(*(one_run(client, shop, number) for number in range(32)))
        running = simulator.running_sessions

    assert endings == ["end_turn", "requires_action"] * 16
    assert running == 0


def test_stopping_ends_sessions_and_streams(simulation: Any, client_of: Any, shop: Shop) -> None:
    simulator = Simulator(simulation(time_scale=1)).start()
    desk = bench(client_of(simulator))
    session_id = desk.session(shop)
    with desk.client.beta.sessions.events.stream(session_id=session_id) as stream:
        desk.send(session_id, message())
        assert simulator.running_sessions == 1
        start = time.monotonic()
        simulator.stop()
        simulator.stop()
        types = [event.type for event in stream]

    assert time.monotonic() - start < 3
    assert "session.status_idle" not in types
    assert simulator.running_sessions == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_blocking_run_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    prices = Path(__file__).parents[2] / "policies" / "prices.yml"
    program = (
        "import sys; from pathlib import Path\n"
        "from dispatcher.simulator import SimulatorConfig, run\n"
        f"run(SimulatorConfig(prices=Path({str(prices)!r})), 0, ready=lambda url: print(url, flush=True))\n"
        "print('stopped', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=prices.parents[1]
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx2.get(f"{url}/simulator").status_code == 200
        os.kill(process.pid, number)
        rest = process.stdout.read()

    assert rest == "stopped\n"
    assert process.returncode == 0


def test_timestamps_never_repeat() -> None:
    frozen = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    clock = SimulatedClock(1, wall=lambda: frozen)

    assert len({clock.timestamp() for _ in range(10)}) == 10


def test_a_charge_names_the_request_and_its_price(simulator: Simulator, client_of: Any) -> None:
    reply = client_of(simulator).messages.create(
        model=SONNET, max_tokens=99, messages=[{"role": "user", "content": "x" * 400}]
    )
    (entry,) = simulator.ledger

    assert (entry.api, entry.session_id, entry.request_id) == ("messages", None, reply._request_id)
    assert entry.cost_nanousd == 3000 * reply.usage.input_tokens + 15000 * reply.usage.output_tokens


def test_small_responses_leave_at_once(shared: Simulator) -> None:
    """A response held back for the acknowledgement of its first part would take 40 ms and more."""
    with httpx2.Client(base_url=shared.base_url, trust_env=False) as client:
        took = []
        for _ in range(15):
            start = time.monotonic()
            client.get("/simulator")
            took.append(time.monotonic() - start)

    assert statistics.median(took) < 0.03
