"""A real PostgreSQL and a real MariaDB for the tests, one of each for a whole run, and empty databases in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from databases import Databases  # noqa: E402 - a script's module, found by the line above
from local_process import alive, locked  # noqa: E402
from mariadb_server import find_mariadb  # noqa: E402
from postgres_server import find_postgres  # noqa: E402

SERVERS = ("postgresql", "mariadb")
_SYSTEM = {"postgresql": "postgres", "mariadb": "mysql"}


def why_absent() -> str | None:
    """Why there can be no servers here, None where there can."""
    there = find_postgres() and find_mariadb()
    return None if there else "no PostgreSQL or no MariaDB is installed here: run scripts/databases install"


@contextlib.contextmanager
def running_servers(folder: Path) -> Iterator[Databases]:
    """Both servers in a folder, started by the first process of a run that needs them and removed by the last."""
    folder.mkdir(exist_ok=True, mode=0o700)
    with locked(folder / "users.lock"):
        _clear_left_behind(folder)
        (folder / f"user-{os.getpid()}").touch()
        script("start", folder)
    yield Databases(folder, volatile=True)
    with locked(folder / "users.lock"):
        (folder / f"user-{os.getpid()}").unlink()
        if not _used(folder):
            script("reset", folder)


def script(verb: str, folder: Path) -> None:
    """Run scripts/databases on a folder."""
    command = [sys.executable, str(ROOT / "scripts" / "databases.py"), verb, "--volatile", "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def _used(folder: Path) -> bool:
    return any(alive(int(user.name.partition("-")[2])) for user in folder.glob("user-*"))


def _clear_left_behind(folder: Path) -> None:
    """Stop the servers of earlier runs that were killed."""
    for other in folder.parent.parent.glob("pytest-*/databases"):
        if other != folder and any((other / name).is_dir() for name in SERVERS) and not _used(other):
            script("reset", other)
            shutil.rmtree(other, ignore_errors=True)


class Place:
    """One database of a server, given to one test after the other: empty, with the newest schema or with none."""

    def __init__(self, servers: Databases, engine: str) -> None:
        name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
        self._url = servers.url(engine, name)
        self._system = _engine(servers.url(engine, _SYSTEM[engine]))
        self._own = _engine(self._url)
        self._schema: list[tuple[str, ...]] | None = None

    def migrated(self) -> str:
        """Its URL, when every table of the newest schema is there and empty."""
        # Deleting rows takes milliseconds, making the tables anew the better part of a second.
        if self._schema is None or not self._emptied():
            from dispatcher.audit.engine import migrate_database  # noqa: PLC0415 - only what needs it pays for it

            migrate_database(self.bare())
            self._schema = self._columns()
        return self._text

    def bare(self) -> str:
        """Its URL, when there is nothing in it."""
        self._schema = None
        self._own.dispose()
        name = self._url.database
        forced = " WITH (FORCE)" if self._own.dialect.name == "postgresql" else ""
        with self._system.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{forced}")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self._text

    def close(self) -> None:
        """Give the connections back."""
        self._own.dispose()
        self._system.dispose()

    @property
    def _text(self) -> str:
        return self._url.render_as_string(hide_password=False)

    def _emptied(self) -> bool:
        from dispatcher.audit.append_only import allow_deletes  # noqa: PLC0415 - as above
        from dispatcher.audit.revision import VERSION_TABLE  # noqa: PLC0415 - as above

        try:
            if self._columns() != self._schema:
                return False
            postgresql = self._own.dialect.name == "postgresql"
            with self._own.connect() as connection:
                patience = "lock_timeout = 3000" if postgresql else "innodb_lock_wait_timeout = 3"
                connection.exec_driver_sql(f"SET {patience}")
                with allow_deletes(connection):
                    for table in sorted({table for table, *_ in self._schema} - {VERSION_TABLE}):
                        connection.exec_driver_sql(f"DELETE FROM {table}")
        except sa.exc.DBAPIError:  # a test has left a lock or a broken schema behind
            return False
        return True

    def _columns(self) -> list[tuple[str, ...]]:
        schema = "current_schema()" if self._own.dialect.name == "postgresql" else "database()"
        columns = "SELECT table_name, column_name, data_type FROM information_schema.columns"
        query = f"{columns} WHERE table_schema = {schema}"
        from dispatcher.audit.revision import VERSION_TABLE  # noqa: PLC0415 - as above

        revision = f"SELECT '{VERSION_TABLE}', version_num FROM {VERSION_TABLE}"
        with self._own.connect() as connection:
            found = [*connection.exec_driver_sql(query), *connection.exec_driver_sql(revision)]
        return sorted(tuple(row) for row in found)


def _engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, pool_size=1, isolation_level="AUTOCOMMIT")
