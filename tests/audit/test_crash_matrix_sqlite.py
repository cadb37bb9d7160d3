"""SIGKILL at every step, on SQLite: accepted requests are rows, none twice, and every row reaches an end."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from crash_matrix import Cell, matrix
from crash_run import Programs, crash
from crash_states import again_and_again, make_old, statement_run

from dispatcher.audit.engine import open_engine


class SqliteBase:
    """Files that are copied from a template for each run. Down: another program holds the lock, and nobody waits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0
        open_engine(f"sqlite:///{folder}/new.db").dispose()
        make_old(f"sqlite:///{folder}/old.db")

    def migrated(self) -> str:
        return self._copy("new.db")

    def old(self) -> str:
        return self._copy("old.db")

    def down(self, url: str) -> contextlib.AbstractContextManager[object]:
        return statement_run(url, ["BEGIN IMMEDIATE"], ["ROLLBACK"])

    def slow(self, url: str) -> contextlib.AbstractContextManager[object]:
        return again_and_again(lambda: self.down(url))

    def full(self, url: str) -> contextlib.AbstractContextManager[object]:
        """The programs' own limit on the size of a file is on the database's, too."""
        return contextlib.nullcontext(url)

    def _copy(self, name: str) -> str:
        self._runs += 1
        made = self._folder / f"{self._runs}.db"
        shutil.copy(self._folder / name, made)
        return f"sqlite:///{made}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SqliteBase:
    return SqliteBase(tmp_path_factory.mktemp("crash"))


@pytest.mark.parametrize("cell", matrix(int(os.environ.get("CRASH_MOMENTS", "2"))), ids=str)
def test_nothing_that_was_accepted_is_lost_or_doubled(
    cell: Cell, base: SqliteBase, programs: Programs, tmp_path: Path
) -> None:
    assert crash(cell, base, programs, tmp_path) == []
