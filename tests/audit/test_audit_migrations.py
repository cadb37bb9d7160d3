from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dispatcher.audit import migrate
from dispatcher.audit.engine import connect, migrate_database, open_engine, pending_migration
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.audit.tables import metadata
from dispatcher.errors import SourceUnreachable

ROOT = Path(__file__).parents[2]
OPTIONS = {"version_table": VERSION_TABLE}


def _tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def test_the_migrated_schema_is_the_one_the_program_is_written_for(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True} | OPTIONS
        )
        assert compare_metadata(context, metadata) == []


def test_the_newest_revision_read_from_the_files_is_the_one_alembic_sees() -> None:
    config = Config()
    config.set_main_option("script_location", "dispatcher.audit:migrations")
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert migrate.head() == script.get_current_head()
    assert migrate.known() == [revision.revision for revision in reversed(list(script.walk_revisions()))]


def test_a_new_file_is_migrated_when_it_is_opened_and_left_alone_afterwards(database: Path) -> None:
    engine = connect(f"sqlite:///{database}")
    assert migrate.current(engine) is None
    assert not database.exists()
    open_engine(f"sqlite:///{database}").dispose()
    assert migrate.current(engine) == migrate.head()
    assert migrate.pending_sql(engine) == ""
    engine.dispose()
    assert migrate_database(f"sqlite:///{database}") == migrate.head()


def test_the_statements_of_a_dry_run_make_the_same_tables(database: Path, engine: sa.Engine, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    statements = pending_migration(f"sqlite:///{other}")
    assert not other.exists()
    with sa.create_engine(f"sqlite:///{other}").connect() as connection:
        connection.connection.dbapi_connection.executescript(statements)  # type: ignore[union-attr]
    made = connect(f"sqlite:///{other}")
    with made.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=OPTIONS), metadata) == []
    assert migrate.current(made) == migrate.head()
    made.dispose()


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
def test_the_statements_for_other_engines_are_printed_without_their_drivers(dialect: str) -> None:
    from dispatcher.audit.migrations import runner  # noqa: PLC0415

    statements = runner.upgrade_sql(dialect, None)
    assert "CREATE TABLE ai_outbound_logs" in statements
    assert f"version_num='{migrate.head()}'" in statements
    assert runner.upgrade_sql(dialect, migrate.head()).strip() == ""


def test_a_migration_that_fails_leaves_nothing_behind(database: Path) -> None:
    """The last table of the first migration is in the way, so the first ones aren't made either."""
    database.parent.mkdir()
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE adr_registrations (x)")
    with pytest.raises(SourceUnreachable, match="table adr_registrations already exists"):
        open_engine(f"sqlite:///{database}")
    assert _tables(engine) == {"adr_registrations"}
    engine.dispose()


def test_a_schema_newer_than_the_program_is_an_error_and_stays_as_it_is(engine: sa.Engine, database: Path) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE dispatcher_alembic_version SET version_num = '9999'")
    for use in (open_engine, migrate_database, pending_migration):
        with pytest.raises(SourceUnreachable, match=r"schema 9999 is newer than this program, .* upgrade"):
            use(f"sqlite:///{database}")
    assert migrate.current(engine) == "9999"


OPEN_AT_ONCE = """
import os, sys
from dispatcher.audit.engine import open_engine
import dispatcher.audit.migrations.runner  # imported before the fork, so that all of them arrive together

read, write = os.pipe()
children = []
for _ in range(8):
    children.append(os.fork())
    if not children[-1]:
        os.close(write)
        os.read(read, 1)  # the end of file is the starting signal
        engine = open_engine(sys.argv[1])
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT count(*) FROM ai_outbound_logs").scalar()
        os._exit(rows)
os.close(write)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_eight_processes_may_start_on_one_new_file_at_once(tmp_path: Path) -> None:
    for number in range(3):
        url = f"sqlite:///{tmp_path}/log-{number}/dispatcher.db"
        run = subprocess.run(
            [sys.executable, "-c", OPEN_AT_ONCE, url], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        assert (run.stdout, run.stderr) == ("[0, 0, 0, 0, 0, 0, 0, 0]\n", "")
