"""The one door to Alembic. Its configuration is built here, so an installed wheel needs no file beside the package."""

from __future__ import annotations

import io

import sqlalchemy as sa
from alembic import command
from alembic.config import Config


def upgrade(connection: sa.Connection, there: frozenset[str], *, adopted: bool) -> None:
    """Bring the database to the newest revision, inside the connection's own transaction.

    `there` are the columns and indexes that the table of the log has; `adopted` says that another application made it.
    """
    config = _config()
    config.attributes |= {"connection": connection, "there": there, "adopted": adopted}
    command.upgrade(config, "head")


def upgrade_sql(dialect: str, since: str | None, there: frozenset[str] = frozenset(), *, adopted: bool = False) -> str:
    """The statements that lead from a revision to the newest one, for an engine."""
    printed = io.StringIO()
    config = _config(printed)
    config.attributes |= {"dialect": dialect, "there": there, "adopted": adopted}
    command.upgrade(config, f"{since or 'base'}:head", sql=True)
    return printed.getvalue()


def _config(output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", "dispatcher.audit:migrations")
    config.set_main_option("path_separator", "os")
    return config
