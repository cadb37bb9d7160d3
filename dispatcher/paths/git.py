"""How git is called on a repository that isn't trusted: plumbing only, and nothing of the repository's own runs."""

from __future__ import annotations

import asyncio
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dispatcher.errors import RepositoryUnusable

ENVIRONMENT: Mapping[str, str] = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # Fetching what a partial clone lacks would run the remote's transport. Not every git in use knows the first of
    # these; naming an allowed protocol that doesn't exist forbids all that do, whatever the repository's config says.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PROTOCOL_FROM_USER": "0",
}
"""The whole environment of every git process; nothing is inherited."""

_OVERRIDES = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "core.packedGitWindowSize=64m",
    "core.packedGitLimit=512m",
)
# A pattern such as ((a{255}){255}){255}, or an object that unpacks to many gigabytes, would take all memory.
_MEMORY_KIB = 2 * 1024 * 1024
_LIMITED = 'ulimit -v "$0" 2>/dev/null; exec "$@"'
_SYNC_TIMEOUT_S = 15
_CHUNK = 65_536
_PROCESSES = 32
# How often a thread looks whether its caller still waits, and how long a cancelled caller waits for its thread.
_TICK_S = 0.02
_KILLED_S = 1.0
_COMPLAINT_BYTES = 2_000


def git_command(git_dir: Path, *arguments: str) -> list[str]:
    """The command line of one git process on exactly this git directory. Raises RepositoryUnusable without git.

    The directory is named, so git searches for none and another user's checkout works like one's own.
    """
    overrides = [word for override in _OVERRIDES for word in ("-c", override)]
    git = [_git_program(), "--no-pager", f"--git-dir={git_dir}", *overrides, *arguments]
    return ["/bin/sh", "-c", _LIMITED, str(_MEMORY_KIB), *git]


def run_git(git_dir: Path, *arguments: str, stdin: str = "") -> str | None:
    """The output of one short git process, or None where git refused. Blocks. Raises RepositoryUnusable."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, and no shell reads the arguments
            git_command(git_dir, *arguments),
            input=stdin.encode(),
            capture_output=True,
            cwd="/",
            env=ENVIRONMENT,
            timeout=_SYNC_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RepositoryUnusable(f"git did not answer within {_SYNC_TIMEOUT_S} s on {git_dir}") from None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a git process ended; `complaint` is the beginning of what it said on standard error.

    `code` is None where it was stopped, because its reader had enough or its time was up (`timed_out`).
    """

    code: int | None
    complaint: str
    timed_out: bool = False


async def read_git(
    command: list[str], consume: Callable[[bytes], bool], *, cwd: Path, seconds: float, stdin: bytes = b""
) -> Exit:
    """Feed the output of one git process to `consume` until that returns False, the process ends, or time is up.

    `consume` is called in another thread; `stdin` is at most a line. Time runs from the start of the process, which
    may have to wait for others. A cancelled call kills the process and is over when that is gone.
    """
    stopped = threading.Event()
    running = _threads().submit(_run, command, consume, cwd, seconds, stdin, stopped)
    waiting = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(waiting)
    finally:
        stopped.set()
        if not waiting.done() and not running.cancel():
            await asyncio.wait({waiting}, timeout=_KILLED_S)
        waiting.cancel()


@cache
def _threads() -> ThreadPoolExecutor:
    """What git processes are waited for in.

    asyncio's own subprocesses never end when all tasks of a loop are cancelled while one is being started, and its
    default executor is needed for other things.
    """
    return ThreadPoolExecutor(_PROCESSES, thread_name_prefix="git")


os.register_at_fork(after_in_child=_threads.cache_clear)


def _run(
    command: list[str],
    consume: Callable[[bytes], bool],
    cwd: Path,
    seconds: float,
    stdin: bytes,
    stopped: threading.Event,
) -> Exit:
    if stopped.is_set():
        return Exit(None, "")
    process = subprocess.Popen(  # noqa: S603 - as above
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    with process:
        try:
            return _read(process, consume, stdin, _Limit(time.monotonic() + seconds, stopped))
        except TimeoutError:
            return Exit(None, "", timed_out=True)
        finally:
            _kill(process)


@dataclass(frozen=True, slots=True)
class _Limit:
    """Until when a process may run, on the monotonic clock, unless its caller stops it before."""

    ends: float
    stopped: threading.Event

    def tick(self) -> float:
        """How long to wait before asking again, in seconds. Raises TimeoutError where the process must end."""
        left = self.ends - time.monotonic()
        if left <= 0 or self.stopped.is_set():
            raise TimeoutError
        return min(left, _TICK_S)


def _read(process: subprocess.Popen[bytes], consume: Callable[[bytes], bool], stdin: bytes, limit: _Limit) -> Exit:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with suppress(BrokenPipeError):
        process.stdin.write(stdin)
    process.stdin.close()
    complaint = b""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        ready.register(process.stderr, selectors.EVENT_READ)
        while ready.get_map():
            for key, _ in ready.select(limit.tick()):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    ready.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    complaint = (complaint + chunk)[:_COMPLAINT_BYTES]
                elif not consume(chunk):
                    return Exit(None, complaint.decode("utf-8", "replace"))
    return Exit(_code(process, limit), complaint.decode("utf-8", "replace"))


def _code(process: subprocess.Popen[bytes], limit: _Limit) -> int:
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(limit.tick())


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Only the thread that reaps the process calls this, so the number can't be another's by now.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@cache
def _git_program() -> str:
    program = shutil.which("git")
    if program is None:
        raise RepositoryUnusable("git is not installed, or not on the PATH; repositories are read with it")
    return program
