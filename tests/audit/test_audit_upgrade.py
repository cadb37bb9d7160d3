"""From every earlier schema to the newest, with rows in it, on every engine."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from attempts import BEGAN, a_call, an_ending, an_opening
from claim_contract import HASH, keyed
from log_contract import rows

from dispatcher.audit import installed, migrate
from dispatcher.audit.engine import connect, migrate_database, open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.moment import UtcDateTime
from dispatcher.audit.record import Room
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.audit.tables import logs, metadata
from dispatcher.errors import ConversationBusy

FIRST_WITH_UNICODE = "0005"
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
EARLIER = ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009"]
VERSION_TABLES = {"alembic_version", VERSION_TABLE}


@contextlib.contextmanager
def database_of(url: str, revision: str) -> Iterator[sa.Engine]:
    """A database with the tables of an earlier revision."""
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", "dispatcher.audit:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        # Until 0009 the program noted its revision under the name that is Alembic's own.
        connection.exec_driver_sql(f"ALTER TABLE {VERSION_TABLE} RENAME TO alembic_version")
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"ALTER INDEX {VERSION_TABLE}_pkc RENAME TO alembic_version_pkc")
    yield engine
    engine.dispose()


@pytest.fixture(params=["0001", "0004"])
def old(any_bare_url: str, request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """A database as an earlier revision made and filled it."""
    with database_of(any_bare_url, request.param) as engine:
        with engine.begin() as connection:
            for row in (ROW, ROW | ENDED):
                connection.execute(sa.insert(logs).values(row))
        yield engine


def test_every_schema_but_the_newest_is_upgraded_from() -> None:
    assert migrate.known() == [*EARLIER, migrate.head()]


@pytest.mark.parametrize("revision", EARLIER)
def test_all_rows_of_an_earlier_schema_keep_every_value_and_know_nothing_new(any_bare_url: str, revision: str) -> None:
    """Rows of any values, the widest and the unknown ones among them, in every table that there was."""
    with database_of(any_bare_url, revision) as engine:
        tables = _tables(engine)
        any_values = Random(revision)
        with engine.begin() as connection:
            for table in tables:
                for number in range(12):
                    connection.execute(sa.insert(table).values(_any_row(table, number, any_values, revision)))
        before = {table.name: _all(engine, table.name) for table in tables}
        assert migrate_database(any_bare_url) == revision
        assert migrate.current(engine) == migrate.head()
        assert VERSION_TABLES & set(sa.inspect(engine).get_table_names()) == {VERSION_TABLE}
        for table in tables:
            new = {column.name for column in metadata.tables[table.name].columns} - set(table.columns.keys())
            assert [row | dict.fromkeys(new) for row in before[table.name]] == _all(engine, table.name)


def _tables(engine: sa.Engine) -> list[sa.Table]:
    """The tables that are there, with the columns that they have and the types that the program gives them."""
    inspector, kept = sa.inspect(engine), sa.MetaData()
    tables = []
    for table in metadata.sorted_tables:
        if inspector.has_table(table.name):
            there = [column["name"] for column in inspector.get_columns(table.name)]
            columns = [sa.Column(name, table.c[name].type, primary_key=table.c[name].primary_key) for name in there]
            tables.append(sa.Table(table.name, kept, *columns))
    return tables


def _any_row(table: sa.Table, number: int, any_values: Random, revision: str) -> dict[str, Any]:
    known = metadata.tables[table.name].columns
    row = {
        column.name: _any_value(column, any_values, revision)
        for column in table.columns
        if not known[column.name].nullable or any_values.random() < 0.7
    }
    # No two rows have a key in common, though letters of either case may have been the same to an earlier schema.
    keys = [column.name for column in table.columns if column.primary_key] + ["turn", "sequence", "epoch", "as_of"]
    for name in (name for name in keys if name in row):
        row[name] = {str: f"{number:02}", int: number}.get(type(row[name]), BEGAN + dt.timedelta(days=number))
    return row


def _any_value(column: sa.Column[Any], any_values: Random, revision: str) -> Any:
    match column.type:
        case UtcDateTime():
            return BEGAN + dt.timedelta(microseconds=any_values.randrange(10**15))
        case sa.Boolean():
            return any_values.random() < 0.5
        case sa.Double():
            return any_values.random() * 10 ** any_values.randrange(-9, 9)
        case sa.BigInteger():
            return any_values.choice([0, -1, 2**63 - 1, any_values.randrange(2**62)])
        case sa.Integer():
            return any_values.choice([0, 2**31 - 1, any_values.randrange(2**30)])
        case _:
            letters = "aA '\"\\%:;\n" + ("ß✓🐘" if revision >= FIRST_WITH_UNICODE else "")
            length = getattr(column.type, "length", None) or 5_000
            # One letter at the end that isn't a blank, which MySQL's VARCHAR keeps and its comparisons don't.
            return "".join(any_values.choices(letters, k=any_values.choice([0, 1, length // 2, length - 1]))) + "x"


def _all(engine: sa.Engine, table: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()]
    return sorted(found, key=lambda row: [str(row[column.name]) for column in metadata.tables[table].primary_key])


async def test_a_log_goes_on_with_the_rows_of_an_earlier_schema(old: sa.Engine, any_bare_url: str) -> None:
    """A started row is ended, a turn stays taken, and budgets and keys begin."""
    migrate_database(any_bare_url)
    engine = open_engine(any_bare_url)
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


def test_the_dry_run_for_an_earlier_schema_prints_what_is_missing_and_no_more(old: sa.Engine) -> None:
    statements, revision = migrate.pending_sql(old), migrate.current(old) or ""
    assert (" repairs INTEGER" in statements) is (revision < "0002")
    assert ("CREATE TABLE flag_changes" in statements) is (revision < "0003")
    assert "CREATE TABLE ai_outbound_log_gaps" in statements
    assert "CREATE TRIGGER" in statements
    assert "CREATE TABLE ai_outbound_logs" not in statements


def test_the_printed_statements_carry_an_earlier_schema_to_the_newest(old: sa.Engine) -> None:
    statements = migrate.pending_sql(old)
    with old.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in _one_by_one(statements):
            connection.exec_driver_sql(statement)
    assert migrate.current(old) == migrate.head()
    with old.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        assert installed.missing(connection) == []
    assert {row["log_id"] for row in rows(old)} == {"1", "2"}


def _one_by_one(script: str) -> Iterator[str]:
    """The statements of a script, as the engines' own command lines part them."""
    end, statement = ";", ""
    for line in script.splitlines():
        if line.startswith("DELIMITER "):
            end = line.removeprefix("DELIMITER ")
        elif line and not line.startswith("--"):
            statement += f"{line}\n"
            if line.endswith(end):
                yield statement.strip().removesuffix(end)
                statement = ""
    assert statement == ""


def test_another_application_may_note_its_own_revisions_beside_an_upgraded_log(
    old: sa.Engine, any_bare_url: str
) -> None:
    """Its table, and its index, have the names that the log's had before."""
    migrate_database(any_bare_url)
    key = "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
    with old.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, {key})")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0002')")
    assert migrate.current(old) == migrate_database(any_bare_url) == migrate.head()
    with old.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["0002"]


def test_letters_of_either_case_and_of_any_alphabet_are_kept_apart_after_an_upgrade(
    old: sa.Engine, any_bare_url: str
) -> None:
    migrate_database(any_bare_url)
    with old.begin() as connection:
        for number, tenant in enumerate(("Script", "skript ✓"), 3):
            connection.execute(sa.insert(logs).values(ROW | {"log_id": str(number), "tenant": tenant}))
        of_tenant = sa.select(logs.c.log_id).where(logs.c.tenant == "script").order_by(logs.c.log_id)
        assert connection.execute(of_tenant).scalars().all() == ["1", "2"]
        assert len(connection.execute(sa.select(logs.c.tenant).distinct()).all()) == 3


def test_many_processes_may_migrate_one_database_at_once(old: sa.Engine, any_bare_url: str) -> None:
    """One does it and the others find nothing left to do."""
    old.dispose()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate_database, [any_bare_url] * 4))
    assert migrate.current(old) == migrate.head()
