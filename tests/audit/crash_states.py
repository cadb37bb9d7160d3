"""What a database does while the programs of the crash matrix die, and how an old one is made."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from alembic import command
from alembic.config import Config

from dispatcher.audit.engine import connect


@contextlib.contextmanager
def again_and_again(hold: Callable[[], contextlib.AbstractContextManager[object]]) -> Iterator[None]:
    """What keeps the programs waiting, for a while, then not, then again, until they have ended."""
    ended = threading.Event()

    def turns() -> None:
        while not ended.is_set():
            with hold():
                ended.wait(0.12)
            ended.wait(0.04)

    thread = threading.Thread(target=turns)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def make_old(url: str) -> None:
    """Bring an empty database to an earlier schema."""
    config = Config()
    config.set_main_option("script_location", "dispatcher.audit:migrations")
    config.set_main_option("path_separator", "os")
    engine = connect(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    engine.dispose()


@contextlib.contextmanager
def statement_run(url: str, before: list[str], after: list[str]) -> Iterator[None]:
    """Statements on a connection that stays open in between."""
    engine = connect(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in before:
            connection.exec_driver_sql(statement)
        try:
            yield
        finally:
            for statement in after:
                connection.exec_driver_sql(statement)
    engine.dispose()
