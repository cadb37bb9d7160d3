"""SIGKILL at every step, on PostgreSQL: accepted requests are rows, none twice, and every row reaches an end."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from crash_matrix import Cell, matrix
from crash_run import Programs, crash
from crash_states import again_and_again, make_old, statement_run
from database_servers import Place

_REFUSE_GROWTH = (
    """CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file: no space left' USING ERRCODE = 'disk_full'; END $$""",
    """CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON ai_outbound_logs
    FOR EACH ROW EXECUTE FUNCTION disk_is_full()""",
)


class PostgresqlBase:
    """One database of the server. Down: it takes no connection. Full: it answers as with a full disk of its own."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def migrated(self) -> str:
        return self._place.migrated()

    def old(self) -> str:
        url = self._place.bare()
        make_old(url)
        return url

    def down(self, url: str) -> contextlib.AbstractContextManager[object]:
        database = sa.make_url(url).database
        system = sa.make_url(url).set(database="postgres").render_as_string(hide_password=False)
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        allow = f"ALTER DATABASE {database} ALLOW_CONNECTIONS"
        return statement_run(system, [f"{allow} false", end], [f"{allow} true"])

    def slow(self, url: str) -> contextlib.AbstractContextManager[object]:
        hold = ["BEGIN", "LOCK TABLE ai_outbound_logs IN ACCESS EXCLUSIVE MODE"]
        return again_and_again(lambda: statement_run(url, hold, ["ROLLBACK"]))

    def full(self, url: str) -> contextlib.AbstractContextManager[object]:
        grow = ["DROP TRIGGER disk_is_full ON ai_outbound_logs", "DROP FUNCTION disk_is_full()"]
        return statement_run(url, list(_REFUSE_GROWTH), grow)


@pytest.fixture(scope="module")
def base(database_places: dict[str, Place]) -> PostgresqlBase:
    return PostgresqlBase(database_places["postgresql"])


@pytest.mark.parametrize("cell", matrix(int(os.environ.get("CRASH_MOMENTS", "2"))), ids=str)
def test_nothing_that_was_accepted_is_lost_or_doubled(
    cell: Cell, base: PostgresqlBase, programs: Programs, tmp_path: Path
) -> None:
    assert crash(cell, base, programs, tmp_path) == []
