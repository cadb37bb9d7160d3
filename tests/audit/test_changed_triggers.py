"""A trigger that lets things through under the name of the log's own is seen, and made anew, on every engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from dispatcher.audit import installed, migrate
from dispatcher.audit.append_only import triggers
from dispatcher.audit.checkup import Check, check_database
from dispatcher.audit.engine import connect, granted, migrate_database, restore_triggers

FIRST_CONDITION = {"sqlite": " WHEN ", "postgresql": "WHEN (", "mysql": " IF ", "mariadb": " IF "}


@pytest.fixture
def engine(any_url: str) -> Iterator[sa.Engine]:
    migrate_database(any_url)
    engine = connect(any_url)
    yield engine
    engine.dispose()


def amiss(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection, connection.begin():
        return [*installed.missing(connection), *installed.changed(connection)]


def checked(url: str) -> Check:
    checks = check_database(url, lambda: dt.datetime.now(dt.UTC))
    return next(check for check in checks if check.subject == "append-only")


def emptied(engine: sa.Engine, name: str) -> None:
    """The trigger as it is, but for nothing that it refuses any more."""
    dialect = engine.dialect.name
    table, statement = triggers(dialect)[name]
    begin = FIRST_CONDITION[dialect]
    assert begin in statement
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TRIGGER {name}" + (f" ON {table}" if dialect == "postgresql" else ""))
        connection.exec_driver_sql(statement.replace(begin, f"{begin}1 = 0 AND ", 1))


def test_what_a_migration_made_is_what_should_be_there(engine: sa.Engine, any_url: str) -> None:
    assert amiss(engine) == []
    assert checked(any_url).outcome == "ok"
    assert migrate.pending_sql(engine) == ""


def test_every_trigger_that_was_replaced_by_an_empty_one_is_seen_and_made_anew(engine: sa.Engine, any_url: str) -> None:
    names = list(triggers(engine.dialect.name))
    for name in names:
        emptied(engine, name)
    assert sorted(amiss(engine)) == sorted(names)
    assert "CREATE TRIGGER" in migrate.pending_sql(engine)
    assert sorted(restore_triggers(any_url)) == sorted(names)
    assert amiss(engine) == []


def test_the_checkup_names_the_trigger_that_every_try_was_refused_without(engine: sa.Engine, any_url: str) -> None:
    """One more is let through than is tried: the row's other columns."""
    name, (table, statement) = next(iter(triggers(engine.dialect.name).items()))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"DROP TRIGGER {name}" + (f" ON {table}" if engine.dialect.name == "postgresql" else "")
        )
        assert "'success', 'error', 'cancelled'" in statement
        connection.exec_driver_sql(
            statement.replace("'success', 'error', 'cancelled'", "'success', 'error', 'cancelled', 'void'", 1)
        )
    check = checked(any_url)
    assert (check.outcome, check.finding) == ("fail", f"somebody has changed {name}")
    assert "dispatcher migrate" in str(check.fix)
    assert restore_triggers(any_url) == [name]


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_a_function_that_refuses_nothing_any_more_is_seen_and_made_anew(engine: sa.Engine, any_url: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION dispatcher_refuse_while_any() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RETURN NULL; END $$"
        )
    assert checked(any_url).finding == "somebody has changed dispatcher_refuse_while_any"
    assert restore_triggers(any_url) == ["dispatcher_refuse_while_any"]
    assert checked(any_url).outcome == "ok"


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_a_role_that_may_not_compare_is_told_so_and_the_tries_are_told_all_the_same(
    engine: sa.Engine, any_url: str
) -> None:
    database = engine.url.database
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE modest LOGIN")
        connection.exec_driver_sql(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    try:
        granted(any_url, "modest", dry_run=False)
        check = checked(engine.url.set(username="modest").render_as_string(hide_password=False))
        assert check.outcome == "warn"
        assert check.finding.startswith("no logged row can be changed or deleted; each try was refused")
        assert "the triggers weren't compared: permission denied to create temporary tables" in check.finding
        assert "GRANT TEMPORARY ON DATABASE" in str(check.fix)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY modest")
            connection.exec_driver_sql("DROP ROLE modest")
            connection.exec_driver_sql(f"GRANT TEMPORARY ON DATABASE {database} TO PUBLIC")


def test_looking_leaves_nothing_behind(engine: sa.Engine) -> None:
    before = sorted(sa.inspect(engine).get_table_names())
    with engine.connect() as connection, connection.begin():
        installed.changed(connection)
        if connection.dialect.name == "postgresql":
            assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'
            of_mine = "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()"
            assert connection.exec_driver_sql(of_mine).scalar() == 0
    assert sorted(sa.inspect(engine).get_table_names()) == before
