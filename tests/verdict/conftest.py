"""A real SQLite file to write small worlds into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from verdict_worlds import World

from dispatcher.audit.engine import open_engine
from dispatcher.audit.tables import logs, registrations


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verdict") / "log.db"


@pytest.fixture(scope="session")
def shared_engine(database: Path) -> Iterator[sa.Engine]:
    """One engine for all tests: migrating, and compiling the statement anew, takes longer than most tests do."""
    engine = open_engine(f"sqlite:///{database}")
    yield engine
    engine.dispose()


@pytest.fixture
def engine(shared_engine: sa.Engine) -> sa.Engine:
    """The engine of an empty log."""
    with shared_engine.begin() as connection:
        for table in (logs, registrations):
            connection.execute(sa.delete(table))
    return shared_engine


@pytest.fixture
def world(engine: sa.Engine) -> World:
    return World(engine)
