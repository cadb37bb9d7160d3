"""What was logged stays as it is: every engine refuses to change it, whoever asks."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from log_contract import rows

from dispatcher.audit import installed, trial
from dispatcher.audit.append_only import INSERT_ONLY, allow_deletes
from dispatcher.audit.engine import open_engine, restore_triggers
from dispatcher.audit.log import Log
from dispatcher.audit.moment import UtcDateTime
from dispatcher.audit.record import AttemptEnding
from dispatcher.audit.tables import (
    budget_locks,
    calls,
    conversations,
    idempotency_keys,
    log_gaps,
    logs,
    metadata,
    results,
)
from dispatcher.audit.trial import Answer, try_to_change

CHANGING = {idempotency_keys, budget_locks, conversations, results}
ROW: dict[str, Any] = {
    "log_id": "1", "dispatch_id": "d", "attempt": 1, "role": "served", "origin": "production", "time_scale": 1.0,
    "feature": "f", "tenant": "Script ", "created_at": BEGAN, "status": "started", "owner": "host/1",
}  # fmt: skip
LATER = BEGAN + dt.timedelta(minutes=30)
SUCCESS = {"status": "success", "finished_at": LATER, "input_tokens": 7, "landed_at": LATER}
LOST = {"status": "lost", "swept_at": LATER, "input_tokens": 5, "landed_at": LATER}


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


def put(engine: sa.Engine, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(logs).values(ROW | values))


def change(engine: sa.Engine, **values: Any) -> None:
    with engine.begin() as connection:
        assert connection.execute(sa.update(logs).values(values)).rowcount == 1


def is_refused(engine: sa.Engine, **values: Any) -> bool:
    """Whether the database refuses to change the row, by a trigger, and leaves it as it was."""
    before = rows(engine)
    try:
        change(engine, **values)
    except sa.exc.DBAPIError as error:
        why = "append-only: a row of ai_outbound_logs is opened and ended, and then never changes"
        return why in str(error.orig) and rows(engine) == before
    return False


def test_every_table_is_either_append_only_or_known_to_change() -> None:
    assert {logs, *INSERT_ONLY} | CHANGING == set(metadata.tables.values())
    assert {logs, *INSERT_ONLY} & CHANGING == set()


def test_no_append_only_table_lets_a_row_be_changed_or_deleted(engine: sa.Engine) -> None:
    with engine.connect() as connection, connection.begin():
        tried = try_to_change(connection)
    assert {(one.table, one.verb) for one in tried} == {
        (table.name, verb) for table in (logs, *INSERT_ONLY) for verb in ("UPDATE", "DELETE")
    }
    assert {one.answer for one in tried} == {Answer.TRIGGER}
    assert [row for table in (logs, *INSERT_ONLY) for row in rows(engine, table)] == []


async def test_a_row_is_opened_told_its_session_and_ended(engine: sa.Engine) -> None:
    log, opening = Log(engine), an_opening(tenant="Script ✓ ")
    await log.open(opening)
    await log.note_session(opening.log_id, "s", "a", 3)
    await log.close(opening.log_id, an_ending(), [a_call()])
    log.shutdown()
    assert [row["status"] for row in rows(engine)] == ["success"]


@pytest.mark.parametrize("ending", [SUCCESS, SUCCESS | {"status": "cancelled"}, LOST], ids=lambda e: e["status"])
def test_an_open_row_ends_or_is_swept(engine: sa.Engine, ending: dict[str, Any]) -> None:
    put(engine)
    change(engine, session_id="s", agent_id="a", agent_version=2)
    change(engine, **ending)
    assert [row["status"] for row in rows(engine)] == [ending["status"]]


def test_what_was_swept_is_ended_by_its_owner_once(engine: sa.Engine) -> None:
    put(engine)
    change(engine, **LOST)
    assert is_refused(engine, status="success", swept_at=None)
    assert is_refused(engine, input_tokens=6)
    change(engine, **SUCCESS)
    assert [(row["status"], row["swept_at"]) for row in rows(engine)] == [("success", LATER)]
    assert is_refused(engine, status="error")
    assert is_refused(engine, **LOST)


def test_a_row_can_be_ended_in_no_other_way(engine: sa.Engine) -> None:
    """Nor an opening changed on the way, by as little as a letter's case or a blank."""
    put(engine)
    for wrong in ({"status": "lost"}, {"status": "success", "swept_at": LATER}, {"status": "done"}):
        assert is_refused(engine, **wrong)
    for opened in ({"tenant": "script "}, {"tenant": "Script"}, {"owner": None}, {"created_at": LATER}, {"turn": 1}):
        assert is_refused(engine, **opened)
        assert is_refused(engine, **SUCCESS, **opened)
    assert is_refused(engine, input_tokens=1)
    assert is_refused(engine, log_id="2")


@pytest.mark.parametrize("name", [name for name in AttemptEnding.__annotations__ if name != "status"])
def test_no_column_of_an_ended_row_changes(name: str, ended: sa.Engine) -> None:
    kind = logs.c[name].type
    other = LATER if isinstance(kind, UtcDateTime) else {bool: True, str: "x", int: 1}[kind.python_type]
    assert is_refused(ended, **{name: other})


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('ended')}/log.db")
    put(engine, status="success")
    yield engine
    engine.dispose()


def test_an_ended_row_may_be_written_again_as_it_is(engine: sa.Engine) -> None:
    put(engine, **SUCCESS)
    change(engine, **SUCCESS)
    assert [row["input_tokens"] for row in rows(engine)] == [7]


def test_rows_are_deleted_only_where_that_is_allowed_and_only_while(engine: sa.Engine) -> None:
    put(engine, **SUCCESS)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with allow_deletes(connection):
            connection.execute(sa.delete(logs))
        put(engine, **SUCCESS)
        with pytest.raises(sa.exc.DBAPIError, match="append-only: only the retention of the log deletes rows"):
            connection.execute(sa.delete(logs))
    assert len(rows(engine)) == 1


def test_a_deletion_that_fails_halfway_has_deleted_nothing_and_leaves_the_door_shut(engine: sa.Engine) -> None:
    put(engine, **SUCCESS)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with contextlib.suppress(ZeroDivisionError), allow_deletes(connection):
            connection.execute(sa.delete(logs))
            raise ZeroDivisionError
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            connection.execute(sa.delete(logs))
        assert installed.missing(connection) == []
    assert len(rows(engine)) == 1


def test_values_do_not_change_while_deleting_is_allowed(engine: sa.Engine) -> None:
    put(engine, **SUCCESS)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection, pytest.raises(sa.exc.DBAPIError, match="append-only"), allow_deletes(connection):
        connection.execute(sa.update(logs).values(input_tokens=8))
    assert [row["input_tokens"] for row in rows(engine)] == [7]


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("table", [logs, calls], ids=str)
def test_a_table_is_not_truncated_either(engine: sa.Engine, table: sa.Table) -> None:
    put(engine)
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="append-only"):
        connection.exec_driver_sql(f"TRUNCATE {table.name}")
    assert len(rows(engine)) == 1


def test_triggers_that_somebody_took_away_are_missed_and_made_again(engine: sa.Engine, any_url: str) -> None:
    on = " ON ai_outbound_calls" if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TRIGGER ai_outbound_calls_keeps_values{on}")
    with engine.connect() as connection, connection.begin():
        assert installed.missing(connection) == ["ai_outbound_calls_keeps_values"]
        done = [(one.table, one.verb) for one in try_to_change(connection) if one.answer is Answer.DONE]
        assert done == [("ai_outbound_calls", "UPDATE")]
    assert restore_triggers(any_url) == ["ai_outbound_calls_keeps_values"]
    with engine.connect() as connection, connection.begin():
        assert installed.missing(connection) == []
        assert {one.answer for one in trial.try_to_change(connection)} == {Answer.TRIGGER}


def test_a_trigger_that_went_with_a_renamed_table_is_missed_and_made_again(engine: sa.Engine, any_url: str) -> None:
    """As when the log is moved into a distributed table, and the old one is kept for a while."""
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ai_outbound_log_gaps RENAME TO gaps_before")
        log_gaps.create(connection)
    with engine.connect() as connection:
        assert set(installed.missing(connection)) >= {
            "ai_outbound_log_gaps_keeps_values",
            "ai_outbound_log_gaps_keeps_rows",
        }
    restore_triggers(any_url)
    with engine.connect() as connection, connection.begin():
        assert installed.missing(connection) == []
        assert {one.answer for one in trial.try_to_change(connection)} == {Answer.TRIGGER}
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE gaps_before")
