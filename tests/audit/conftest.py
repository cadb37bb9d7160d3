from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from crash_run import Programs

from dispatcher.audit.engine import open_engine

pytest.register_assert_rewrite(
    *("assignment_contract", "budget_contract", "claim_contract"),
    *("flag_change_contract", "kept_contract", "log_contract", "spool_contract"),
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the test's SQLite file is, or will be."""
    return tmp_path / "log" / "dispatcher.db"


@pytest.fixture
def engine(database: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{database}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    with Programs() as programs:
        yield programs
