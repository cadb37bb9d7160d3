"""The crash matrix sees what it is there to see: each broken promise is found."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_matrix import Cell
from crash_run import Programs, crash
from open_rows import left_open
from test_crash_matrix_sqlite import SqliteBase

from dispatcher.audit.engine import connect
from dispatcher.audit.record import new_log_id


class Meddling(SqliteBase):
    """What happens to the database, or to the spool beside it, between the crash and the look at what is left."""

    def __init__(self, folder: Path, meddle: Callable[[str], object]) -> None:
        super().__init__(folder)
        self._meddle = meddle

    @contextlib.contextmanager
    def down(self, url: str):  # type: ignore[no-untyped-def,override]
        with super().down(url):
            yield
        self._meddle(url)


def lose_the_spool(folder: Path) -> None:
    shutil.rmtree(folder / "run" / "spool")


def another_row(url: str) -> None:
    """More of them than could have been under way."""
    engine = connect(url)
    for _ in range(12):
        left_open(engine, log_id=new_log_id())
    engine.dispose()


@pytest.mark.parametrize(
    ("meddle", "words"),
    [
        (lambda folder, _url: lose_the_spool(folder), "neither a row nor in a gap"),
        (lambda _, url: another_row(url), "rows"),
    ],
    ids=["lost", "invented"],
)
def test_what_is_lost_or_invented_is_found(meddle: Callable[[Path, str], None], words: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    base = Meddling(tmp_path / "base", lambda url: meddle(tmp_path, url))
    cell = Cell(step="before close", state="down", processes=1, nth=4)
    with Programs() as programs:
        problems = crash(cell, base, programs, tmp_path / "run")
    assert any(words in problem for problem in problems)


def test_a_program_that_never_comes_to_its_step_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    cell = Cell(step="before close", state="up", processes=1, nth=1000)
    with Programs() as programs:
        assert crash(cell, SqliteBase(tmp_path / "base"), programs, tmp_path / "run") == ["the programs ended with [0]"]
