"""What a database's refusal means, in words that name the fix and hold no secret."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa

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
    line = next(iter(str(origin).strip().splitlines()), type(origin).__name__)
    return line.replace(url.password, "***") if url.password else line


def unusable_path(path: Path) -> str | None:
    """What keeps a SQLite file at a path from being read and written, or None; creates nothing."""
    try:
        return _file_problem(path) or _directory_problem(path.parent)
    except OSError as error:
        return f"{error.strerror}; check the path and its permissions"


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
