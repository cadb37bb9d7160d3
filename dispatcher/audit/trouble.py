"""What a database's refusal means, in words that name the fix and hold no secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from dispatcher.errors import SourceUnreachable

_SQLITE = {
    "SQLITE_BUSY": "another program holds it locked; wait for that program or stop it",
    "SQLITE_CANTOPEN": "the file can't be opened; check the path and its permissions",
    "SQLITE_CORRUPT": "the file is damaged; restore it from a copy",
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_IOERR": "the disk can't be read or written; check it and its free space",
    "SQLITE_LOCKED": "another connection holds it locked",
    "SQLITE_NOTADB": "the file is not a SQLite database; name another file",
    "SQLITE_PERM": "permission denied; give this user the right to write",
    "SQLITE_READONLY": "it is read-only; give this user the right to write to the file and its directory",
}

# MySQL's and MariaDB's numbers. Their own words for these would show what a row holds.
_MYSQL = {
    1062: "a row with the same key is there already",
    1264: "a number is too large for its column",
    1292: "a value doesn't fit its column",
    1366: "a text holds what the column's character set doesn't have",
}
_MYSQL_DEADLOCK, _POSTGRESQL_DEADLOCK = 1213, "40P01"
_MYSQL_DENIED, _POSTGRESQL_DENIED = {1044, 1142, 1143, 1370}, "42501"


def named(url: sa.URL) -> str:
    """The database without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return f"the database file {url.database}"
    port = f":{url.port}" if url.port else ""
    return f"the database {url.get_backend_name()}://{url.host or 'localhost'}{port}/{url.database or ''}"


def reason_of(error: Exception, url: sa.URL) -> str:
    """Why a statement or connection failed: one line, without the statement, its values or the password."""
    origin = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error
    code = str(getattr(origin, "sqlite_errorname", ""))
    for prefix, meaning in _SQLITE.items():
        if code.startswith(prefix):
            return meaning
    if isinstance(error, sa.exc.TimeoutError):
        return "all its connections are busy"
    number, words = _number(origin), str(origin)
    if number is not None:
        words = _MYSQL.get(number) or str(origin.args[-1])
    line = next(iter(words.strip().splitlines()), type(origin).__name__)
    line = line.replace(url.password, "***") if url.password else line
    for quote in "'\"":
        line = line.replace(f"{quote}{url.username}{quote}", f"{quote}***{quote}")
    return line


@contextmanager
def reaching(engine: sa.Engine) -> Iterator[None]:
    """What the database refuses inside, as SourceUnreachable; a key that is taken already stays an IntegrityError."""
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.SQLAlchemyError as error:
        raise SourceUnreachable(f"{named(engine.url)} can't be used: {reason_of(error, engine.url)}") from None


def is_deadlock(error: sa.exc.DBAPIError) -> bool:
    """Whether the database gave a transaction up, as a whole, because it and another one waited for each other."""
    return _number(error.orig) == _MYSQL_DEADLOCK or getattr(error.orig, "sqlstate", None) == _POSTGRESQL_DEADLOCK


def is_of_its_file(error: sa.exc.DBAPIError) -> bool:
    """Whether it was SQLite's file, or its disk, that refused, whatever the statement."""
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith(tuple(_SQLITE))


def is_append_only(error: sa.exc.DBAPIError) -> bool:
    """Whether one of the log's own triggers refused the statement."""
    return "append-only: " in str(error.orig)


def is_denied(error: sa.exc.DBAPIError) -> bool:
    """Whether the role lacks the right to what it asked for."""
    return _number(error.orig) in _MYSQL_DENIED or getattr(error.orig, "sqlstate", None) == _POSTGRESQL_DENIED


def _number(origin: BaseException | None) -> int | None:
    """MySQL's or MariaDB's own number of an error; None for any other database's."""
    arguments = origin.args if origin is not None else ()
    has_number = len(arguments) == 2 and isinstance(arguments[0], int)  # noqa: PLR2004 - a number and its words
    return arguments[0] if has_number and not isinstance(origin, OSError) else None


def unusable_path(path: Path) -> str | None:
    """What keeps a SQLite file at a path from being read and written, or None; creates nothing."""
    try:
        return _read_only(path) or _file_problem(path) or _directory_problem(path.parent)
    except OSError as error:
        return f"{error.strerror}; check the path and its permissions"


def is_on_read_only_file_system(path: Path) -> bool:
    """Whether a file that may not be there yet lies where nobody can write."""
    there = next(place for place in (path, *path.parents) if place.exists())
    return bool(os.statvfs(there).f_flag & os.ST_RDONLY)


def _read_only(path: Path) -> str | None:
    if is_on_read_only_file_system(path):
        return "its file system is read-only; mount it for writing, or name a file on another one"
    return None


def _file_problem(path: Path) -> str | None:
    if path.is_dir():
        return "it is a directory; name a file in it"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "no permission to read and write the file; give this user both, or name another file"
    return None


def _directory_problem(directory: Path) -> str | None:
    if not directory.exists():
        return None
    if not directory.is_dir():
        return f"{directory} is a file, not a directory; name another path"
    # The write-ahead log is a file beside the database.
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"no permission to write in the directory {directory}; give this user that right, or name another"
    return None
