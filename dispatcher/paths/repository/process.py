"""How the programs that read repositories are run: with limits, nothing inherited, and never longer than waited for."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Consume = Callable[[bytes], bool]
"""Takes the next bytes of an output, in another thread; False when it has enough."""

# A hostile pattern, or an object that unpacks to many gigabytes, would take all memory.
_MEMORY_KIB = 2 * 1024 * 1024
_LIMITED = 'ulimit -v "$0" 2>/dev/null; exec "$@"'
_CHUNK = 65_536
_PROCESSES = 32
# How often a thread looks whether its caller still waits, and how long a cancelled caller waits for its thread.
_TICK_S = 0.02
_KILLED_S = 1.0
_COMPLAINT_BYTES = 2_000


def limited(program: str, *arguments: str) -> list[str]:
    """The command line of a program that may not take more than 2 GiB of address space."""
    return ["/bin/sh", "-c", _LIMITED, str(_MEMORY_KIB), program, *arguments]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended; `complaint` is the beginning of what it said on standard error.

    `code` is None where it was stopped, because its reader had enough or its time was up (`timed_out`).
    """

    code: int | None
    complaint: str
    timed_out: bool = False


async def read_process(
    command: Sequence[str],
    consume: Consume,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    seconds: float,
    stdin: bytes = b"",
) -> Exit:
    """Feed the output of one process to `consume` until that returns False, the process ends, or time is up.

    `consume` is called in another thread; `stdin` fits into a pipe. Time runs from the start of the process, which
    may have to wait for others. A cancelled call kills the process and is over when that is gone.
    """
    stopped = threading.Event()
    running = _threads().submit(_run, command, consume, cwd, environment, seconds, stdin, stopped)
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
    """What processes are waited for in.

    asyncio's own subprocesses never end when all tasks of a loop are cancelled while one is being started, and its
    default executor is needed for other things.
    """
    return ThreadPoolExecutor(_PROCESSES, thread_name_prefix="repository")


os.register_at_fork(after_in_child=_threads.cache_clear)


def _run(
    command: Sequence[str],
    consume: Consume,
    cwd: Path,
    environment: Mapping[str, str],
    seconds: float,
    stdin: bytes,
    stopped: threading.Event,
) -> Exit:
    if stopped.is_set():
        return Exit(None, "")
    process = subprocess.Popen(  # noqa: S603 - a fixed program, and no shell reads the arguments
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment,
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


def _read(process: subprocess.Popen[bytes], consume: Consume, stdin: bytes, limit: _Limit) -> Exit:
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
