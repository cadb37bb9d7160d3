"""What the local servers of the tests share: one process at a time, files and folders of their owner, other users."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_OFFLINE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|NewConnectionError|Name or service|Max retries"
    r"|Exit handler never called"  # what npm 10 says instead
    r"|Temporary failure resolving|Could not resolve|Unable to fetch|Failed to fetch"
)


class Unusable(Exception):
    """Something in the way of a server, in one sentence that names the fix."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time, across the machine; released by the kernel, however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def said(what: str) -> Iterator[None]:
    """Say what is done before it begins, and how long it took."""
    print(f"{what} …", file=sys.stderr, flush=True)
    started_at = time.monotonic()
    yield
    print(f"… done in {time.monotonic() - started_at:.0f} s", file=sys.stderr, flush=True)


def download(command: list[str], registry: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run what downloads something from a registry. Raises Unusable."""
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    words = (done.stderr or done.stdout).strip()
    if _OFFLINE.search(words):
        raise Unusable(f"the {registry} can't be reached: connect this machine to the network and run it again")
    raise Unusable(f"the download failed:\n{words[-2000:]}")


def private_write(file: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only."""
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:  # noqa: PTH123 - a descriptor
        out.write(text)
    part.replace(file)


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
    return started(pid) is not None


def started(pid: int) -> str | None:
    """When a process was started, by which another one of the same number is told from it; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class ServerUser:
    """The user whose process a database server is: this one, or another one where this is root, which they refuse."""

    def __init__(self, name: str) -> None:
        self._name = name

    def own(self, folder: Path) -> None:
        """Make a folder that only this user enters."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        if os.getuid() == 0:
            os.chown(folder, self._entry.pw_uid, self._entry.pw_gid)

    def socket_folder(self, before: Path | None) -> Path:
        """A folder for a server's socket, whose path must be short, as the checkout's may not be.

        What was killed left the one of before behind, and goes on where its clients look for it.
        """
        uid = self._entry.pw_uid if os.getuid() == 0 else os.getuid()
        if before is not None and before.is_dir() and before.stat().st_uid == uid:
            return before
        made = Path(tempfile.mkdtemp(prefix="dispatcher-"))
        self.own(made)
        return made

    def run(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> str | None:
        """Run a program that works in a folder of this user; what it said where it failed, else None."""
        # Into a file and not a pipe, since a server inherits it and would keep the pipe open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [*self.become(Path(command[0]), folder), *command],
                cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
                start_new_session=True,
            )  # fmt: skip
            output.seek(0)
            return output.read()[-2000:] if done.returncode else None

    def become(self, program: Path, folder: Path) -> list[str]:
        """The words before a command that run it as this user."""
        if os.getuid() != 0:
            return []
        become = ["setpriv", f"--reuid={self._entry.pw_uid}", f"--regid={self._entry.pw_gid}", "--clear-groups"]
        seen = subprocess.run([*become, "test", "-x", program, "-a", "-w", folder], check=False)
        # In a folder that is closed to others, such as root's home, the user may pass where root may, and is not root.
        if seen.returncode == 0:
            return become
        return [*become, "--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]

    @property
    def _entry(self) -> pwd.struct_passwd:
        try:
            return pwd.getpwnam(self._name)
        except KeyError:
            return pwd.getpwnam("nobody")
