"""How a database stands as the place of the log: what it is, what it enforces, what has been left behind in it."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from dispatcher.audit import installed, migrate
from dispatcher.audit.adoption import other_table
from dispatcher.audit.append_only import triggers
from dispatcher.audit.engine import open_existing
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.revision import revision_of
from dispatcher.audit.rights import standing
from dispatcher.audit.sweeper import due_at, may_be_overdue
from dispatcher.audit.tables import logs
from dispatcher.audit.trial import Answer, Tried, try_to_change
from dispatcher.audit.trouble import is_denied, named, reason_of
from dispatcher.errors import SourceUnreachable

_FIRST_WITHOUT_WAL_RESET_BUG = (3, 51, 3)
_OLDEST = {"postgresql": (12,), "mysql": (8, 0, 16), "mariadb": (10, 6)}
_SKEW_TO_WATCH, _SKEW_TOO_LARGE = dt.timedelta(seconds=1), dt.timedelta(seconds=60)
_NEWEST = 100
_TAKEN_AWAY = "see who took the triggers away, then run: dispatcher migrate"
_GRANT = "as the owner (DISPATCHER_ADMIN_DATABASE_URL), run: dispatcher migrate --grant-to ROLE, and serve as that role"


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it stands, and what to do about it; nothing to do where it is all right."""

    subject: str
    outcome: Outcome
    finding: str
    fix: str | None = None


def check_database(url: str, clock: Callable[[], dt.datetime]) -> list[Check]:
    """Look into the database as the role of the URL; creates nothing and leaves nothing behind.

    `clock` tells the moment by this host. What keeps it from being looked into is a check that failed.
    """
    checks = [_of_library()]
    try:
        engine = open_existing(url)
    except SourceUnreachable as error:
        return [_failed("database", str(error), "set DISPATCHER_DATABASE_URL"), *checks]
    if engine is None:
        finding = "the file isn't there yet; it is made, and migrated, when it is first used"
        return [Check("database", Outcome.OK, finding), *checks]
    try:
        with engine.connect() as connection:
            return [_of_engine(connection), *checks, *_of_schema(connection, clock)]
    except (sa.exc.SQLAlchemyError, OSError) as error:
        finding = f"{named(engine.url)} can't be used: {reason_of(error, engine.url)}"
        denied = isinstance(error, sa.exc.DBAPIError) and is_denied(error)
        fix = _GRANT if denied else "see that it runs, and that the user may connect to it"
        return [_failed("database", finding, fix), *checks]
    finally:
        engine.dispose()


def _of_library() -> Check:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _FIRST_WITHOUT_WAL_RESET_BUG:
        return Check("sqlite", Outcome.OK, f"the library is {version}")
    finding = f"the library is {version}: until 3.51.2 two processes that write at the same instant may, very rarely, "
    fix = "use a Python that links SQLite 3.51.3 or newer; a log of several processes is safe in PostgreSQL or MariaDB"
    return Check("sqlite", Outcome.WARN, f"{finding}damage a file (the WAL-reset bug)", fix)


def _of_engine(connection: sa.Connection) -> Check:
    dialect, url = connection.dialect, connection.engine.url
    version = dialect.server_version_info or ()
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    shown = f"{name} {'.'.join(map(str, version))}, {named(url)}"
    if name in _OLDEST and version < _OLDEST[name]:
        oldest = ".".join(map(str, _OLDEST[name]))
        return _failed("database", shown, f"use {name} {oldest} or newer")
    return Check("database", Outcome.OK, shown)


def _of_schema(connection: sa.Connection, clock: Callable[[], dt.datetime]) -> Iterator[Check]:
    head = migrate.head()
    revision = revision_of(connection)
    if revision == head:
        yield Check("schema", Outcome.OK, f"at {head}, which is the newest")
        yield from _of_a_log(connection, clock)
    elif revision is not None and revision not in migrate.known():
        yield _failed("schema", f"{revision} is newer than this program, which knows {head}", "upgrade the program")
    elif revision is None and other_table(connection) is not None:
        finding = f"there is none yet, and the table {logs.name} is another application's"
        yield _failed("schema", finding, "name another database, or see: dispatcher migrate --adopt --dry-run")
    else:
        state = "there is none yet" if revision is None else f"{revision} is older than {head}"
        yield _failed("schema", state, "run: dispatcher migrate")


def _of_a_log(connection: sa.Connection, clock: Callable[[], dt.datetime]) -> Iterator[Check]:
    looks = {
        "append-only": _of_rows,
        "role": _of_role,
        "clock": lambda connection: _of_clock(connection, clock),
        "open rows": _of_open_rows,
    }
    for subject, look in looks.items():
        try:
            yield look(connection)
        except sa.exc.DBAPIError as error:
            connection.rollback()
            yield _failed(subject, f"can't be told: {reason_of(error, connection.engine.url)}", _GRANT)


def _of_rows(connection: sa.Connection) -> Check:
    """Whether rows stay as they are: tried, as a trigger that is there may let something through.

    What isn't tried, because it would lock a table, is told from the triggers, where every role may see them.
    """
    tried = _try(connection)
    let_through = [f"{one.verb} on {one.table}" for one in tried if one.answer is Answer.DONE]
    if let_through:
        finding = f"the database carries out {', '.join(let_through)}"
        return _failed("append-only", finding, _TAKEN_AWAY)
    amiss, uncompared = _of_triggers(connection)
    if amiss is not None:
        return _failed("append-only", amiss, _TAKEN_AWAY)
    untried = [one for one in tried if one.problem is not None]
    if untried:
        reason = reason_of(untried[0].problem or ValueError(), connection.engine.url)
        finding = f"not tried on {', '.join(sorted({one.table for one in untried}))}: {reason}"
        return _failed("append-only", finding, _GRANT)
    ways = sorted({one.answer.value for one in tried})
    finding = f"no logged row can be changed or deleted; each try was {' or '.join(ways)}"
    if uncompared is not None:
        fix = "as the owner, GRANT TEMPORARY ON DATABASE to this role, and run this again"
        return Check("append-only", Outcome.WARN, f"{finding}; the triggers weren't compared: {uncompared}", fix)
    return Check("append-only", Outcome.OK, finding)


def _of_triggers(connection: sa.Connection) -> tuple[str | None, str | None]:
    """What is amiss with the triggers, as far as the role may see them: on MySQL the one that serves may not; and why
    their texts couldn't be compared.
    """
    missing = installed.missing(connection)
    if missing and (connection.dialect.name in {"sqlite", "postgresql"} or len(missing) < len(triggers("mysql"))):
        return f"there is no trigger {', '.join(missing)}", None
    try:
        changed = installed.changed(connection)
    except sa.exc.DBAPIError as error:
        if not is_denied(error):
            raise
        return None, reason_of(error, connection.engine.url)
    return f"somebody has changed {', '.join(changed)}" if changed else None, None


def _try(connection: sa.Connection) -> list[Tried]:
    connection.rollback()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.dialect.name == "sqlite" else "SELECT 1")
    try:
        return try_to_change(connection)
    finally:
        connection.rollback()


def _of_role(connection: sa.Connection) -> Check:
    found = standing(connection)
    if found is None:
        finding = "a file has no roles: its triggers stop mistakes, and not who may write to the file"
        return Check("role", Outcome.OK, finding)
    fix = (
        "as the owner (DISPATCHER_ADMIN_DATABASE_URL), run: dispatcher migrate --grant-to ROLE, and serve as that role"
    )
    if found.lacks:
        return _failed("role", f"{found.role} lacks {', '.join(found.lacks)}", fix)
    if found.too_much:
        finding = f"{found.role} could take away what keeps rows as they are: {'; '.join(found.too_much)}"
        return Check("role", Outcome.WARN, finding, _GRANT)
    return Check("role", Outcome.OK, f"{found.role} may open, end and read rows, and no more")


def _of_clock(connection: sa.Connection, clock: Callable[[], dt.datetime]) -> Check:
    before = clock()
    now: dt.datetime = connection.execute(sa.select(DatabaseNow())).scalar_one()
    after = clock()
    skew = before - now if now < before else max(now - after, dt.timedelta(0))
    arrived = sa.select(logs.c.recorded_at).where(logs.c.log_id.is_not(None))
    latest = arrived.order_by(logs.c.created_at.desc()).limit(_NEWEST).subquery()
    newest: dt.datetime | None = connection.execute(sa.select(sa.func.max(latest.c.recorded_at))).scalar()
    if newest is not None and newest - now > _SKEW_TO_WATCH:
        moments = f"it is {now:%Y-%m-%d %H:%M:%S} UTC, and a row arrived at {newest:%Y-%m-%d %H:%M:%S}"
        finding = f"the database's clock went back: {moments}"
        return Check("clock", Outcome.WARN, finding, "keep the database's clock by NTP; no row is lost by it")
    finding = f"this host and the database differ by {skew.total_seconds():.1f} s"
    if skew <= _SKEW_TO_WATCH:
        return Check("clock", Outcome.OK, finding)
    outcome = Outcome.WARN if skew <= _SKEW_TOO_LARGE else Outcome.FAIL
    return Check("clock", outcome, finding, "keep both clocks by NTP: rows would count in the wrong weeks")


def _of_open_rows(connection: sa.Connection) -> Check:
    now: dt.datetime = connection.execute(sa.select(DatabaseNow())).scalar_one()
    query = sa.select(logs.c.created_at, logs.c.deadline_at, logs.c.recorded_at).where(may_be_overdue(now))
    number = sum(due_at(*moments) <= now for moments in connection.execute(query))
    if number == 0:
        return Check("open rows", Outcome.OK, "none is past its deadline")
    finding = f"{number} past their deadline: whoever opened them is gone, slow, or can't reach the database"
    return Check("open rows", Outcome.WARN, finding, "run: dispatcher logs sweep")


def _failed(subject: str, finding: str, fix: str) -> Check:
    return Check(subject, Outcome.FAIL, finding, fix)
