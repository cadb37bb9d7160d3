"""Databases that refuse or keep one waiting, for tests of what becomes of the rows meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

LOGS = "ai_outbound_logs"


@contextlib.contextmanager
def refusing(engine: sa.Engine) -> Iterator[None]:
    """The table of the log isn't there."""
    _run(engine, f"ALTER TABLE {LOGS} RENAME TO elsewhere")
    try:
        yield
    finally:
        _run(engine, f"ALTER TABLE elsewhere RENAME TO {LOGS}")


@contextlib.contextmanager
def hanging(engine: sa.Engine) -> Iterator[None]:
    """Another program holds the table, and every statement on it waits; afterwards it is carried out."""
    hold, let_go = {
        "sqlite": (["BEGIN IMMEDIATE"], "ROLLBACK"),
        "postgresql": (["BEGIN", f"LOCK TABLE {LOGS} IN ACCESS EXCLUSIVE MODE"], "ROLLBACK"),
    }.get(engine.dialect.name, ([f"LOCK TABLES {LOGS} WRITE"], "UNLOCK TABLES"))
    # Of an engine of its own, whose closing no connection of the log's sees.
    other = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with other.connect() as connection:
        for statement in hold:
            connection.exec_driver_sql(statement)
        try:
            yield
        finally:
            connection.exec_driver_sql(let_go)


def _run(engine: sa.Engine, statement: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statement)
