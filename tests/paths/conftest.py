from __future__ import annotations

from collections.abc import Iterator

import managed_world
import pytest
from paths_world import make_repository

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.simulator.server import Simulator


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A small repository at its one commit; tests only read it."""
    root = tmp_path_factory.mktemp("checkout")
    make_repository(
        root,
        {
            "retry.py": "LIMIT = 3\n\n\ndef retry():\n    return LIMIT\n",
            "docs/guide.md": "# Guide\n\nThe retry limit is LIMIT.\n",
            "src/app/main.py": "from retry import retry\n\nretry()\n",
        },
    )
    return resolve(Repository(path=root))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The repository of the managed path's tests, at its one commit."""
    return managed_world.make_repository(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def simulator(shop: Checkout) -> Iterator[Simulator]:
    """Slow enough for something to happen while a session runs."""
    with managed_world.simulating(shop, time_scale=0.02) as running:
        yield running
