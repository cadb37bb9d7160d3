"""One real Unleash for the tests of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_unleash import UnleashServer, why_absent


@pytest.fixture(scope="session")
def running_unleash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnleashServer]:
    """A real Unleash on a free port, one for a whole run."""
    absent = why_absent()
    if absent and os.environ.get("CI"):
        pytest.fail(absent)
    if absent:
        pytest.skip(absent)
    folder: Path = tmp_path_factory.mktemp("unleash")
    server = UnleashServer(folder)
    yield server
    server.stop()


@pytest.fixture
def unleash(running_unleash: UnleashServer) -> UnleashServer:
    """A real Unleash that runs and whose flags say what policies/flags.json says, whatever the test before did."""
    running_unleash.restore()
    return running_unleash
