from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from dispatcher.action.observation import Call, Usage
from dispatcher.audit.evidence_tables import registrations
from dispatcher.audit.moment import DatabaseNow, UtcDateTime
from dispatcher.audit.record import AttemptEnding, AttemptOpening
from dispatcher.audit.tables import calls, conversations, logs, metadata, results

SWEPT = {"swept_at", "usage_unavailable_reason"}


def _names(*records: type) -> set[str]:
    return {field.name for record in records for field in dataclasses.fields(record)}


def test_the_columns_of_the_log_are_the_fields_of_an_attempt_and_what_the_database_and_the_sweeper_set() -> None:
    assert _names(AttemptOpening, AttemptEnding) | {"recorded_at", "landed_at"} | SWEPT == set(logs.columns.keys())


def test_the_columns_of_the_calls_are_the_fields_of_a_call_with_its_usage_spread_out() -> None:
    assert _names(Call, Usage) - {"usage"} | {"log_id"} == set(calls.columns.keys())


@pytest.mark.parametrize("table", [logs, calls], ids=lambda table: table.name)
def test_tokens_money_and_milliseconds_are_64_bits_wide(table: sa.Table) -> None:
    figures = [column for column in table.columns if column.name.endswith(("_tokens", "_nanousd", "_ms"))]
    assert figures
    assert {sa.BigInteger} == {type(column.type) for column in figures}


def test_a_turn_of_a_conversation_is_claimed_by_a_unique_key() -> None:
    (key,) = (constraint for constraint in logs.constraints if isinstance(constraint, sa.UniqueConstraint))
    assert list(key.columns.keys()) == ["tenant", "feature", "conversation_id", "turn", "attempt", "role"]


def test_the_log_has_three_narrow_indexes_and_one_of_open_rows() -> None:
    by_time = {("created_at",), ("feature", "origin", "created_at"), ("tenant", "feature", "origin", "created_at")}
    assert by_time | {("status", "deadline_at")} == {tuple(index.columns.keys()) for index in logs.indexes}


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_every_key_fits_into_the_3072_bytes_that_mariadb_gives_an_index(table: sa.Table) -> None:
    """At four bytes a character; numbers and moments have eight at most."""
    unique = [key for key in table.constraints if isinstance(key, sa.UniqueConstraint)]
    keys = [list(key.columns) for key in (*table.indexes, *unique, table.primary_key)]
    widths = [sum(4 * (getattr(column.type, "length", None) or 2) for column in key) for key in keys]
    assert max(widths) < 3072


@pytest.mark.parametrize("table", [conversations, results], ids=lambda table: table.name)
def test_content_has_its_tenant_in_the_key_and_may_be_megabytes_long(table: sa.Table) -> None:
    assert next(iter(table.primary_key)) is table.c.tenant
    assert "content LONGTEXT NOT NULL" in str(CreateTable(table).compile(dialect=mysql.dialect()))
    assert "content TEXT NOT NULL" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_no_table_refers_to_another_so_that_rows_can_be_distributed_by_tenant() -> None:
    assert [table.name for table in metadata.tables.values() if table.foreign_keys] == []


def test_an_epoch_of_a_record_and_origin_is_opened_once(engine: sa.Engine) -> None:
    row = {
        "record": "KD-0650",
        "origin": "production",
        "epoch": 1,
        "candidate_hash": "c",
        "record_hash": "r",
        "block": "{}",
        "start_at": dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(registrations), {"registration_id": "1", **row})
        connection.execute(sa.insert(registrations), {"registration_id": "2", **row, "origin": "simulated"})
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(sa.insert(registrations), {"registration_id": "3", **row})


ZONES = st.timezones() | st.timedeltas(dt.timedelta(hours=-14), dt.timedelta(hours=14)).map(
    lambda offset: dt.timezone(dt.timedelta(minutes=offset // dt.timedelta(minutes=1)))
)
MOMENTS = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2100, 1, 1), timezones=ZONES, allow_imaginary=False)  # noqa: DTZ001


@given(MOMENTS, MOMENTS)
def test_a_moment_comes_back_as_it_went_in_and_sorts_as_text(first: dt.datetime, second: dt.datetime) -> None:
    """To the microsecond, in UTC, whatever zone it was told in."""
    database = sa.create_engine("sqlite://")
    table = sa.Table("moments", sa.MetaData(), sa.Column("moment", UtcDateTime))
    table.create(database)
    with database.connect() as connection:
        connection.execute(sa.insert(table), [{"moment": first}, {"moment": second}])
        back = connection.execute(sa.select(table.c.moment)).scalars().all()
        texts = connection.exec_driver_sql("SELECT moment FROM moments").scalars().all()
    database.dispose()
    # In UTC, since a local time that a change of the clocks repeats compares as unequal to every other zone's.
    first, second = (moment.astimezone(dt.UTC) for moment in (first, second))
    assert back == [first, second]
    assert {dt.UTC} == {moment.tzinfo for moment in back}
    assert [moment.strftime("%Y-%m-%d %H:%M:%S.%f") for moment in (first, second)] == texts
    assert (first < second) == (texts[0] < texts[1])


def test_a_moment_without_a_zone_is_refused(engine: sa.Engine) -> None:
    with engine.connect() as connection, pytest.raises(sa.exc.StatementError, match="has no time zone"):
        connection.execute(sa.select(logs).where(logs.c.created_at > dt.datetime(2026, 1, 1)))  # noqa: DTZ001


def test_an_unknown_moment_stays_unknown(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.literal(None, UtcDateTime))).scalar_one() is None


def test_the_clock_of_sqlite_tells_utc_in_the_width_of_all_moments(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        before = dt.datetime.now(dt.UTC)
        text = connection.exec_driver_sql(str(sa.select(DatabaseNow()).compile(engine))).scalar_one()
        moment = connection.execute(sa.select(DatabaseNow())).scalar_one()
    assert len("2026-11-21 00:00:00.000000") == len(text)
    assert abs(moment - before) < dt.timedelta(seconds=10)
    assert moment.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("dialect", "kind", "clock"),
    [
        (postgresql.dialect(), "TIMESTAMP WITH TIME ZONE", "DEFAULT clock_timestamp()"),
        (mysql.dialect(), "DATETIME(6)", "DEFAULT (UTC_TIMESTAMP(6))"),
    ],
    ids=["postgresql", "mysql"],
)
def test_other_engines_keep_microseconds_and_use_their_own_clock(dialect: sa.Dialect, kind: str, clock: str) -> None:
    lines = str(CreateTable(logs).compile(dialect=dialect)).splitlines()
    (recorded_at,) = (line.strip() for line in lines if line.strip().startswith("recorded_at"))
    assert recorded_at.rstrip(",") in {f"recorded_at {kind} {clock} NOT NULL", f"recorded_at {kind} NOT NULL {clock}"}
