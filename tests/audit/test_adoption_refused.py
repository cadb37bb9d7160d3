"""A table that can't hold the log is refused in one error that lists all that is in the way, and stays as it was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import laravel_table
import pytest
import sqlalchemy as sa

from dispatcher.audit import migrate
from dispatcher.audit.checkup import check_database
from dispatcher.audit.engine import connect, migrate_database, open_engine, pending_migration
from dispatcher.errors import InvalidAdoption, SourceUnreachable

CHANGES = {
    "postgresql": (
        "ALTER TABLE ai_outbound_logs ADD COLUMN tenant UUID, ADD COLUMN cost_nanousd INTEGER, "
        "ADD COLUMN tool_calls SMALLINT, ADD COLUMN output_valid INTEGER, ADD COLUMN finished_at DATE, "
        "ADD COLUMN owner CHAR(255), ADD COLUMN repairs INTEGER NOT NULL DEFAULT 0, "
        "ADD COLUMN retries INTEGER DEFAULT 0, ADD COLUMN time_scale REAL, ADD COLUMN actor VARCHAR(20), "
        "ALTER COLUMN user_id SET NOT NULL, "
        "ADD COLUMN http_status SMALLINT, ADD COLUMN platform_input_tokens BIGINT"
    ),
    "mariadb": (
        "ALTER TABLE ai_outbound_logs ADD COLUMN tenant CHAR(36), ADD COLUMN cost_nanousd INTEGER, "
        "ADD COLUMN tool_calls TINYINT, ADD COLUMN output_valid INTEGER, ADD COLUMN finished_at DATE, "
        "ADD COLUMN owner CHAR(255), ADD COLUMN repairs INTEGER NOT NULL DEFAULT 0, "
        "ADD COLUMN retries INTEGER DEFAULT 0, ADD COLUMN time_scale FLOAT, ADD COLUMN actor VARCHAR(20), "
        "MODIFY user_id BIGINT NOT NULL, "
        "ADD COLUMN http_status SMALLINT, ADD COLUMN platform_input_tokens BIGINT, "
        "ADD COLUMN flag_stale TINYINT(1), ADD COLUMN conversation_id VARCHAR(200), ADD COLUMN role ENUM('a', 'b'), "
        "ADD COLUMN origin TEXT, MODIFY created_at TIMESTAMP NOT NULL DEFAULT NOW() ON UPDATE NOW()"
    ),
}
PROBLEMS = {
    "tenant": "must be VARCHAR(120)",
    "cost_nanousd": "is INTEGER, and must be BIGINT",
    "tool_calls": "must be INTEGER or BIGINT",
    "output_valid": "is INTEGER, and must be BOOLEAN",
    "finished_at": "is DATE, and must be a date with its time",
    "owner": "must be VARCHAR(255)",
    "repairs": "must be allowed to be NULL",
    "retries": "has the default 0, which would stand for what isn't known",
    "time_scale": "must be DOUBLE PRECISION",
    "actor": "is VARCHAR(20), and must be VARCHAR(120) or wider",
    "user_id": "must have a default or be allowed to be NULL",
}
OF_MARIADB = {
    "conversation_id": "has the collation utf8mb4_unicode_ci, by which two different names may be the same",
    "role": "must be VARCHAR(16)",
    "origin": "is TEXT, which can't be indexed",
    "created_at": "changes by itself with every UPDATE",
}


@pytest.fixture
def other(any_bare_url: str) -> Iterator[sa.Engine]:
    engine = connect(any_bare_url)
    laravel_table.make(engine)
    yield engine
    engine.dispose()


def change(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def refusal(url: str) -> InvalidAdoption:
    with pytest.raises(InvalidAdoption) as planned:
        pending_migration(url, adopt=True)
    with pytest.raises(InvalidAdoption) as done:
        migrate_database(url, adopt=True)
    assert str(planned.value) == str(done.value)
    return done.value


@pytest.mark.parametrize("any_bare_url", ["postgresql", "mariadb"], indirect=True)
def test_all_columns_that_cannot_hold_what_the_log_writes_are_listed_at_once(
    other: sa.Engine, any_bare_url: str
) -> None:
    change(other, CHANGES[other.dialect.name].replace("NOW()", "CURRENT_TIMESTAMP()"))
    columns = [str(column) for column in sa.inspect(other).get_columns("ai_outbound_logs")]
    expected = PROBLEMS | (OF_MARIADB if other.dialect.name == "mariadb" else {})
    error = refusal(any_bare_url)
    told = dict(problem.split(": ", 1) for problem in error.problems)
    assert set(told) == set(expected)
    assert {name: words for name, words in expected.items() if words not in told[name]} == {}
    assert [str(column) for column in sa.inspect(other).get_columns("ai_outbound_logs")] == columns
    assert sa.inspect(other).get_table_names() == ["ai_outbound_logs"]


@pytest.mark.parametrize("any_bare_url", ["sqlite"], indirect=True)
def test_a_file_has_no_types_to_speak_of_but_columns_that_must_have_values(other: sa.Engine, any_bare_url: str) -> None:
    change(other, "ALTER TABLE ai_outbound_logs ADD COLUMN repairs INTEGER NOT NULL DEFAULT 0")
    change(other, "ALTER TABLE ai_outbound_logs ADD COLUMN retries INTEGER DEFAULT 0")
    assert [problem.split(":")[0] for problem in refusal(any_bare_url).problems] == ["repairs", "retries"]


@pytest.mark.parametrize("any_bare_url", ["mariadb"], indirect=True)
def test_columns_too_wide_for_an_index_of_the_log_are_named(other: sa.Engine, any_bare_url: str) -> None:
    columns = "ADD COLUMN {} VARCHAR(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    change(other, "ALTER TABLE ai_outbound_logs " + ", ".join(map(columns.format, ("tenant", "conversation_id"))))
    (problem,) = refusal(any_bare_url).problems
    assert "tenant, feature, conversation_id: too wide together for the index uq_ai_outbound_logs_turn" in problem


def test_a_log_id_that_means_something_else_is_refused(other: sa.Engine, any_bare_url: str) -> None:
    change(other, "ALTER TABLE ai_outbound_logs ADD COLUMN log_id VARCHAR(40)")
    change(other, "UPDATE ai_outbound_logs SET log_id = 'theirs'")
    assert refusal(any_bare_url).problems == ("log_id: holds values that aren't the log's; rename the column",)


@pytest.mark.parametrize("any_bare_url", ["sqlite", "postgresql"], indirect=True)
def test_a_rule_of_the_other_application_that_refuses_our_rows_is_told_and_nothing_is_changed(
    other: sa.Engine, any_bare_url: str
) -> None:
    """As Laravel's `enum` makes one of the columns."""
    if other.dialect.name == "postgresql":
        change(other, "ALTER TABLE ai_outbound_logs ADD CHECK (status IN ('success', 'failed'))")
    else:
        change(other, "ALTER TABLE ai_outbound_logs ADD COLUMN kind VARCHAR(9) DEFAULT 'x' CHECK (status <> 'started')")
    columns = [str(column) for column in sa.inspect(other).get_columns("ai_outbound_logs")]
    with pytest.raises(InvalidAdoption, match=r"it refuses a row of the log: .*(?i:check constraint)"):
        migrate_database(any_bare_url, adopt=True)
    assert [str(column) for column in sa.inspect(other).get_columns("ai_outbound_logs")] == columns


@pytest.mark.parametrize("any_bare_url", ["sqlite", "mariadb"], indirect=True)
def test_a_column_that_the_database_computes_is_refused(other: sa.Engine, any_bare_url: str) -> None:
    """The trial doesn't write it, and every ending would."""
    change(
        other, "ALTER TABLE ai_outbound_logs ADD COLUMN output_chars INT GENERATED ALWAYS AS (length(prompt)) VIRTUAL"
    )
    (problem,) = refusal(any_bare_url).problems
    assert problem == "output_chars: is computed by the database, and the log writes it; rename the column"


@pytest.mark.parametrize("column", ["log_id VARCHAR(36) PRIMARY KEY", "log_id VARCHAR(36) NOT NULL"])
def test_a_log_id_that_every_row_has_is_not_the_logs_though_no_row_is_there_yet(any_bare_url: str, column: str) -> None:
    """Each row of the other application would be taken for the log's, and never change again."""
    engine = connect(any_bare_url)
    change(engine, f"CREATE TABLE ai_outbound_logs ({column}, feature VARCHAR(120), created_at TIMESTAMP NULL)")
    with pytest.raises(SourceUnreachable, match="has a table ai_outbound_logs of another application"):
        migrate_database(any_bare_url)
    (problem,) = refusal(any_bare_url).problems
    assert problem == "log_id: has a value in every row, and only rows of the log may have one; rename the column"
    assert sa.inspect(engine).get_table_names() == ["ai_outbound_logs"]
    assert [index["name"] for index in sa.inspect(engine).get_indexes("ai_outbound_logs")] == []
    engine.dispose()


@pytest.mark.parametrize("any_bare_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("name", "collation"), [("tenant", "NOCASE"), ("conversation_id", "RTRIM")])
def test_a_file_whose_collation_makes_two_names_one_is_refused(
    other: sa.Engine, any_bare_url: str, name: str, collation: str
) -> None:
    change(other, f"ALTER TABLE ai_outbound_logs ADD COLUMN {name} TEXT COLLATE {collation}")
    with pytest.raises(InvalidAdoption, match=f"{name}: has a collation by which two different names"):
        migrate_database(any_bare_url, adopt=True)
    assert sa.inspect(other).get_columns("ai_outbound_logs")[-1]["name"] == name


@pytest.mark.parametrize("any_bare_url", ["postgresql"], indirect=True)
def test_a_collation_of_postgresql_that_makes_two_names_one_is_refused(other: sa.Engine, any_bare_url: str) -> None:
    change(other, "CREATE COLLATION either_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    change(other, "ALTER TABLE ai_outbound_logs ADD COLUMN tenant VARCHAR(120) COLLATE either_case")
    try:
        with pytest.raises(InvalidAdoption, match="tenant: has a collation by which two different names are the same"):
            migrate_database(any_bare_url, adopt=True)
    finally:
        change(other, "DROP TABLE ai_outbound_logs")
        change(other, "DROP COLLATION either_case")


@pytest.mark.parametrize("any_bare_url", ["sqlite"], indirect=True)
def test_a_file_that_cannot_be_adopted_keeps_its_journal(other: sa.Engine, any_bare_url: str) -> None:
    change(other, "ALTER TABLE ai_outbound_logs ADD COLUMN retries INTEGER DEFAULT 0")
    refusal(any_bare_url)
    with other.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


def test_another_applications_alembic_version_is_never_taken_for_the_logs(other: sa.Engine, any_bare_url: str) -> None:
    """Its numbers may be the log's own; the log's are noted in a table of their own beside it."""
    change(other, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    change(other, "INSERT INTO alembic_version VALUES ('0003')")
    for use in (migrate_database, pending_migration, open_engine):
        with pytest.raises(SourceUnreachable, match="has a table ai_outbound_logs of another application"):
            use(any_bare_url)
    assert "CREATE TABLE dispatcher_alembic_version" in pending_migration(any_bare_url, adopt=True)
    assert migrate_database(any_bare_url, adopt=True) is None
    assert migrate_database(any_bare_url) == migrate.head()
    open_engine(any_bare_url).dispose()
    checks = {check.subject: check for check in check_database(any_bare_url, lambda: dt.datetime.now(dt.UTC))}
    assert checks["schema"].outcome == "ok"
    with other.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["0003"]
