"""The log lives in another application's table, and neither of the two is in the other's way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import laravel_table
import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from claim_contract import HASH, keyed
from laravel_table import INSERT, theirs

from dispatcher.audit import migrate
from dispatcher.audit.engine import connect, migrate_database, open_engine, pending_migration
from dispatcher.audit.log import Log
from dispatcher.audit.record import Room
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.tables import calls, logs
from dispatcher.audit.trouble import named
from dispatcher.errors import ConversationBusy, InvalidAdoption, SourceUnreachable

PRODUCTION_QUERY = (
    "SELECT response_time_ms, input_tokens, output_tokens FROM ai_outbound_logs "
    "WHERE feature='agent_research' AND status='success' AND created_at >= '2026-04-01 00:00:00'"
)


@pytest.fixture
def other(any_bare_url: str) -> Iterator[sa.Engine]:
    """The database of the other application."""
    engine = connect(any_bare_url)
    laravel_table.make(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def adopted(other: sa.Engine, any_bare_url: str) -> sa.Engine:
    """The database, when the log is kept in it."""
    assert migrate_database(any_bare_url, adopt=True) is None
    return other


def ours(engine: sa.Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        mine = sa.select(logs).where(logs.c.log_id.is_not(None)).order_by(logs.c.log_id)
        return [dict(row) for row in connection.execute(mine).mappings()]


def columns_of(engine: sa.Engine) -> dict[str, tuple[str, bool]]:
    found = sa.inspect(engine).get_columns("ai_outbound_logs")
    return {column["name"]: (str(column["type"]), column["nullable"]) for column in found}


def test_another_applications_table_is_not_touched_unasked(other: sa.Engine, any_bare_url: str) -> None:
    before, mode = columns_of(other), _journal_mode(other)
    for use in (open_engine, migrate_database, pending_migration):
        with pytest.raises(SourceUnreachable, match="has a table ai_outbound_logs of another application") as refusal:
            use(any_bare_url)
        assert "dispatcher migrate --adopt --dry-run" in str(refusal.value)
        assert "can't be used: " in str(refusal.value)
    assert columns_of(other) == before
    assert sa.inspect(other).get_table_names() == [
        *["ai_outbound_logs"],
        *(["sqlite_sequence"] if "sqlite_sequence" in sa.inspect(other).get_table_names() else []),
    ]
    assert _journal_mode(other) == mode


def test_a_database_without_such_a_table_has_nothing_to_adopt(any_bare_url: str) -> None:
    with pytest.raises(InvalidAdoption, match="there is no table ai_outbound_logs of another application"):
        migrate_database(any_bare_url, adopt=True)
    engine = connect(any_bare_url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_adopting_adds_columns_that_may_be_unknown_and_changes_nothing(other: sa.Engine, any_bare_url: str) -> None:
    columns, rows = columns_of(other), theirs(other)
    assert migrate_database(any_bare_url, adopt=True) is None
    after = columns_of(other)
    assert {name: after[name] for name in columns} == columns
    assert set(after) == set(columns) | {column.name for column in logs.columns}
    assert {nullable for name, (_, nullable) in after.items() if name not in columns} == {True}
    assert theirs(other) == rows
    unique = [index["column_names"] for index in sa.inspect(other).get_indexes("ai_outbound_logs") if index["unique"]]
    assert ["log_id"] in unique
    assert migrate_database(any_bare_url) == migrate.head()
    assert migrate_database(any_bare_url, adopt=True) == migrate.head()


async def test_the_log_writes_into_it(adopted: sa.Engine, any_bare_url: str) -> None:
    """All that a dispatch writes: turns, keys, budgets, sessions, calls."""
    engine = open_engine(any_bare_url)
    log, opening = Log(engine), an_opening(conversation_id="c", turn=1, tenant="Script ✓")
    await log.open(opening)
    await log.note_session(opening.log_id, "s", "a", 1)
    await log.close(opening.log_id, an_ending(response_time_ms=900, cost_nanousd=2**40), [a_call()])
    with pytest.raises(ConversationBusy):
        await log.open(an_opening(conversation_id="c", turn=1, tenant="Script ✓"))
    room = Room(nanousd=10**9, since=BEGAN - dt.timedelta(days=1))
    await log.open(keyed(reserved_nanousd=10**9), request_hash=HASH, room=room)
    log.shutdown()
    ended, started = sorted(ours(engine), key=lambda row: str(row["status"]), reverse=True)
    assert (ended["status"], ended["tenant"], ended["cost_nanousd"]) == ("success", "Script ✓", 2**40)
    assert abs(ended["created_at"] - opening.created_at) < dt.timedelta(seconds=1)
    assert ended["finished_at"] == an_ending().finished_at
    assert started["status"] == "started"
    assert None not in {ended["recorded_at"], ended["landed_at"], started["recorded_at"]}
    with engine.connect() as connection:
        assert len(connection.execute(sa.select(calls)).all()) == 1
        found = connection.exec_driver_sql(PRODUCTION_QUERY).all()
    assert sorted(tuple(row) for row in found) == [(900, ended["input_tokens"], ended["output_tokens"])] + 3 * [
        (19000, 1200, 340)
    ]
    engine.dispose()


async def test_what_the_spool_held_of_a_row_that_is_there_is_no_contradiction(
    adopted: sa.Engine, any_bare_url: str, tmp_path: Path
) -> None:
    """Although the table keeps the row's moments to the second."""
    engine, opening = open_engine(any_bare_url), an_opening()
    log = Log(engine)
    await log.open(opening)
    log.shutdown()
    bounds = Bounds(bytes=10**9, age=dt.timedelta(days=1))
    spool = Spool(tmp_path / "spool", named(engine.url), bounds, lambda: dt.datetime.now(dt.UTC))
    spool.open(opening)
    spool.close(opening.log_id, an_ending(), [a_call()])
    drain = Drain(spool, engine)
    drained = drain.run()
    drain.shutdown()
    spool.shutdown()
    engine.dispose()
    assert (drained.landed, drained.quarantined) == (1, 0)
    assert [row["status"] for row in ours(adopted)] == ["success"]


async def test_the_other_application_goes_on_as_before(adopted: sa.Engine, any_bare_url: str) -> None:
    """Beside rows of ours, which it can't change."""
    engine, opening = open_engine(any_bare_url), an_opening()
    log = Log(engine)
    await log.open(opening)
    await log.close(opening.log_id, an_ending(), [])
    log.shutdown()
    engine.dispose()
    before = ours(adopted)
    with adopted.begin() as connection:
        connection.exec_driver_sql(INSERT)
        changed = "UPDATE ai_outbound_logs SET status = 'error', user_id = 8, response_time_ms = NULL WHERE id = 1"
        assert connection.exec_driver_sql(changed).rowcount == 1
        assert connection.exec_driver_sql("DELETE FROM ai_outbound_logs WHERE id = 2").rowcount == 1
        # Its own columns are its own in every row.
        connection.exec_driver_sql("UPDATE ai_outbound_logs SET user_id = 9")
    rows = theirs(adopted)
    assert [(row["status"], row["user_id"], row["response_time_ms"]) for row in rows] == [
        *(("error", 9, None), ("success", 9, 19000), ("success", 9, 19000)),
    ]
    assert ours(adopted) == before
    for statement in (
        "UPDATE ai_outbound_logs SET status = 'error'",
        "DELETE FROM ai_outbound_logs",
        f"UPDATE ai_outbound_logs SET log_id = '{'x' * 36}' WHERE id = 1",
    ):
        with adopted.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="append-only"):
            connection.exec_driver_sql(statement)
    assert (ours(adopted), theirs(adopted)) == (before, rows)


@pytest.mark.parametrize("any_bare_url", ["postgresql", "mariadb"], indirect=True)
async def test_a_moment_is_the_same_whatever_time_zone_the_server_is_in(
    adopted: sa.Engine, any_bare_url: str, server_in_new_york: None
) -> None:
    """A TIMESTAMP of the table means a moment in the session's time zone."""
    engine = open_engine(any_bare_url)
    log = Log(engine)
    await log.open(an_opening())
    log.shutdown()
    with engine.connect() as connection:
        query = "SELECT CAST(created_at AS CHAR(19)) FROM ai_outbound_logs WHERE log_id IS NOT NULL"
        assert connection.exec_driver_sql(query).scalar() == "2026-11-20 09:30:00"
    engine.dispose()


@pytest.fixture
def server_in_new_york(adopted: sa.Engine) -> Iterator[None]:
    database = f"ALTER DATABASE {adopted.url.database}"
    moved, back = "SET GLOBAL time_zone = '-05:00'", "SET GLOBAL time_zone = 'SYSTEM'"
    if adopted.dialect.name == "postgresql":
        moved, back = f"{database} SET timezone = 'America/New_York'", f"{database} RESET timezone"
    server = adopted.execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(moved)
    yield
    with server.connect() as connection:
        connection.exec_driver_sql(back)


def _journal_mode(engine: sa.Engine) -> str | None:
    if engine.dialect.name != "sqlite":
        return None
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
