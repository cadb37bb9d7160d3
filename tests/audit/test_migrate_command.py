from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import laravel_table
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from dispatcher.audit.engine import connect, open_engine
from dispatcher.audit.migrate import head
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.cli.migrate import migrate
from dispatcher.errors import InvalidAdoption, InvalidSettings, SourceUnreachable


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "log" / "dispatcher.db"
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{file}")
    return file


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(migrate, arguments)


def test_a_dry_run_prints_the_statements_and_makes_nothing(file: Path) -> None:
    result = _run("--dry-run")
    assert result.exit_code == 0
    assert "CREATE TABLE ai_outbound_logs (" in result.output
    assert "CREATE TRIGGER ai_outbound_logs_keeps_values" in result.output
    assert not file.parent.exists()


def test_migrating_twice_does_nothing_the_second_time(file: Path) -> None:
    nothing = f"the schema is at {head()} already; nothing to do\n"
    assert _run().output == f"migrated to {head()}\n"
    assert file.exists()
    assert _run().output == nothing
    assert _run("--dry-run").output == f"-- {nothing}"


def test_triggers_that_were_taken_away_are_made_again_and_named(file: Path) -> None:
    _run()
    engine = connect(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER flag_changes_keeps_rows")
    engine.dispose()
    assert "CREATE TRIGGER flag_changes_keeps_rows" in _run("--dry-run").output
    assert _run().output == (
        "made again what somebody had taken away: flag_changes_keeps_rows\n"
        f"the schema is at {head()} already; nothing to do\n"
    )


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_database_that_cannot_be_used_is_one_clear_error(file: Path, arguments: tuple[str, ...]) -> None:
    file.mkdir(parents=True)
    result = _run(*arguments)
    assert isinstance(result.exception, SourceUnreachable)
    assert "it is a directory" in str(result.exception)


def test_another_applications_table_is_adopted_where_that_is_asked_for(file: Path) -> None:
    file.parent.mkdir()
    engine = connect(f"sqlite:///{file}")
    laravel_table.make(engine)
    assert "dispatcher migrate --adopt --dry-run" in str(_run().exception)
    planned = _run("--adopt", "--dry-run").output
    assert "ALTER TABLE ai_outbound_logs ADD COLUMN log_id VARCHAR(36);" in planned
    assert "CREATE TABLE ai_outbound_logs" not in planned
    assert [column["name"] for column in sa.inspect(engine).get_columns("ai_outbound_logs")][-1] == "updated_at"
    assert _run("--adopt").output == f"migrated to {head()}\n"
    assert _run("--adopt").output == f"the schema is at {head()} already; nothing to do\n"
    assert len(laravel_table.theirs(engine)) == 3
    engine.dispose()


@pytest.mark.parametrize("adopted", [True, False])
@pytest.mark.parametrize("arguments", [("--adopt",), ("--adopt", "--dry-run")])
def test_a_newer_schema_is_named_also_to_who_would_adopt(
    file: Path, arguments: tuple[str, ...], *, adopted: bool
) -> None:
    file.parent.mkdir()
    engine = connect(f"sqlite:///{file}")
    if adopted:
        laravel_table.make(engine)
    assert _run(*(("--adopt",) if adopted else ())).exit_code == 0
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    engine.dispose()
    refused = _run(*arguments).exception
    assert isinstance(refused, SourceUnreachable)
    assert "its schema 9999 is newer than this program" in str(refused)


@pytest.mark.parametrize("any_bare_url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_tables_whose_schema_nothing_tells_are_left_as_they_are(
    any_bare_url: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a copy of the log's tables leaves them, which left the one out that says of which schema they are."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", any_bare_url)
    assert _run().exit_code == 0
    engine = connect(any_bare_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
    refused = _run(*arguments).exception
    assert isinstance(refused, SourceUnreachable)
    assert f"{VERSION_TABLE} doesn't say of which schema; bring that table back" in str(refused)
    assert not sa.inspect(engine).has_table(VERSION_TABLE)
    engine.dispose()


def test_what_cannot_be_adopted_is_one_clear_error(file: Path) -> None:
    assert isinstance(_run("--adopt").exception, InvalidAdoption)


def test_a_file_has_no_role_to_grant_anything_to(file: Path) -> None:
    file.parent.mkdir()
    assert isinstance(_run("--dry-run", "--grant-to", "serving").exception, InvalidSettings)
    assert not file.exists()
    assert isinstance(_run("--grant-to", "serving").exception, InvalidSettings)


@pytest.fixture
def serving(any_bare_url: str) -> Iterator[str]:
    """A role that serves, in the database of the URL."""
    engine = connect(any_bare_url).execution_options(isolation_level="AUTOCOMMIT")
    postgresql = engine.dialect.name == "postgresql"
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE served LOGIN" if postgresql else "CREATE USER served@localhost")
    yield "served" if postgresql else "served@localhost"
    gone = ["DROP OWNED BY served", "DROP ROLE served"] if postgresql else ["DROP USER served@localhost"]
    with engine.connect() as connection:
        for statement in gone:
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.mark.parametrize("any_bare_url", ["postgresql", "mariadb"], indirect=True)
def test_the_owner_migrates_and_another_role_serves(
    any_bare_url: str, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DISPATCHER_ADMIN_DATABASE_URL is used to migrate, and DISPATCHER_DATABASE_URL isn't."""
    url = sa.make_url(any_bare_url).set(username="served").render_as_string(hide_password=False)
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", url)
    assert isinstance(_run().exception, SourceUnreachable)
    monkeypatch.setenv("DISPATCHER_ADMIN_DATABASE_URL", any_bare_url)
    planned = _run("--dry-run", "--grant-to", serving).output
    assert "GRANT SELECT, INSERT ON ai_outbound_calls TO " in planned
    granted = [line for line in planned.splitlines() if line.startswith("GRANT")]
    assert {line for line in granted if "DELETE" in line} == {
        line for line in granted if " ai_conversations " in line or " ai_results " in line
    }
    done = _run("--grant-to", serving).output
    assert done.startswith(f"migrated to {head()}\n{serving} may open, end and read rows")
    open_engine(url).dispose()
    monkeypatch.delenv("DISPATCHER_ADMIN_DATABASE_URL")
    assert _run().output == f"the schema is at {head()} already; nothing to do\n"


@pytest.mark.parametrize("any_bare_url", ["postgresql", "mariadb"], indirect=True)
def test_who_does_not_own_the_tables_gives_nobody_rights_and_is_told_so(
    any_bare_url: str, serving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL itself only warns."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", any_bare_url)
    assert _run("--grant-to", serving).exit_code == 0
    engine = connect(any_bare_url).execution_options(isolation_level="AUTOCOMMIT")
    other = "other" if engine.dialect.name == "postgresql" else "other@localhost"
    with engine.connect() as connection:
        kind = "ROLE" if other == "other" else "USER"
        connection.exec_driver_sql(f"CREATE {kind} {other}")
        url = sa.make_url(any_bare_url).set(username="served").render_as_string(hide_password=False)
        monkeypatch.setenv("DISPATCHER_DATABASE_URL", url)
        try:
            refused = _run("--grant-to", other).exception
        finally:
            connection.exec_driver_sql(f"DROP {kind} {other}")
    engine.dispose()
    assert isinstance(refused, SourceUnreachable)
