"""Which schema a database has, which one this program needs, and the way from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

import sqlalchemy as sa

from dispatcher.audit import append_only, installed
from dispatcher.audit.adoption import TELLS_CASES_APART, OtherTable, names_of_log, other_table, refuse_unfit
from dispatcher.audit.revision import VERSION_TABLE, renaming, revision_of
from dispatcher.audit.tables import logs
from dispatcher.audit.trial import open_and_end, taken_for_the_same
from dispatcher.audit.trouble import is_denied, reason_of
from dispatcher.errors import InvalidAdoption

_LOCK_NUMBER = 0x6469737061746368
_LOCK_WAIT_S = 600
_OF_ANOTHER = f"it has a table {logs.name} of another application"
_ADOPT = "name another database, or let the log be kept in that table: dispatcher migrate --adopt --dry-run"


class Unmigrated(Exception):
    """The database isn't migrated, for a reason that is told after its name."""


def head() -> str:
    """The newest revision this program knows, from the numbered files; costs no import of Alembic."""
    return known()[-1]


def known() -> list[str]:
    """All revisions, oldest first."""
    versions = resources.files("dispatcher.audit") / "migrations" / "versions"
    return sorted(file.name.partition("_")[0] for file in versions.iterdir() if file.name[:1].isdigit())


def why_unusable(revision: str | None) -> str | None:
    """What is wrong with a database at a revision, and the fix; None for the newest, which is what is used."""
    if revision is None:
        return "it has no schema yet; run `dispatcher migrate`"
    if revision not in known():
        return f"its schema {revision} is newer than this program, which knows {head()}; upgrade the program"
    return None if revision == head() else f"its schema {revision} is an older one; run `dispatcher migrate`"


def problem_of(connection: sa.Connection) -> str | None:
    """What is wrong with a connection's database, and the fix; None for one whose log can be used."""
    revision = revision_of(connection)
    if revision is None and other_table(connection) is not None:
        return f"{_OF_ANOTHER}; {_ADOPT}"
    return why_unusable(revision)


def current(engine: sa.Engine) -> str | None:
    """The revision a database is at; None where it was never migrated. Never creates a file."""
    if _is_missing_file(engine):
        return None
    with engine.connect() as connection:
        return revision_of(connection)


def upgrade(engine: sa.Engine, *, adopt: bool = False) -> None:
    """Migrate to the newest revision, in one transaction where the engine has transactional DDL.

    Several processes may do so at once: the first one migrates, the others wait and find nothing to do. What keeps
    rows as they are is away while migrations run, and made anew after them. A table that another application has made
    is adopted only where that is asked for. Raises InvalidAdoption, or Unmigrated where it wasn't.
    """
    from dispatcher.audit.migrations import runner  # noqa: PLC0415 -- Alembic costs an import only where it is used

    with engine.begin() as connection, _alone(connection):
        revision, other = revision_of(connection), other_table(connection)
        _refuse_misunderstanding(revision, other, adopt=adopt)
        if revision == head():
            return
        _refuse_forgotten_revision(connection, revision, other)
        if other is not None:
            refuse_unfit(connection, other)
        _run(connection, append_only.removing(engine.dialect.name))
        _run(connection, renaming(connection))
        runner.upgrade(connection, names_of_log(connection), adopted=other is not None)
        _run(connection, append_only.making(engine.dialect.name))
        if other is not None:
            _refuse_unwritable(connection)


def restore_triggers(engine: sa.Engine) -> list[str]:
    """Make the triggers anew where some are missing, or aren't what they should be; returns those.

    The schema is the newest. A role that may not make them, which on MariaDB may not see them either, changes nothing.
    """
    dialect = engine.dialect.name
    try:
        with engine.begin() as connection, _alone(connection):
            amiss = _amiss(connection)
            if amiss:
                _run(connection, [*append_only.removing(dialect), *append_only.making(dialect)])
            return amiss
    except sa.exc.DBAPIError as error:
        if not is_denied(error):
            raise
        return []


def _amiss(connection: sa.Connection) -> list[str]:
    if missing := installed.missing(connection):
        return missing
    try:
        return installed.changed(connection)
    except sa.exc.DBAPIError as error:
        # A role that may not make temporary tables can't compare them; `dispatcher doctor` says so.
        if not is_denied(error):
            raise
        return []


def pending_sql(engine: sa.Engine, *, adopt: bool = False) -> str:
    """The statements that `upgrade` would run; empty where there is nothing to do. Raises as `upgrade` does."""
    from dispatcher.audit.migrations import runner  # noqa: PLC0415 -- as above

    if _is_missing_file(engine):
        _refuse_misunderstanding(None, None, adopt=adopt)
        return _whole_script(engine.dialect.name, None, runner.upgrade_sql(engine.dialect.name, None))
    with engine.connect() as connection:
        revision, other = revision_of(connection), other_table(connection)
        _refuse_misunderstanding(revision, other, adopt=adopt)
        dialect = engine.dialect.name
        if revision == head():
            return _whole_script(dialect, revision, "") if _amiss(connection) else ""
        _refuse_forgotten_revision(connection, revision, other)
        if other is not None:
            refuse_unfit(connection, other)
        names, renamed = names_of_log(connection), _script(renaming(connection), dialect)
    migrations = runner.upgrade_sql(dialect, revision, names, adopted=other is not None)
    return _whole_script(dialect, revision, renamed + migrations)


def refuse_other_table(connection: sa.Connection) -> None:
    """Raise Unmigrated for a database in which another application keeps an `ai_outbound_logs`."""
    if revision_of(connection) is None and other_table(connection) is not None:
        _refuse_misunderstanding(None, other_table(connection), adopt=False)


def _refuse_misunderstanding(revision: str | None, other: OtherTable | None, *, adopt: bool) -> None:
    if other is not None and revision is None and not adopt:
        raise Unmigrated(f"{_OF_ANOTHER}; {_ADOPT}")
    if other is None and adopt:
        problem = f"there is no table {logs.name} of another application; leave --adopt out"
        raise InvalidAdoption("the database", [problem])


def _refuse_forgotten_revision(connection: sa.Connection, revision: str | None, other: OtherTable | None) -> None:
    """Raise Unmigrated for the tables of a log without a word of their schema, such as a copy that left that out."""
    # On MariaDB and MySQL a first migration that was interrupted leaves such tables, and goes on.
    is_left_out = revision is None and other is None and connection.dialect.name in {"sqlite", "postgresql"}
    if is_left_out and sa.inspect(connection).has_table(logs.name):
        raise Unmigrated(
            f"it has the tables of a log, and {VERSION_TABLE} doesn't say of which schema; bring that table back, too"
        )


def _refuse_unwritable(connection: sa.Connection) -> None:
    """Raise InvalidAdoption where the other application's rules keep a row from being opened and ended."""
    try:
        open_and_end(connection)
    except sa.exc.DBAPIError as error:
        problem = f"it refuses a row of the log: {reason_of(error, connection.engine.url)}"
        raise InvalidAdoption(f"the table {logs.name} can't be adopted", [problem]) from None
    # Those of MySQL and MariaDB, which add blanks to compare, were looked at before anything was changed.
    if connection.dialect.name in {"sqlite", "postgresql"}:
        same = taken_for_the_same(connection, TELLS_CASES_APART)
        problems = [f"{name}: has a collation by which two different names are the same; change it" for name in same]
        if problems:
            raise InvalidAdoption(f"the table {logs.name} can't be adopted", problems)


def _whole_script(dialect: str, since: str | None, migrations: str) -> str:
    before = [] if since is None else append_only.removing(dialect)
    return "".join((_script(before, dialect), migrations, _script(append_only.making(dialect), dialect)))


def _run(connection: sa.Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _script(statements: list[str], dialect: str) -> str:
    """The statements as the engine's own command line reads them."""
    if dialect not in {"mysql", "mariadb"}:
        return "".join(f"\n{statement};\n" for statement in statements)
    # A trigger has semicolons of its own, at which that command line would end it.
    written = "".join(f"\n{statement} $$\n" for statement in statements)
    return f"\nDELIMITER $$\n{written}\nDELIMITER ;\n" if statements else ""


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Wait for others that migrate the database, and hold off further ones."""
    match connection.dialect.name:
        case "sqlite":
            # The driver begins no transaction for DDL; IMMEDIATE takes the write lock before the revision is read.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        case "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
        case "mysql" | "mariadb":
            # Of the session and not of the transaction, which every statement of DDL ends. A lock's name is one for
            # all databases of the server.
            name = sa.func.sha1(sa.func.concat("dispatcher.migrate ", sa.func.database()))
            if connection.execute(sa.select(sa.func.get_lock(name, _LOCK_WAIT_S))).scalar() != 1:
                raise Unmigrated(f"another program has been migrating it for {_LOCK_WAIT_S} s; look at that one")
            try:
                yield
                # The last revision is noted after the last DDL; the next one must read it.
                connection.exec_driver_sql("COMMIT")
            finally:
                # A connection that broke has lost its lock, and its own error is the one to be told.
                with suppress(sa.exc.SQLAlchemyError):
                    connection.execute(sa.select(sa.func.release_lock(name)))
            return
    yield


def _is_missing_file(engine: sa.Engine) -> bool:
    return engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists()
