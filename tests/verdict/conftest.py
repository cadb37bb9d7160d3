"""Small worlds: rows written through the real tables into a real SQLite file, and a record to judge them by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from worlds import World

from dispatcher.audit.engine import open_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/log.db")
    yield engine
    engine.dispose()


@pytest.fixture
def world(engine: sa.Engine) -> World:
    return World(engine)
