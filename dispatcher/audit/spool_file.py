"""The spool's SQLite file: one of each host, shared by its processes, on the disk when a write returns."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dispatcher.audit.connections import close_before_forks
from dispatcher.audit.lock_file import SpoolTrouble, holding, private_file
from dispatcher.audit.spool_text import SHAPES

T = TypeVar("T")

_VERSION = 2
_PATIENCE_S = 5.0
_WRITES_A_CHECKPOINT = 256
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    log_id TEXT NOT NULL UNIQUE,
    opening TEXT, session TEXT, ended TEXT,
    version INTEGER NOT NULL DEFAULT 1,
    refusals INTEGER NOT NULL DEFAULT 0,
    since TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_refused ON entries (refusals, place) WHERE refusals > 0;
CREATE TABLE IF NOT EXISTS quarantine (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    log_id TEXT NOT NULL,
    opening TEXT, session TEXT, ended TEXT,
    reason TEXT NOT NULL,
    since TEXT NOT NULL, quarantined_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shapes (mark TEXT PRIMARY KEY, names TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS belongs_to (database TEXT NOT NULL);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class SpoolFile:
    """A connection to the file, opened when it is first used. May be used from several threads, and on after a fork.

    What waits in it, and what `waits_beside` says waits beside it, is for one database; while something does, the file
    isn't used for another one. Every write, checkpoint,
    opening and closing holds a lock file alone, among all processes of the host: before 3.51.3 SQLite could damage a
    WAL file that two connections wrote and checkpointed at the same instant. The lock is the kernel's and ends with its
    process. sqlite3's errors and SpoolTrouble mean that nothing was written.
    """

    def __init__(self, path: Path, database: str, waits_beside: Callable[[], bool]) -> None:
        self.path = path
        self._database = database
        self._waits_beside = waits_beside
        self._lock_path = path.with_suffix(".lock")
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._lock_file: int | None = None
        self._writes = 0
        self._no_fork = threading.Lock()
        close_before_forks(weakref.ref(self), self._no_fork)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in one transaction, which is on the disk when this returns."""
        with self._no_fork, self._alone():
            connection = self._connected()
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._claim(connection)
                done = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                # Whatever it was in the middle of ends with the connection.
                self._disconnect()
                raise
            self._checkpoint_when_due(connection)
            return done

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work on the file as it is, whoever writes meanwhile."""
        with self._no_fork:
            connection = self._connection
            if connection is None or _identity(self.path) != self._identity:
                with self._alone():
                    connection = self._connected()
            try:
                connection.execute("BEGIN")
                # Another program may have claimed it since it was opened.
                self._refuse_another_database(connection)
                done = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._disconnect()
                raise
            return done

    def is_for_the_database(self) -> bool:
        """Whether the file was made for this database; changes nothing of it."""
        with self._no_fork, self._alone(), contextlib.closing(sqlite3.connect(self.path, timeout=_PATIENCE_S)) as file:
            try:
                found: object = file.execute("SELECT database FROM belongs_to").fetchone()
            except sqlite3.OperationalError:
                return False
            return found == (self._database,)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._no_fork:
            self.part_with_file()

    def part_with_file(self) -> None:
        """Close the connection and the lock file; belongs to whoever holds the lock that guards them."""
        if self._connection is not None:
            # The last connection's closing is a checkpoint.
            with contextlib.suppress(SpoolTrouble, OSError), self._alone():
                self._disconnect()
            self._disconnect()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self._lock_file is None:
            self._lock_file = private_file(self._lock_path)
        with holding(self._lock_file, _PATIENCE_S) as held:
            if not held:
                raise SpoolTrouble("another program holds it locked; wait for that program or stop it")
            yield

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and _identity(self.path) != self._identity:
            # Somebody took the file away: what is written to it now, nobody would find.
            self._disconnect()
        if self._connection is None:
            os.close(private_file(self.path))
            # Of what is opened, and not of what has taken its place meanwhile.
            self._identity = _identity(self.path)
            self._connection = self._opened()
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            _set_up(connection)
            connection.execute("BEGIN IMMEDIATE")
            self._claim(connection)
            # Before any text of this program is in the file, it can be read by another one.
            connection.executemany("INSERT OR IGNORE INTO shapes VALUES (?, ?)", SHAPES.items())
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _claim(self, connection: sqlite3.Connection) -> None:
        """Note in a transaction which database the entries are for. Raises SpoolTrouble where it is another one."""
        if self._refuse_another_database(connection) != self._database:
            connection.execute("DELETE FROM belongs_to")
            connection.execute("INSERT INTO belongs_to VALUES (?)", (self._database,))

    def _refuse_another_database(self, connection: sqlite3.Connection) -> str | None:
        """The database that is noted. Raises SpoolTrouble where it is another one, and something waits for it."""
        noted = connection.execute("SELECT database FROM belongs_to").fetchone()
        if noted is None or noted == (self._database,):
            return None if noted is None else self._database
        entries = connection.execute("SELECT 1 FROM entries UNION ALL SELECT 1 FROM quarantine LIMIT 1").fetchone()
        if entries is not None or self._waits_beside():
            raise SpoolTrouble(
                f"what waits in it is for {noted[0]}; drain it with that DISPATCHER_DATABASE_URL, or set another "
                "DISPATCHER_SPOOL_DIR"
            )
        return str(noted[0])

    def _checkpoint_when_due(self, connection: sqlite3.Connection) -> None:
        self._writes += 1
        if self._writes % _WRITES_A_CHECKPOINT == 0:
            # What was written is on the disk either way.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_up(connection: sqlite3.Connection) -> None:
    # With mmap a failing disk or a truncated file kills the process instead of raising.
    for setting in ("mmap_size=0", "synchronous=FULL", "wal_autocheckpoint=0", "journal_size_limit=16777216"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise SpoolTrouble("its file system has no write-ahead log; put the spool on a local disk")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise SpoolTrouble("a newer program wrote it; drain it with that program")
    if version < _VERSION:
        connection.executescript(_SCHEMA)
