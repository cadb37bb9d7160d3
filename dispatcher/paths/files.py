"""Where the tools' text comes from: git's objects at a commit, or the regular files of a plain folder."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.git import Exit, git_command, read_git
from dispatcher.paths.inventory import (
    MAX_FILE_BYTES,
    Inventory,
    TooManyFiles,
    inventory_of_folder,
    inventory_of_tree,
)
from dispatcher.paths.repository import Checkout

_LISTING_BYTES = 64_000_000
# Everything that the repository's own config could change about the output, or about where it comes from, is said.
_GREP = (
    "grep",
    "-n",
    "-z",
    "-I",
    "-E",
    "--no-color",
    "--no-column",
    "--no-heading",
    "--no-break",
    "--no-textconv",
    "--no-recurse-submodules",
    "--full-name",
    "--threads=2",
)


class Files(Protocol):
    """The files of one checkout."""

    grep_prefix: bytes
    """What stands before every path in the output of `grep`."""

    async def inventory(self, *, seconds: float) -> Inventory:
        """What there is to read. Raises TooManyFiles or RepositoryUnusable."""
        ...

    async def grep(
        self, pattern: str, pathspecs: Sequence[str], consume: Callable[[bytes], bool], *, seconds: float
    ) -> Exit:
        """Feed matching lines, as `git grep -n -z` writes them, to `consume` until it returns False."""
        ...

    async def content(self, path: str, name: str) -> bytes:
        """The content of a file of the inventory. Raises RepositoryUnusable or OSError."""
        ...


def files_of(checkout: Checkout) -> Files:
    """The files of a checkout, at its commit if it has one."""
    if checkout.commit_sha is None:
        return FolderFiles(checkout.root)
    return CommitFiles(checkout.git_dir, checkout.commit_sha)


class CommitFiles:
    """The files of a commit, by git's plumbing; the working tree is not looked at."""

    def __init__(self, git_dir: Path, commit_sha: str) -> None:
        self.grep_prefix = f"{commit_sha}:".encode()
        self._git_dir = git_dir
        self._sha = commit_sha

    async def inventory(self, *, seconds: float) -> Inventory:
        """What `git ls-tree` lists."""
        listing = await self._output("ls-tree", "-r", "-l", "-z", "--full-tree", self._sha, seconds=seconds)
        return await asyncio.to_thread(inventory_of_tree, listing)

    async def grep(
        self, pattern: str, pathspecs: Sequence[str], consume: Callable[[bytes], bool], *, seconds: float
    ) -> Exit:
        """Search the commit with `git grep`."""
        command = git_command(self._git_dir, *_GREP, "-e", pattern, self._sha, "--", *pathspecs)
        return await read_git(command, consume, cwd=Path("/"), seconds=seconds)

    async def content(self, path: str, name: str) -> bytes:
        """The blob of this name."""
        answer = await self._output("cat-file", "--batch", stdin=f"{name}\n".encode(), seconds=10)
        head, _, content = answer.partition(b"\n")
        if head.split()[1:2] != [b"blob"]:
            raise RepositoryUnusable(f"the content of {path} is missing from the repository")
        return content.removesuffix(b"\n")

    async def _output(self, *arguments: str, seconds: float, stdin: bytes = b"") -> bytes:
        output = bytearray()

        def keep(chunk: bytes) -> bool:
            output.extend(chunk)
            return len(output) <= _LISTING_BYTES

        command = git_command(self._git_dir, *arguments)
        ended = await read_git(command, keep, cwd=Path("/"), seconds=seconds, stdin=stdin)
        if ended.code is None:
            raise TooManyFiles
        if ended.code != 0:
            raise RepositoryUnusable(f"git {arguments[0]} failed on the repository")
        return bytes(output)


class FolderFiles:
    """The regular files of a folder, ignored ones too."""

    grep_prefix = b""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def inventory(self, *, seconds: float) -> Inventory:
        """What a walk through the folder finds."""
        return await asyncio.to_thread(inventory_of_folder, self._root, seconds=seconds)

    async def grep(
        self, pattern: str, pathspecs: Sequence[str], consume: Callable[[bytes], bool], *, seconds: float
    ) -> Exit:
        """Search the folder with `git grep --no-index`, which opens regular files only and follows no link."""
        command = git_command(
            Path(os.devnull), *_GREP, "--no-index", "--no-exclude-standard", "-e", pattern, "--", *pathspecs
        )
        return await read_git(command, consume, cwd=self._root, seconds=seconds)

    async def content(self, path: str, name: str) -> bytes:  # noqa: ARG002 - files of a folder have no object name
        """The file's bytes, as they are now."""
        return await asyncio.to_thread(_read_regular_file, self._root, path)


def _read_regular_file(root: Path, path: str) -> bytes:
    """Open part by part, so that no link on the way is followed, not even one that was put there just now."""
    *directories, name = path.split("/")
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for directory in directories:
            inner = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened)
            os.close(opened)
            opened = inner
        # Not blocking, because opening a FIFO would wait for its writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened)
    finally:
        os.close(opened)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RepositoryUnusable(f"{path} is no regular file")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise RepositoryUnusable(f"{path} has grown beyond {MAX_FILE_BYTES} bytes")
    return content
