"""The two processes of a real Unleash: its PostgreSQL, on a private unix socket, and the server, on loopback."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from unleash_install import NODE, Unusable

_ROLE = "unleash"
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


def private_write(file: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only."""
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:  # noqa: PTH123 - a descriptor
        out.write(text)
    part.replace(file)


class Postgres:
    """A cluster of its own, reached through a unix socket in a folder that only its owner enters."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._data = folder / "cluster"

    def start(self) -> Path:
        """Start it where it isn't running; the folder of its socket. Raises Unusable."""
        running = self.socket_folder()
        if running is not None:
            return running
        self.stop()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own(self._folder)
        if not (self._data / "PG_VERSION").is_file():
            shutil.rmtree(self._data, ignore_errors=True)
            self._run("initdb", f"--username={_ROLE}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        # A socket's path must be short, and the checkout's may be long.
        sockets = Path(tempfile.mkdtemp(prefix="unleash-"))
        self._own(sockets)
        options = f"-k {sockets} -c listen_addresses= -c unix_socket_permissions=0700"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", "--options", options)
        return sockets

    def socket_folder(self) -> Path | None:
        """Where the running one listens, None where none is running."""
        pid, sockets = self._noted()
        return sockets if pid is not None and alive(pid) else None

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
        command = [*self._as_user(), str(self._programs / program), *arguments]
        environment = {**os.environ, "PGDATA": str(self._data), "LC_ALL": "C"}
        # Into a file and not a pipe, since the server inherits it and would keep the pipe open.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False,
                start_new_session=True,
            )  # fmt: skip
            said.seek(0)
            if done.returncode:
                way_out = f"its log is {self._folder / 'log'}, and scripts/unleash reset begins anew"
                raise Unusable(f"PostgreSQL's {program} failed; {way_out}:\n{said.read()[-2000:]}")

    def _own(self, folder: Path) -> None:
        folder.chmod(0o700)
        if os.getuid() == 0:
            os.chown(folder, _other_user().pw_uid, _other_user().pw_gid)

    def _as_user(self) -> list[str]:
        """The words that run a command as another user, since PostgreSQL refuses to be root's."""
        if os.getuid() != 0:
            return []
        user = _other_user()
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        seen = subprocess.run([*become, "test", "-x", self._programs / "initdb", "-a", "-w", self._folder], check=False)
        # In a folder that is closed to others, such as root's home, the user may pass where root may, and is not root.
        if seen.returncode == 0:
            return become
        return [*become, "--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _other_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


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
        return state["pid"] if _started(state["pid"]) == state["started"] is not None else None

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
        state = {"pid": process.pid, "started": _started(process.pid), "port": port}
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
        "DATABASE_USERNAME": _ROLE,
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


def wait_for(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and wasn't waited for doesn't."""
    return _started(pid) is not None


def _started(pid: int) -> str | None:
    """When a process was started, by which another one of the same number is told from it; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
