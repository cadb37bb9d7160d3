"""How long a database may keep anybody waiting, and how many connections a process that serves needs to it."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    import psycopg

    Connected = psycopg.Connection[Any]

_ANSWER_S = "answer_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many seconds one waits for a connection, for another's lock, for a statement, and for any answer at all.

    The server itself ends a wait for a lock and a statement: a refusal that leaves nothing in doubt. What has said
    nothing for longer is a network, or a server, that has stopped, and its connection is given up.
    """

    connect_s: int = 10
    lock_s: int = 8
    statement_s: int = 10
    answer_s: int = 12


SERVING = Patience()
"""That of a process that serves: less than an attempt takes, and more than a database that is only slow."""

LOG_THREADS = 4
"""More connections write more rows a second."""
_ONE_EACH = ("assignments", "drain", "sweep", "changes of flags")
CONNECTIONS = LOG_THREADS + len(_ONE_EACH)
"""How many connections a process that serves holds at once: the log's, and those of whoever has a thread of its own."""

# A peer that is gone is known by that, also while a verdict's statement takes its time.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_GONE_S = 60


def options_of(url: sa.URL, patience: Patience | None) -> dict[str, Any]:
    """What an engine is made with; without patience it may be asked for what takes its time.

    An option that the URL states for itself is left to it.
    """
    options: dict[str, Any] = {"hide_parameters": True}
    if patience is not None:
        options |= {"pool_size": CONNECTIONS, "pool_timeout": patience.answer_s}
        options["execution_options"] = {_ANSWER_S: patience.answer_s}
    backend, usual = url.get_backend_name(), patience or SERVING
    if backend == "sqlite":
        return options | {"connect_args": {"timeout": usual.statement_s}}
    arguments: dict[str, Any] = {"connect_timeout": usual.connect_s}
    if backend == "postgresql":
        # What was sent and never arrived isn't carried out after the connection was given up.
        gone_s = _GONE_S if patience is None else patience.answer_s
        arguments |= _KEEPALIVE | {"tcp_user_timeout": gone_s * 1000}
    elif patience is not None:
        arguments |= {"read_timeout": patience.answer_s, "write_timeout": patience.answer_s}
    stated = {name: value for name, value in arguments.items() if name not in url.query}
    return options | {"pool_pre_ping": True, "connect_args": stated}


def answer_s_of(engine: sa.Engine) -> float | None:
    """How many seconds an answer of this database may take; None where nothing bounds it."""
    bound: float | None = engine.get_execution_options().get(_ANSWER_S)
    return bound


def set_up(engine: sa.Engine, patience: Patience | None) -> None:
    """Have every connection of an engine told how it works, and how long it may wait."""
    statements = [*_ALWAYS.get(engine.dialect.name, ()), *_waits(engine.dialect.name, patience)]

    def tell(connection: Any, _record: object) -> None:
        try:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            cursor.close()
            connection.commit()
        except BaseException:
            # The pool forgets a connection that can't be set up, and doesn't close it.
            connection.close()
            raise

    def connect(dialect: sa.Dialect, _record: object, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
        return _connected(dialect, patience, arguments, named)

    sa.event.listen(engine, "connect", tell)
    if engine.dialect.name != "sqlite":
        sa.event.listen(engine, "do_connect", connect)


_ALWAYS: dict[str, list[str]] = {
    # With mmap a failing disk or a truncated file kills the process instead of raising.
    "sqlite": ["PRAGMA synchronous=FULL", "PRAGMA mmap_size=0"],
    # A TIMESTAMP of another application's table means a moment in the session's time zone.
    "postgresql": ["SET TIME ZONE 'UTC'"],
    "mysql": ["SET time_zone = '+00:00'"],
    "mariadb": ["SET time_zone = '+00:00'"],
}


def _waits(dialect: str, patience: Patience | None) -> list[str]:
    if patience is None or dialect == "sqlite":
        return []
    if dialect == "postgresql":
        waits = {"lock": patience.lock_s, "statement": patience.statement_s}
        # A host that vanished in a transaction mustn't hold a tenant's budget until the network notices.
        waits["idle_in_transaction_session"] = patience.answer_s
        return [f"SET {name}_timeout = '{seconds}s'" for name, seconds in waits.items()]
    return [
        # Only MariaDB has what such a comment holds, and reads it.
        f"SET innodb_lock_wait_timeout = {patience.lock_s} /*M! , idle_transaction_timeout = {patience.answer_s} */",
        f"SET lock_wait_timeout = {patience.lock_s} /*M! , max_statement_time = {patience.statement_s} */",
    ]


def _connected(
    dialect: sa.Dialect, patience: Patience | None, arguments: Sequence[Any], named: dict[str, Any]
) -> object:
    """A connection that waits for no answer for longer. Raises the driver's error also where the driver forgets to."""
    try:
        if dialect.driver == "psycopg" and patience is not None:
            return _impatient(patience).connect(*arguments, **named)
        if dialect.driver == "pymysql" and patience is None:
            return _greeted(dialect, arguments, named)
        return dialect.connect(*arguments, **named)
    except (TypeError, ValueError, AttributeError) as error:
        problem = f"its host, or an option of the URL, can't be used: {error}"
        raise dialect.loaded_dbapi.OperationalError(problem) from None


def _impatient(patience: Patience) -> type[Connected]:
    """Connections that give up a server which says nothing; psycopg, unlike PyMySQL, has no setting for that."""
    import psycopg  # noqa: PLC0415 - only who has this server has its driver

    class Impatient(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *rest: Any, **more: Any) -> Any:
            return super().wait(self._in_time(gen), *rest, **more)

        def _in_time(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            heard = time.monotonic()
            try:
                wanted = next(steps)
                while True:
                    # Nothing, where the driver only looks up, as it does every now and then.
                    ready = yield wanted
                    if ready:
                        heard = time.monotonic()
                    elif time.monotonic() - heard > patience.answer_s:
                        self.close()
                        raise psycopg.OperationalError(f"it hasn't answered within {patience.answer_s} s")
                    wanted = steps.send(ready)
            except StopIteration as done:
                return done.value

    return Impatient


def _greeted(dialect: sa.Dialect, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
    """A connection whose server must greet in the time that there is for connecting; what is asked then takes its time.

    PyMySQL counts that time only until the server has accepted, and its time to read holds for every statement.
    """
    connection = dialect.loaded_dbapi.connect(*arguments, **named, defer_connect=True)
    stated = connection._read_timeout  # noqa: SLF001 - nothing else changes it between two answers
    connection._read_timeout = stated or connection.connect_timeout  # noqa: SLF001
    try:
        connection.connect()
    finally:
        connection._read_timeout = stated  # noqa: SLF001
    return connection
