"""The way to the audit database: one engine, checked, and on SQLite migrated, before anyone uses it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.audit import migrate
from dispatcher.audit.rights import granting, refuse_without_roles
from dispatcher.audit.trouble import named, reason_of, unusable_path
from dispatcher.errors import DispatcherError, SourceUnreachable

_BUSY_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 10
_WAL_ATTEMPTS = 200
_WAL_PAUSE_S = 0.05
_FORM = "write it as sqlite:////absolute/path/to/file.db or postgresql+psycopg://user@host/name"
_DRIVERS = {
    "postgresql": "install dispatcher[postgresql] and write postgresql+psycopg://…",
    "mysql": "install dispatcher[mariadb] and write mysql+pymysql://…",
    "mariadb": "install dispatcher[mariadb] and write mariadb+pymysql://…",
}


def open_engine(url: str) -> sa.Engine:
    """An engine whose database is there and has the schema of this program.

    A SQLite file is created with its directory and migrated; it is in WAL mode and every commit is on the disk before
    it returns. Any other database is only looked at. After a fork the child calls `dispose(close=False)` on the engine
    and goes on with it. Raises SourceUnreachable, which never shows a user, a password or an option of the URL.
    """
    engine = connect(url)
    with _reaching(engine):
        _begin_file(engine)
        revision = _revision(engine)
        if revision != migrate.head():
            if engine.dialect.name != "sqlite":
                with engine.connect() as connection:
                    migrate.refuse_other_table(connection)
                state = "it has no schema yet" if revision is None else f"its schema {revision} is an older one"
                raise _unreachable(engine.url, f"{state}; run `dispatcher migrate`")
            migrate.upgrade(engine)
    return engine


def open_existing(url: str) -> sa.Engine | None:
    """An engine for a database that is only looked into, whatever its schema; None where a file isn't there yet.

    Raises SourceUnreachable where the URL can't be used.
    """
    engine = connect(url)
    is_there = engine.dialect.name != "sqlite" or Path(str(engine.url.database)).exists()
    return engine if is_there else None


def migrate_database(url: str, *, adopt: bool = False) -> str | None:
    """Bring a database to the newest schema; returns the revision it had.

    With `adopt` the log is kept in the table that another application has made. Raises SourceUnreachable, and
    InvalidAdoption where the table can't hold the log.
    """
    engine = connect(url)
    with _reaching(engine):
        if adopt:
            # What can't be adopted is refused while the file is as another application made it, or isn't there.
            _refuse_unusable_path(engine)
            migrate.pending_sql(engine, adopt=True)
        _begin_file(engine, adopt=adopt)
        revision = _revision(engine)
        migrate.upgrade(engine, adopt=adopt)
    engine.dispose()
    return revision


def restore_triggers(url: str) -> list[str]:
    """Make again what somebody has taken away of a database of the newest schema; returns what that was.

    Raises SourceUnreachable.
    """
    engine = connect(url)
    with _reaching(engine):
        missing = migrate.restore_triggers(engine)
    engine.dispose()
    return missing


def pending_migration(url: str, *, adopt: bool = False) -> str:
    """The statements that would migrate a database; writes and creates nothing. Raises as `migrate_database` does."""
    engine = connect(url)
    with _reaching(engine):
        _refuse_unusable_path(engine)
        _revision(engine)
        statements = migrate.pending_sql(engine, adopt=adopt)
    engine.dispose()
    return statements


def granted(url: str, role: str, *, dry_run: bool) -> list[str]:
    """Give a role what serving needs, in a database of the newest schema, or don't; returns the statements.

    Raises SourceUnreachable, and InvalidSettings where there are no roles.
    """
    engine = connect(url)
    # Before connecting, which would make a file.
    refuse_without_roles(engine.dialect.name)
    with _reaching(engine):
        with engine.begin() as connection:
            statements = granting(connection, role)
            for statement in () if dry_run else statements:
                connection.exec_driver_sql(statement)
        engine.dispose()
    return statements


def connect(url: str) -> sa.Engine:
    """An engine for a database that may have any schema, or not exist; nothing is opened yet.

    Raises SourceUnreachable where the URL can't be used.
    """
    parsed = _parse(url)
    options: dict[str, Any] = {"hide_parameters": True}
    if parsed.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": _BUSY_TIMEOUT_S}
    else:
        # A host that answers nothing is as good as none; the network's own patience is minutes.
        options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": _CONNECT_TIMEOUT_S}}
    try:
        engine = sa.create_engine(parsed, **options)
    except sa.exc.NoSuchModuleError:
        raise SourceUnreachable(f"no database is known as {parsed.drivername!r}; {_FORM}") from None
    except ModuleNotFoundError as error:
        fix = _DRIVERS.get(parsed.get_backend_name(), "install it")
        raise _unreachable(parsed, f"its driver {error.name} isn't installed; {fix}") from None
    if engine.dialect.is_async:
        raise _unreachable(parsed, f"{parsed.drivername} is an asynchronous driver; name a synchronous one")
    if (set_up := _SET_UP.get(engine.dialect.name)) is not None:
        sa.event.listen(engine, "connect", set_up)
    return engine


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The text may hold a password, so it isn't shown.
        raise SourceUnreachable(f"the database URL can't be read; {_FORM}") from None
    if parsed.get_backend_name() != "sqlite":
        if any("@" in part for part in (parsed.host or "", parsed.database or "", url.partition("?")[2])):
            # What comes before it was taken for the whole password, and what comes after would be shown as a name.
            raise SourceUnreachable("the database URL can't be read: an @ in a user or a password is written %40")
        return parsed
    if parsed.database in {None, "", ":memory:"}:
        raise SourceUnreachable(f"a log in memory would not outlive its process; name a file: {_FORM}")
    if parsed.query or str(parsed.database).startswith("file:"):
        raise SourceUnreachable(f"a SQLite URL takes a path and no options; {_FORM}")
    return parsed


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # With mmap a failing disk or a truncated file kills the process instead of raising.
    for pragma in ("synchronous=FULL", "mmap_size=0"):
        connection.execute(f"PRAGMA {pragma}").close()


def _set_up_postgresql(connection: Any, _record: object) -> None:
    _in_utc(connection, "SET TIME ZONE 'UTC'")


def _set_up_mysql(connection: Any, _record: object) -> None:
    _in_utc(connection, "SET time_zone = '+00:00'")


def _in_utc(connection: Any, statement: str) -> None:
    # A TIMESTAMP of another application's table means a moment in the session's time zone.
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()
    connection.commit()


_SET_UP = {
    "sqlite": _set_up_sqlite,
    "postgresql": _set_up_postgresql,
    "mysql": _set_up_mysql,
    "mariadb": _set_up_mysql,
}


@contextmanager
def _reaching(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        engine.dispose()
        raise _unreachable(engine.url, reason_of(error, engine.url)) from None
    except migrate.Unmigrated as error:
        engine.dispose()
        raise _unreachable(engine.url, str(error)) from None
    except DispatcherError:
        engine.dispose()
        raise


def _begin_file(engine: sa.Engine, *, adopt: bool = False) -> None:
    if engine.dialect.name != "sqlite":
        return
    _refuse_unusable_path(engine)
    try:
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unreachable(engine.url, f"its directory can't be created: {error.strerror}") from None
    if _switch_to_wal(engine, adopt=adopt) != "wal":
        raise _unreachable(engine.url, "its file system has no write-ahead log; put the file on a local disk")


def _refuse_unusable_path(engine: sa.Engine) -> None:
    problem = unusable_path(Path(str(engine.url.database))) if engine.dialect.name == "sqlite" else None
    if problem is not None:
        raise _unreachable(engine.url, problem)


def _switch_to_wal(engine: sa.Engine, *, adopt: bool) -> str:
    for attempt in range(1, _WAL_ATTEMPTS + 1):
        try:
            with engine.connect() as connection:
                if not adopt:
                    # The mode stays with the file, which may be another application's.
                    migrate.refuse_other_table(connection)
                return str(connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar())
        except sa.exc.OperationalError as error:
            # SQLite refuses at once, without the busy timeout, where two processes switch the mode of a new file.
            if attempt == _WAL_ATTEMPTS or "locked" not in str(error.orig):
                raise
            time.sleep(_WAL_PAUSE_S)
    raise AssertionError("unreachable")


def _revision(engine: sa.Engine) -> str | None:
    revision = migrate.current(engine)
    if revision is None or revision in migrate.known():
        return revision
    newest = migrate.head()
    raise _unreachable(
        engine.url, f"its schema {revision} is newer than this program, which knows {newest}; upgrade the program"
    )


def _unreachable(url: sa.URL, problem: str) -> SourceUnreachable:
    return SourceUnreachable(f"{named(url)} can't be used: {problem}")
