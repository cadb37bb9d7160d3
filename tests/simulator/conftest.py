"""A small repository, and simulators that never wait unless a test asks them to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from fault_driving import Stage
from simulator_driving import URL, Shop, make_shop

from dispatcher.simulator import Simulator, SimulatorConfig

PRICES = Path(__file__).parents[2] / "policies" / "prices.yml"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def simulation(shop: Shop) -> Any:
    """Makes a configuration over the shop."""

    def configured(**options: Any) -> SimulatorConfig:
        return SimulatorConfig(**{"repositories": {URL: shop.path}, "time_scale": 0, "prices": PRICES, **options})

    return configured


@pytest.fixture(scope="session")
def shared(simulation: Any) -> Iterator[Simulator]:
    """One simulator for all tests that don't look at what it charged."""
    with Simulator(simulation()) as simulator:
        yield simulator


@pytest.fixture
def simulator(simulation: Any) -> Iterator[Simulator]:
    """A simulator of the test's own."""
    with Simulator(simulation()) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def template() -> Iterator[anthropic.Anthropic]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        with anthropic.Anthropic(api_key="key-1", base_url="http://127.0.0.1:1", max_retries=0, timeout=10) as client:
            yield client


@pytest.fixture
def client_of(template: anthropic.Anthropic) -> Any:
    """Makes a client of a simulator; all share one pool of connections."""
    return lambda simulator, **options: template.with_options(base_url=simulator.base_url, **options)


@pytest.fixture
def client(client_of: Any, shared: Simulator) -> anthropic.Anthropic:
    """A client of the shared simulator."""
    return client_of(shared)


@pytest.fixture(scope="session")
def _faulty(simulation: Any) -> Iterator[Simulator]:
    with Simulator(simulation()) as simulator:
        yield simulator


@pytest.fixture
def stage(client_of: Any, _faulty: Simulator) -> Iterator[Stage]:
    """A simulator on which faults are injected; none outlives its test."""
    yield Stage(_faulty, client_of(_faulty, timeout=10))
    _faulty.clear_faults()


@pytest.fixture(scope="module")
def slow(simulation: Any) -> Iterator[Simulator]:
    """A simulator slow enough to be caught at work, on a busy machine too: a model request takes some 80 ms."""
    with Simulator(simulation(time_scale=0.02)) as simulator:
        yield simulator


@pytest.fixture
def slow_stage(slow: Simulator, client_of: Any) -> Iterator[Stage]:
    yield Stage(slow, client_of(slow))
    slow.clear_faults()
