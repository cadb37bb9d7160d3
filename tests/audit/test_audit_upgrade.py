"""From every earlier schema to the newest, with rows in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from attempts import BEGAN, a_call, an_ending, an_opening
from claim_contract import HASH, keyed
from log_contract import rows

from dispatcher.audit import migrate
from dispatcher.audit.engine import connect, open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.record import Room
from dispatcher.audit.tables import calls, logs, registrations
from dispatcher.errors import ConversationBusy

OF_0002 = {
    *("platform_input_tokens", "platform_cache_read_input_tokens", "platform_cache_creation_input_tokens"),
    *("platform_output_tokens", "retry_wait_ms", "repairs", "section_fingerprints", "prefix_changed"),
}
ROW: dict[str, Any] = {
    "log_id": "1",
    "dispatch_id": "d1",
    "attempt": 1,
    "role": "served",
    "origin": "production",
    "time_scale": 1.0,
    "feature": "agent_research",
    "tenant": "script",
    "conversation_id": "c",
    "turn": 1,
    "created_at": BEGAN,
    "deadline_at": BEGAN + dt.timedelta(seconds=600),
    "recorded_at": BEGAN,
    "path": "messages",
    "status": "started",
}
ENDED = {"log_id": "2", "turn": 2, "status": "success", "finished_at": BEGAN, "cost_nanousd": 0, "input_tokens": 2**40}


@pytest.fixture(params=["0001", "0002"])
def revision(request: pytest.FixtureRequest) -> str:
    """Every schema but the newest."""
    return str(request.param)


@pytest.fixture
def old(database: Path, revision: str) -> Iterator[sa.Engine]:
    """A file as an earlier revision made and filled it."""
    database.parent.mkdir()
    engine = connect(f"sqlite:///{database}")
    config = Config()
    config.set_main_option("script_location", "dispatcher.audit:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for row in (ROW, ROW | ENDED):
            connection.execute(sa.insert(logs).values(row))
        connection.execute(sa.insert(calls).values(log_id="2", ordinal=1, model="m", output_tokens=0))
        connection.execute(
            sa.insert(registrations).values(
                **{name: name for name in ("registration_id", "record", "origin", "candidate_hash", "record_hash")},
                block="{}",
                epoch=1,
                registered_at=BEGAN,
                start_at=BEGAN,
            )
        )
    yield engine
    engine.dispose()


def _all(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table.name} ORDER BY 1").mappings()]


def test_every_schema_but_the_newest_is_upgraded_from() -> None:
    assert migrate.known() == ["0001", "0002", migrate.head()]


def test_the_rows_of_an_earlier_schema_stay_as_they_were_and_know_nothing_new(
    old: sa.Engine, database: Path, revision: str
) -> None:
    before = {table: _all(old, table) for table in (logs, calls, registrations)}
    assert migrate.current(old) == revision
    open_engine(f"sqlite:///{database}").dispose()
    assert migrate.current(old) == migrate.head()
    unknown = dict.fromkeys(OF_0002)
    assert _all(old, logs) == [unknown | row for row in before[logs]]
    assert {table: _all(old, table) for table in (calls, registrations)} == {
        table: before[table] for table in (calls, registrations)
    }


async def test_a_log_goes_on_with_the_rows_of_an_earlier_schema(old: sa.Engine, database: Path) -> None:
    """A started row is ended, a turn stays taken, and budgets and keys begin."""
    engine = open_engine(f"sqlite:///{database}")
    log = Log(engine)
    await log.close("1", an_ending(repairs=1, cost_nanousd=10**9), [a_call()])
    with pytest.raises(ConversationBusy):
        await log.open(an_opening(conversation_id="c", turn=2))
    room = Room(nanousd=2 * 10**9, since=BEGAN)
    await log.open(keyed(reserved_nanousd=10**9), request_hash=HASH, room=room)
    log.shutdown()
    assert sorted((row["status"], row["repairs"] or 0) for row in rows(engine)) == [
        *(("started", 0), ("success", 0), ("success", 1)),
    ]
    engine.dispose()


def test_the_dry_run_for_an_earlier_schema_prints_what_is_missing_and_no_more(old: sa.Engine, revision: str) -> None:
    statements = migrate.pending_sql(old)
    missing = revision == "0001"
    assert {f"ADD COLUMN {name} " in statements for name in OF_0002} == {missing}
    assert ("CREATE TABLE ai_idempotency_keys" in statements) is missing
    assert "CREATE TABLE flag_changes" in statements
    assert "CREATE TABLE ai_outbound_logs" not in statements
    assert set(logs.columns.keys()) >= OF_0002
