"""Which schema a database has, which one this program needs, and the way from one to the other."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import sqlalchemy as sa


def head() -> str:
    """The newest revision this program knows, from the numbered files; costs no import of Alembic."""
    return known()[-1]


def known() -> list[str]:
    """All revisions, oldest first."""
    versions = resources.files("dispatcher.audit") / "migrations" / "versions"
    return sorted(file.name.partition("_")[0] for file in versions.iterdir() if file.name[:1].isdigit())


def current(engine: sa.Engine) -> str | None:
    """The revision a database is at; None where it was never migrated. Never creates a file."""
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
        return None
    with engine.connect() as connection:
        return _current(connection)


def upgrade(engine: sa.Engine) -> None:
    """Migrate to the newest revision, in one transaction where the engine has transactional DDL.

    Several processes may do so at once: the first one migrates, the others wait and find nothing to do.
    """
    from dispatcher.audit.migrations import runner  # noqa: PLC0415 -- Alembic costs an import only where it is used

    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # The driver begins no transaction for DDL; IMMEDIATE takes the write lock before the revision is read.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if _current(connection) != head():
            runner.upgrade(connection)


def pending_sql(engine: sa.Engine) -> str:
    """The statements that `upgrade` would run; empty where there is nothing to do."""
    from dispatcher.audit.migrations import runner  # noqa: PLC0415 -- as above

    revision = current(engine)
    return "" if revision == head() else runner.upgrade_sql(engine.dialect.name, revision)


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return revision
