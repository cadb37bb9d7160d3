"""Real databases to write small worlds into: a SQLite file, and where a test asks for it a PostgreSQL and a MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from verdict_worlds import World

from dispatcher.audit.append_only import allow_deletes
from dispatcher.audit.engine import open_engine
from dispatcher.audit.tables import metadata

if TYPE_CHECKING:
    from database_servers import Place


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verdict") / "log.db"


@pytest.fixture(scope="session")
def shared_engine(database: Path) -> Iterator[sa.Engine]:
    """One engine for all tests: migrating, and compiling the statement anew, takes longer than most tests do."""
    engine = open_engine(f"sqlite:///{database}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def server_engines() -> Iterator[dict[str, sa.Engine]]:
    """The engines of the servers, by URL: each is opened once, for the same reason."""
    engines: dict[str, sa.Engine] = {}
    yield engines
    for engine in engines.values():
        engine.dispose()


@pytest.fixture
def engine(shared_engine: sa.Engine) -> sa.Engine:
    """The engine of an empty log."""
    with shared_engine.connect() as connection, allow_deletes(connection):
        for table in metadata.tables.values():
            connection.execute(sa.delete(table))
    return shared_engine


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_engine(request: pytest.FixtureRequest, server_engines: dict[str, sa.Engine]) -> sa.Engine:
    """The engine of an empty log on every kind of database in turn."""
    if request.param == "sqlite":
        sqlite: sa.Engine = request.getfixturevalue("engine")
        return sqlite
    places: dict[str, Place] = request.getfixturevalue("database_places")
    url = places[request.param].migrated()
    if url not in server_engines:
        server_engines[url] = open_engine(url)
    return server_engines[url]


@pytest.fixture
def world(engine: sa.Engine) -> World:
    return World(engine)


@pytest.fixture
def world_of_its_own(tmp_path: Path) -> Iterator[World]:
    """A log whose past a test may change, which takes its triggers away."""
    engine = open_engine(f"sqlite:///{tmp_path}/its-own.db")
    yield World(engine)
    engine.dispose()


@pytest.fixture
def any_world(any_engine: sa.Engine) -> World:
    return World(any_engine)
