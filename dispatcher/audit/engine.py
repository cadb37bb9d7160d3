"""The way to the audit database: one engine, checked, and on SQLite migrated, before anyone uses it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from dispatcher.audit import migrate
from dispatcher.audit.address import FORM, parse
from dispatcher.audit.bounds import Patience, options_of, set_up
from dispatcher.audit.rights import granting, lacking, refuse_without_roles
from dispatcher.audit.trouble import is_on_read_only_file_system, named, reason_of, unusable_path
from dispatcher.errors import DispatcherError, SourceUnreachable

_WAL_ATTEMPTS = 200
_WAL_PAUSE_S = 0.05
_DRIVERS = {
    "postgresql": "install dispatcher[postgresql] and write postgresql+psycopg://…",
    "mysql": "install dispatcher[mariadb] and write mysql+pymysql://…",
    "mariadb": "install dispatcher[mariadb] and write mariadb+pymysql://…",
}


def open_engine(url: str, patience: Patience | None = None) -> sa.Engine:
    """An engine, as `connect` makes it, whose database is there and has the schema of this program.

    A SQLite file is created with its directory and migrated; it is in WAL mode and every commit is on the disk before
    it returns. Any other database is only looked at. After a fork the child calls `dispose(close=False)` on the engine
    and goes on with it. Raises SourceUnreachable, which never shows a user, a password or an option of the URL.
    """
    engine = connect(url, patience)
    with _reaching(engine):
        _begin_file(engine)
        problem = migrate.why_unusable(_revision(engine))
        if problem is not None:
            if engine.dialect.name != "sqlite":
                with engine.connect() as connection:
                    migrate.refuse_other_table(connection)
                raise _unreachable(engine.url, problem)
            migrate.upgrade(engine)
    return engine


def open_to_read(url: str) -> sa.Engine:
    """An engine for a log that is only read: nothing is created, and nothing migrated.

    A SQLite file may lie on a read-only file system. Raises SourceUnreachable where there is none, or its schema isn't
    the one of this program.
    """
    engine = connect(url)
    with _reaching(engine):
        if engine.dialect.name == "sqlite":
            engine = _file_to_read(engine)
        with engine.connect() as connection:
            problem = migrate.problem_of(connection)
        if problem is not None:
            raise _unreachable(engine.url, problem)
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
            _revision(engine)
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
            if not dry_run and engine.dialect.name == "postgresql" and lacking(connection, role):
                problem = "its role may not give others rights; name the owner with DISPATCHER_ADMIN_DATABASE_URL"
                raise _unreachable(engine.url, problem)
        engine.dispose()
    return statements


def connect(url: str, patience: Patience | None = None) -> sa.Engine:
    """An engine for a database that may have any schema, or not exist; nothing is opened yet.

    With patience it waits for no answer for longer; without it may be asked for what takes its time. Raises
    SourceUnreachable where the URL can't be used.
    """
    parsed = parse(url)
    try:
        engine = sa.create_engine(parsed, **options_of(parsed, patience))
    except sa.exc.NoSuchModuleError:
        raise SourceUnreachable(f"no database is known as {parsed.drivername!r}; {FORM}") from None
    except ModuleNotFoundError as error:
        fix = _DRIVERS.get(parsed.get_backend_name(), "install it")
        raise _unreachable(parsed, f"its driver {error.name} isn't installed; {fix}") from None
    except (TypeError, ValueError) as error:
        raise _unreachable(parsed, f"an option of the URL can't be used: {error}") from None
    if engine.dialect.is_async:
        raise _unreachable(parsed, f"{parsed.drivername} is an asynchronous driver; name a synchronous one")
    set_up(engine, patience)
    return engine


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


def _file_to_read(engine: sa.Engine) -> sa.Engine:
    path = Path(str(engine.url.database))
    if path.is_dir():
        raise _unreachable(engine.url, str(unusable_path(path)))
    if not path.exists():
        raise _unreachable(
            engine.url, "there is no such file; what dispatches first, or `dispatcher migrate`, makes it"
        )
    if not is_on_read_only_file_system(path):
        return engine
    if any(path.with_name(f"{path.name}{ending}").exists() for ending in ("-wal", "-journal")):
        problem = "its file system is read-only, and its newest rows are still in a file beside it"
        raise _unreachable(engine.url, f"{problem}; copy both to where you may write, and name the copy")
    # Readers of a write-ahead log write, too, unless they are told that nobody does.
    address = f"file:{quote(str(path.absolute()))}?immutable=1"

    def open_it() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, check_same_thread=False)

    still = sa.create_engine(engine.url, hide_parameters=True, creator=open_it)
    set_up(still, None)
    return still


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
    """The revision a database is at, None before the first. Raises SourceUnreachable for one that isn't known here."""
    revision = migrate.current(engine)
    if revision is not None and revision not in migrate.known():
        raise _unreachable(engine.url, str(migrate.why_unusable(revision)))
    return revision


def _unreachable(url: sa.URL, problem: str) -> SourceUnreachable:
    return SourceUnreachable(f"{named(url)} can't be used: {problem}")
