"""A MariaDB of one's own: its programs, and a data folder, reached through a private unix socket only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from local_process import (
    ROOT,
    ServerUser,
    Unusable,
    alive,
    download,
    locked,
    private_write,
    said,
    started,
    wait_for,
)

_LOCK = ROOT / ".databases" / "install.lock"
_PACKAGES = ("mariadb-server-core", "mariadb-client-core")
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 20.0


def find_mariadb() -> Path | None:
    """The server program of the system's MariaDB, where what makes a new data folder is there, too."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    server, installer = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    return Path(server) if server and installer else None


def install_mariadb() -> Path:
    """Install Debian's programs of MariaDB where there are none, without a service; the server. Raises Unusable."""
    with locked(_LOCK):
        found = find_mariadb()
        return _install() if found is None else found


def _install() -> Path:
    if shutil.which("apt-get") is None:
        raise Unusable("MariaDB is missing and this is not Debian; install its server and run this again")
    as_root = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    if as_root and shutil.which("sudo") is None:
        raise Unusable(f"MariaDB is missing; as root, run: apt-get install {' '.join(_PACKAGES)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES]
    with said("Installing Debian's MariaDB (no service), since none is installed here"):
        for command in (["apt-get", "update", "-qq"], install):
            download([*as_root, *command], "package archive", Path("/"), environment)
    found = find_mariadb()
    if found is None:
        raise Unusable(f"{' and '.join(_PACKAGES)} brought no server; install your system's MariaDB server")
    return found


class MariaDb:
    """A server of its own, reached through a unix socket in a folder that only its owner enters.

    Its superuser is `root`, without a password: who may enter the folder of the socket may use it. `options` are
    settings of the server. `way_out` says in an error what to do.
    """

    role = "root"

    def __init__(self, program: Path, folder: Path, *, way_out: str, options: tuple[str, ...] = ()) -> None:
        self.log = folder / "log"
        self._program = program
        self._folder = folder
        self._data = folder / "data"
        self._state = folder / "state"
        self._user = ServerUser("mysql")
        self._way_out = way_out
        self._options = options

    def start(self) -> Path:
        """Start it where it isn't running, and wait until it is ready; its socket. Raises Unusable."""
        running = self.socket()
        if running is not None:
            return running
        self._user.own(self._folder)
        if not (self._data / "mysql" / "db.frm").is_file():
            self._make_data()
        sockets = self._user.socket_folder(self._noted()[2])
        self._begin(sockets)
        listening = sockets / "mariadb.sock"
        if not wait_for(lambda: _answers(listening) or self.pid is None, _READY_WITHIN_S):
            self.stop()
            raise Unusable(f"MariaDB wasn't ready within {_READY_WITHIN_S:.0f} s; {self._last_words()}")
        if self.pid is None:
            self.stop()
            raise Unusable(f"MariaDB ended at once; {self._last_words()}")
        return listening

    def socket(self) -> Path | None:
        """Where the running one listens, None where none is running."""
        sockets = self._noted()[2]
        return sockets / "mariadb.sock" if self.pid is not None and sockets is not None else None

    @property
    def pid(self) -> int | None:
        """The running process, None where there is none."""
        pid, start, _ = self._noted()
        return pid if pid is not None and started(pid) == start is not None else None

    def stop(self) -> None:
        """Stop it where it is running, by force where it doesn't end by itself, and wait until it has ended."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid
            if pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            wait_for(lambda pid=pid: not alive(pid), _STOP_WITHIN_S)  # type: ignore[misc]
        sockets = self._noted()[2]
        if sockets is not None:
            shutil.rmtree(sockets, ignore_errors=True)

    def _make_data(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._user.own(self._data)
        installer = shutil.which("mariadb-install-db", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")
        command = [str(installer), "--no-defaults", f"--datadir={self._data}", "--skip-test-db", "--skip-name-resolve"]
        command += ["--auth-root-authentication-method=normal"]
        words = self._user.run(command, self._folder, dict(os.environ))
        if words is not None:
            raise Unusable(f"mariadb-install-db failed, and {self._way_out}:\n{words}")

    def _begin(self, sockets: Path) -> None:
        command = [str(self._program), "--no-defaults", f"--datadir={self._data}", "--skip-networking"]
        command += [f"--socket={sockets / 'mariadb.sock'}", f"--pid-file={sockets / 'pid'}", "--skip-name-resolve"]
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:  # noqa: PTH123
            process = subprocess.Popen(
                [*self._user.become(self._program, self._folder), *command, *self._options],
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        private_write(self._state, f"{process.pid} {started(process.pid)} {sockets}")

    def _noted(self) -> tuple[int | None, str | None, Path | None]:
        try:
            pid, start, sockets = self._state.read_text().split(" ", 2)
        except FileNotFoundError:
            return None, None, None
        return int(pid), start, Path(sockets)

    def _last_words(self) -> str:
        end = self.log.read_text(errors="replace")[-1500:]
        return f"{self._way_out}; its log, {self.log}, ends:\n{end}"


def _answers(listening: Path) -> bool:
    """Whether a server greets at the socket."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.settimeout(2)
        probe.connect(str(listening))
        return bool(probe.recv(64))
    return False
