"""The server of a real Unleash, on loopback, and what it is told."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from local_process import Unusable, private_write, started, wait_for
from unleash_install import NODE

ROLE = "unleash"
"""The user of its database."""
_READY_WITHIN_S = 90.0
_STOP_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What was made at random for this server; kept in a file that only its owner reads."""

    admin_token: str
    backend_token: str
    password: str
    session_secret: str

    @classmethod
    def of(cls, folder: Path) -> Secrets:
        """Those of before, else new ones."""
        file = folder / "secrets.json"
        with contextlib.suppress(FileNotFoundError):
            return cls(**json.loads(file.read_text()))
        made = cls(
            admin_token=f"*:*.{secrets.token_hex(32)}",
            backend_token=f"default:development.{secrets.token_hex(32)}",
            password=secrets.token_urlsafe(18),
            session_secret=secrets.token_hex(32),
        )
        private_write(file, json.dumps(asdict(made)))
        return made


class Server:
    """The Unleash server of one data folder: `server.json` there says which process it is."""

    def __init__(self, packages: Path, folder: Path) -> None:
        self._packages = packages
        self._folder = folder
        self._state = folder / "server.json"
        self.log = folder / "server.log"

    @property
    def port(self) -> int | None:
        """The port of this time, or of last time, None before the first."""
        try:
            return int(json.loads(self._state.read_text())["port"])
        except FileNotFoundError:
            return None

    @property
    def pid(self) -> int | None:
        """The running process, None where there is none."""
        try:
            state = json.loads(self._state.read_text())
        except FileNotFoundError:
            return None
        return state["pid"] if started(state["pid"]) == state["started"] is not None else None

    def start(self, port: int, sockets: Path, secret: Secrets) -> None:
        """Start it and wait until it is ready. Raises Unusable."""
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:  # noqa: PTH123
            process = subprocess.Popen(
                [str(NODE), "node_modules/unleash-server/dist/server.js"],
                cwd=self._packages,
                env=_environment(port, sockets, secret),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        state = {"pid": process.pid, "started": started(process.pid), "port": port}
        private_write(self._state, json.dumps(state))
        if not wait_for(lambda: healthy(port) or process.poll() is not None, _READY_WITHIN_S):
            self.stop()
            raise Unusable(f"the server wasn't ready within {_READY_WITHIN_S:.0f} s; {self._last_words()}")
        if process.poll() is not None:
            raise Unusable(f"the server ended at once; {self._last_words()}")

    def stop(self) -> None:
        """Stop it, by force where it doesn't end by itself."""
        pid = self.pid
        for number in (signal.SIGTERM, signal.SIGKILL):
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
            if wait_for(lambda: self.pid is None, _STOP_WITHIN_S):
                return

    def _last_words(self) -> str:
        return f"its log, {self.log}, ends:\n{self.log.read_text(errors='replace')[-1500:]}"


def _environment(port: int, sockets: Path, secret: Secrets) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return inherited | {
        "PATH": f"{NODE.parent}:/usr/bin:/bin",
        "TZ": "UTC",
        "NODE_ENV": "production",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "UNLEASH_URL": f"http://127.0.0.1:{port}",
        "DATABASE_HOST": str(sockets),
        "DATABASE_PORT": "5432",
        "DATABASE_USERNAME": ROLE,
        "DATABASE_PASSWORD": "",
        "DATABASE_NAME": "postgres",
        "DATABASE_SSL": "false",
        "INIT_ADMIN_API_TOKENS": secret.admin_token,
        "INIT_BACKEND_API_TOKENS": secret.backend_token,
        "UNLEASH_DEFAULT_ADMIN_USERNAME": "admin",
        "UNLEASH_DEFAULT_ADMIN_PASSWORD": secret.password,
        "UNLEASH_SECRET": secret.session_secret,
        "CHECK_VERSION": "false",
        "SEND_TELEMETRY": "false",
        "LOG_LEVEL": "warn",  # at info the password would be written to the log
    }


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse_taken(port: int) -> None:
    """Raises Unusable where another program listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = (
                "is taken by another program" if error.errno == errno.EADDRINUSE else f"can't be used: {error.strerror}"
            )
            raise Unusable(f"port {port} of 127.0.0.1 {why}; choose another: scripts/unleash start --port N") from None


def healthy(port: int) -> bool:
    """Whether a server on this port says that it is well."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return b"GOOD" in answer.read(200)
    except (OSError, ValueError):
        return False
