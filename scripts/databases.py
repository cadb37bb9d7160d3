"""Starts, stops and shows a PostgreSQL and a MariaDB of one's own; see scripts/databases."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from local_process import Unusable, locked
from mariadb_server import MariaDb, install_mariadb
from postgres_server import HOME, Postgres, install_postgres

DATABASE = "dispatcher"
_NOT_RUNNING = 3
_WAY_OUT = "scripts/databases reset begins anew"
# With these a crash of the whole machine may lose what was committed, and that of a server doesn't.
_VOLATILE_POSTGRES = ("-c fsync=off", "-c full_page_writes=off")
_VOLATILE_MARIADB = ("--innodb-flush-method=nosync",)


class Databases:
    """Both servers of one data folder."""

    def __init__(self, folder: Path, *, volatile: bool) -> None:
        self.folder = folder
        self.postgres = Postgres(
            install_postgres(),
            folder / "postgresql",
            role=DATABASE,
            way_out=_WAY_OUT,
            options=("-c max_connections=300", *(_VOLATILE_POSTGRES if volatile else ())),
        )
        self.mariadb = MariaDb(
            install_mariadb(),
            folder / "mariadb",
            way_out=_WAY_OUT,
            options=("--max-connections=300", *(_VOLATILE_MARIADB if volatile else ())),
        )

    def start(self) -> None:
        """Start what isn't running, and make an empty database in each. Raises Unusable."""
        if not self.ready:
            print("Starting PostgreSQL and MariaDB (a few seconds) …", file=sys.stderr, flush=True)
        self.postgres.start()
        self.mariadb.start()
        for name, system in (("postgresql", "postgres"), ("mariadb", "mysql")):
            engine = sa.create_engine(self.url(name, system), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
            with engine.connect() as connection:
                made = "SELECT 1 FROM information_schema.schemata WHERE schema_name = :name"
                if name == "postgresql":
                    made = "SELECT 1 FROM pg_database WHERE datname = :name"
                if connection.execute(sa.text(made), {"name": DATABASE}).first() is None:
                    connection.exec_driver_sql(f"CREATE DATABASE {DATABASE}")

    def stop(self) -> None:
        """Stop what is running."""
        self.postgres.stop()
        self.mariadb.stop()

    def forget(self) -> None:
        """Delete what start made, and nothing else that may be in the folder."""
        for name in ("postgresql", "mariadb"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def ready(self) -> bool:
        return self.postgres.socket_folder() is not None and self.mariadb.socket() is not None

    def url(self, engine: str, database: str = DATABASE) -> sa.URL:
        """The URL of a database of the running `postgresql` or `mariadb`."""
        if engine == "postgresql":
            query = {"host": str(self.postgres.socket_folder())}
            return sa.URL.create("postgresql+psycopg", self.postgres.role, database=database, query=query)
        # To set TLS up takes the driver 50 ms a connection, and no one can listen in on this socket.
        query = {"unix_socket": str(self.mariadb.socket()), "ssl_disabled": "true"}
        return sa.URL.create("mariadb+pymysql", self.mariadb.role, host="localhost", database=database, query=query)

    @property
    def exports(self) -> str:
        urls = {name: self.url(name).render_as_string(hide_password=False) for name in ("postgresql", "mariadb")}
        return "\n".join(f"export {name.upper()}_URL='{url}'" for name, url in urls.items())


def start(databases: Databases) -> int:
    databases.start()
    print(f"PostgreSQL and MariaDB are ready (logs: {databases.postgres.log}, {databases.mariadb.log})")
    print("Their addresses, and the log in one of them:\n")
    print(databases.exports)
    print('export DISPATCHER_DATABASE_URL="$POSTGRESQL_URL"\ndispatcher migrate')
    return 0


def stop(databases: Databases) -> int:
    databases.stop()
    print("PostgreSQL and MariaDB are stopped; scripts/databases start goes on where they were")
    return 0


def status(databases: Databases) -> int:
    for name, server in (("PostgreSQL", databases.postgres), ("MariaDB", databases.mariadb)):
        pid = server.pid
        print(f"{name + ':':12}{f'running, process {pid}' if pid else 'not running'}")
    return 0 if databases.ready else _NOT_RUNNING


def env(databases: Databases) -> int:
    if not databases.ready:
        raise Unusable("they aren't running; start them: scripts/databases start")
    print(databases.exports)
    return 0


def reset(databases: Databases) -> int:
    databases.stop()
    databases.forget()
    print("PostgreSQL and MariaDB are stopped and their data is gone; scripts/databases start begins anew")
    return 0


_VERBS: dict[str, Callable[[Databases], int]] = {
    "start": start,
    "stop": stop,
    "status": status,
    "env": env,
    "reset": reset,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/databases")
    parser.add_argument("verb", choices=[*_VERBS, "install"])
    parser.add_argument("--data", type=Path, metavar="DIR", default=HOME / "data")
    parser.add_argument("--volatile", action="store_true")
    given = parser.parse_args()
    try:
        if given.verb == "install":
            install_postgres()
            install_mariadb()
            return 0
        folder = given.data.absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(folder / "lock"):
            return _VERBS[given.verb](Databases(folder, volatile=given.volatile))
    except Unusable as error:
        print(f"scripts/databases: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
