"""How git is called on a repository that isn't trusted: plumbing only, and nothing of the repository's own runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
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

    Nothing of the process outlives this call, not even when it is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            enough, complaint, _ = await asyncio.gather(
                _read(process, consume), _complaint(process), _write(process, stdin)
            )
            code = None if enough else await process.wait()
            return Exit(code, complaint)
    except TimeoutError:
        return Exit(None, "", timed_out=True)
    finally:
        _kill(process)
        # Reads what is left in the pipes, without which their transports would stay open.
        await process.communicate()


async def _read(process: asyncio.subprocess.Process, consume: Callable[[bytes], bool]) -> bool:
    assert process.stdout is not None
    while chunk := await process.stdout.read(_CHUNK):
        if not consume(chunk):
            _kill(process)
            return True
    return False


async def _complaint(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    kept = b""
    while chunk := await process.stderr.read(_CHUNK):
        kept = (kept + chunk)[:_COMPLAINT_BYTES]
    return kept.decode("utf-8", "replace")


async def _write(process: asyncio.subprocess.Process, stdin: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@cache
def _git_program() -> str:
    program = shutil.which("git")
    if program is None:
        raise RepositoryUnusable("git is not installed, or not on the PATH; repositories are read with it")
    return program
