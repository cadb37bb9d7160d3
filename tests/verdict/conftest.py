"""A real SQLite file to write small worlds into."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from verdict_worlds import World

from dispatcher.audit.engine import connect, open_engine


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty log; copied for each test, since migrating takes longer than most tests do."""
    path = tmp_path_factory.mktemp("migrated") / "log.db"
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated, tmp_path / "log.db"))


@pytest.fixture
def engine(database: Path) -> Iterator[sa.Engine]:
    engine = connect(f"sqlite:///{database}")
    yield engine
    engine.dispose()


@pytest.fixture
def world(engine: sa.Engine) -> World:
    return World(engine)
