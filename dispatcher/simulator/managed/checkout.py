"""The repositories behind GitHub URLs, read through git's plumbing only.

Nothing of a repository runs: no hooks, filters, monitors or helpers of its own, no replace refs, no lazy fetch, and no
configuration from outside it. The working tree is never looked at.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dispatcher.simulator.config import normal_url

_GIT = (
    "git",
    "--no-pager",
    "--no-replace-objects",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.alternateRefsCommand="),
    *("-c", "protocol.allow=never"),
    *("-c", "grep.fallbackToNoIndex=false"),
    *("-c", "safe.directory=*"),
)
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
}
_TIMEOUT_S = 20
_REMEMBERED = 512
_REMEMBERED_LISTINGS = 8
_FULL_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_BRANCH = re.compile(r"(?!-)[\w./+@-]+")


class NoSuchRepository(Exception):
    """No repository is configured for the URL."""


class NoSuchCommit(Exception):
    """The repository has no such branch or commit."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A repository at a commit. `url` is as the session named it."""

    url: str
    directory: Path
    commit: str


class Checkouts:
    """Answers git questions about the configured repositories; a commit never changes, so answers are remembered."""

    def __init__(self, repositories: Mapping[str, Path], threads: ThreadPoolExecutor) -> None:
        self._repositories = repositories
        self._threads = threads
        self._answers: OrderedDict[tuple[str, ...], str | None] = OrderedDict()

    async def mount(self, url: str, checkout: Mapping[str, str] | None) -> Checkout:
        """The commit that a session's resource names. Raises NoSuchRepository or NoSuchCommit."""
        directory = self._repositories.get(normal_url(url))
        if directory is None:
            raise NoSuchRepository(url)
        for revision in _revisions(checkout):
            found = await self._git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
            if found:
                return Checkout(url, directory, found.strip())
        raise NoSuchCommit(url)

    async def paths(self, checkout: Checkout) -> tuple[str, ...]:
        """Every file of the commit, sorted; symbolic links and submodules are left out."""
        listing = await self._remembered(checkout, "ls-tree", "-r", "-z", "--full-tree", checkout.commit)
        return _files(listing or "")

    async def text(self, checkout: Checkout, path: str) -> str | None:
        """The text of a file; None where the commit has no such file."""
        if path not in await self.paths(checkout):
            return None
        return await self._remembered(checkout, "cat-file", "blob", f"{checkout.commit}:{path}")

    async def grep(self, checkout: Checkout, pattern: str, under: str) -> str | None:
        """Matching lines as `path:line:text`; None where git doesn't accept the pattern."""
        arguments = ("grep", "-n", "-I", "-E", "--no-color", "--full-name", "--no-recurse-submodules")
        where = ("--", f":(top,literal){under}") if under else ("--", ":(top)")
        found = await self._remembered(checkout, *arguments, "-e", pattern, checkout.commit, *where)
        prefix = f"{checkout.commit}:"
        return (
            None
            if found is None
            else "\n".join(line.removeprefix(prefix) for line in found.removesuffix("\n").split("\n"))
        )

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _remembered(self, checkout: Checkout, *arguments: str) -> str | None:
        key = (str(checkout.directory), *arguments)
        if key not in self._answers:
            self._answers[key] = await self._git(checkout.directory, *arguments)
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        self._answers.move_to_end(key)
        return self._answers[key]

    async def _git(self, directory: Path, *arguments: str) -> str | None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _run_git, directory, arguments)


@lru_cache(_REMEMBERED_LISTINGS)
def _files(listing: str) -> tuple[str, ...]:
    entries = (entry.partition("\t") for entry in listing.split("\0") if entry)
    return tuple(path for kind, _, path in entries if kind.startswith("100"))


def _run_git(directory: Path, arguments: tuple[str, ...]) -> str | None:
    """What git prints; empty where it found nothing, None where it failed."""
    environment = {**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)}
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program; what comes from a session stands behind -e, -- or a revision
            [*_GIT, *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    nothing_found = done.returncode == 1 and arguments[0] == "grep"
    return done.stdout.decode(errors="replace") if done.returncode == 0 or nothing_found else None


def _revisions(checkout: Mapping[str, str] | None) -> tuple[str, ...]:
    if checkout is None:
        return ("HEAD^{commit}",)
    if checkout["type"] == "commit":
        return (f"{checkout['sha']}^{{commit}}",) if _FULL_SHA.fullmatch(checkout["sha"]) else ()
    name = checkout["name"]
    if not _BRANCH.fullmatch(name) or ".." in name or "@{" in name:
        return ()
    return (f"refs/heads/{name}^{{commit}}", f"refs/remotes/origin/{name}^{{commit}}")
