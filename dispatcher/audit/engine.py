"""The way to the audit database: one engine, checked, and on SQLite migrated, before anyone uses it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.audit import migrate
from dispatcher.audit.trouble import named, reason_of, unusable_path
from dispatcher.errors import SourceUnreachable

_BUSY_TIMEOUT_S = 10.0
_WAL_ATTEMPTS = 200
_WAL_PAUSE_S = 0.05
_FORM = "write it as sqlite:////absolute/path/to/file.db or postgresql+psycopg://user@host/name"


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


def migrate_database(url: str) -> str | None:
    """Bring a database to the newest schema; returns the revision it had. Raises SourceUnreachable."""
    engine = connect(url)
    with _reaching(engine):
        _begin_file(engine)
        revision = _revision(engine)
        if revision != migrate.head():
            migrate.upgrade(engine)
    engine.dispose()
    return revision


def pending_migration(url: str) -> str:
    """The statements that would migrate a database; writes and creates nothing. Raises SourceUnreachable."""
    engine = connect(url)
    with _reaching(engine):
        _refuse_unusable_path(engine)
        _revision(engine)
        statements = migrate.pending_sql(engine)
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
        options["pool_pre_ping"] = True
    try:
        engine = sa.create_engine(parsed, **options)
    except sa.exc.NoSuchModuleError:
        raise SourceUnreachable(f"no database is known as {parsed.drivername!r}; {_FORM}") from None
    except ModuleNotFoundError as error:
        raise _unreachable(parsed, f"its driver {error.name} isn't installed; install it") from None
    if engine.dialect.is_async:
        raise _unreachable(parsed, f"{parsed.drivername} is an asynchronous driver; name a synchronous one")
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The text may hold a password, so it isn't shown.
        raise SourceUnreachable(f"the database URL can't be read; {_FORM}") from None
    if parsed.get_backend_name() != "sqlite":
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


@contextmanager
def _reaching(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        engine.dispose()
        raise _unreachable(engine.url, reason_of(error, engine.url)) from None
    except SourceUnreachable:
        engine.dispose()
        raise


def _begin_file(engine: sa.Engine) -> None:
    if engine.dialect.name != "sqlite":
        return
    _refuse_unusable_path(engine)
    try:
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unreachable(engine.url, f"its directory can't be created: {error.strerror}") from None
    if _switch_to_wal(engine) != "wal":
        raise _unreachable(engine.url, "its file system has no write-ahead log; put the file on a local disk")


def _refuse_unusable_path(engine: sa.Engine) -> None:
    problem = unusable_path(Path(str(engine.url.database))) if engine.dialect.name == "sqlite" else None
    if problem is not None:
        raise _unreachable(engine.url, problem)


def _switch_to_wal(engine: sa.Engine) -> str:
    for attempt in range(1, _WAL_ATTEMPTS + 1):
        try:
            with engine.connect() as connection:
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
