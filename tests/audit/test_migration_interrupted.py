"""A migration that dies at any statement, with or without another application's table, is finished by the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import laravel_table
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from laravel_table import theirs

from dispatcher.audit import installed, migrate
from dispatcher.audit.engine import connect, migrate_database
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.audit.tables import logs, metadata

_CHANGING = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE")


class Power:
    """Fails after so many statements that change something, as a process does that is killed."""

    def __init__(self, engine: sa.Engine, statements: int) -> None:
        self.left = statements
        sa.event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, _connection: object, _cursor: object, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(_CHANGING):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt


@pytest.fixture
def engine(any_bare_url: str) -> Iterator[sa.Engine]:
    engine = connect(any_bare_url)
    yield engine
    engine.dispose()


def die_after(engine: sa.Engine, statements: int, *, adopt: bool) -> None:
    failing = connect(engine.url.render_as_string(hide_password=False))
    Power(failing, statements)
    with pytest.raises(KeyboardInterrupt):
        migrate.upgrade(failing, adopt=adopt)
    failing.dispose()


@pytest.mark.parametrize("statements", [1, 3, 14, 31, 40])
def test_a_new_schema_is_finished(engine: sa.Engine, any_bare_url: str, statements: int) -> None:
    die_after(engine, statements, adopt=False)
    assert migrate_database(any_bare_url) in {None, *migrate.known()}
    assert migrate.current(engine) == migrate.head()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        assert installed.missing(connection) == []


@pytest.mark.parametrize("statements", [2, 3, 9, 34])
def test_an_adoption_is_finished_and_the_other_application_has_lost_nothing(
    engine: sa.Engine, any_bare_url: str, statements: int
) -> None:
    laravel_table.make(engine)
    before = theirs(engine)
    die_after(engine, statements, adopt=True)
    assert theirs(engine) == before
    migrate_database(any_bare_url, adopt=True)
    assert migrate.current(engine) == migrate.head()
    assert theirs(engine) == before
    with engine.connect() as connection:
        there = {column["name"] for column in sa.inspect(connection).get_columns("ai_outbound_logs")}
        assert {column.name for column in logs.columns} <= there
        indexes = {index["name"] for index in sa.inspect(connection).get_indexes("ai_outbound_logs")}
        assert {str(index.name) for index in logs.indexes} | {"uq_ai_outbound_logs_turn"} <= indexes
        assert installed.missing(connection) == []
