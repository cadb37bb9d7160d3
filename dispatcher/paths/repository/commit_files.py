"""The files of a commit, by git's plumbing; neither the working tree nor any setting of the repository is looked at."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.git import object_directory, read_objects
from dispatcher.paths.repository.globs import Glob
from dispatcher.paths.repository.inventory import (
    CONTENT_MISSING,
    MAX_FILE_BYTES,
    LargeFiles,
    LeftOut,
    TooManyFiles,
    paths_of_tree,
)
from dispatcher.paths.repository.matches import Found, MatchReader
from dispatcher.paths.repository.pattern import Pattern
from dispatcher.paths.repository.process import Consume, Exit
from dispatcher.paths.repository.tool_input import WrongCall

_LISTING = ("ls-tree", "-r", "-l", "-z", "--full-tree")
_LISTING_BYTES = 64_000_000
_GREP = (
    "grep",
    "-n",
    "-z",
    "-I",
    "-E",
    "--no-color",
    "--no-textconv",
    "--no-recurse-submodules",
    "--full-name",
    # As many as git itself would take.
    f"--threads={min(os.cpu_count() or 1, 8)}",
)
_FOUND, _FOUND_NOTHING = 0, 1
_UNREADABLE = "unable to read"
_READ_S = 10.0
# How long a search may take before large files are looked for, and how many bytes of names fit into a pipe.
_PATIENCE_S = 2.0
_ASKED_AT_ONCE_BYTES = 60_000
_LINK_MODE = "120000"
_EXCLUDED_AT_MOST = 500


class CommitFiles:
    """The files of one commit; what is too large to be searched is looked up once."""

    def __init__(self, git_dir: Path, commit_sha: str) -> None:
        self._git_dir = git_dir
        self._sha = commit_sha
        self._objects: Path | None = None
        self._large: Sequence[str] | None = None
        self._sizing = asyncio.Lock()

    async def paths(self, *, seconds: float) -> Sequence[str]:
        """What `git ls-tree` lists."""
        listing = await self._output(*_LISTING, self._sha, seconds=seconds)
        return await asyncio.to_thread(paths_of_tree, listing)

    async def search(self, pattern: Pattern, glob: Glob | None, *, seconds: float) -> Found:
        """Search the commit with `git grep`, without its large files, which git would read whole."""
        if self._large is None:
            found = await self._search_all(pattern, glob, seconds=seconds)
            if found is not None:
                return found
        excluded = _excluded(await self._large_files(seconds=seconds), glob)
        return await self._grep(pattern, glob, excluded, seconds=seconds)

    async def _search_all(self, pattern: Pattern, glob: Glob | None, *, seconds: float) -> Found | None:
        """Search large files too, because few commits hold one and asking for all sizes takes long.

        None where large files did matter: they were found, took all memory, or there are some and it takes its time.
        """
        searching = asyncio.ensure_future(self._grep(pattern, glob, [], seconds=seconds))
        try:
            await asyncio.wait({searching}, timeout=_PATIENCE_S)
            if not searching.done() and _excluded(await self._large_files(seconds=seconds), glob):
                return None
            found = await searching
        except WrongCall:
            return None
        finally:
            searching.cancel()
            await asyncio.gather(searching, return_exceptions=True)
        return None if await self._has_large(found) else found

    async def _has_large(self, found: Found) -> bool:
        """Whether any line was found in a file that is too large to be read."""
        names = "".join(f"{self._sha}:{path}\n" for path in {match.path for match in found.matches}).encode()
        if not names:
            return False
        if len(names) > _ASKED_AT_ONCE_BYTES:
            return bool(await self._large_files(seconds=_READ_S))
        sizes = await self._output("cat-file", "--batch-check=%(objectsize)", seconds=_READ_S, stdin=names)
        return any(int(size) > MAX_FILE_BYTES for size in sizes.split() if size.isdigit())

    async def content(self, path: str) -> bytes | LeftOut | None:
        """The blob at this path, as the commit's tree names it."""
        if not path:
            return None
        listed = await self._output(
            "--literal-pathspecs", "ls-tree", "-l", "-z", "--full-tree", self._sha, "--", path, seconds=_READ_S
        )
        entry = next((e for e in listed.split(b"\0") if os.fsdecode(e.partition(b"\t")[2]) == path), None)
        if entry is None:
            return None
        mode, kind, name, size = entry.partition(b"\t")[0].decode("ascii").split()
        return _left_out(mode, kind, size) or await self._blob(name)

    async def _blob(self, name: str) -> bytes:
        answer = await self._output("cat-file", "--batch", seconds=_READ_S, stdin=f"{name}\n".encode())
        head, _, content = answer.partition(b"\n")
        if head.split()[1:2] != [b"blob"]:
            raise RepositoryUnusable(CONTENT_MISSING)
        return content.removesuffix(b"\n")

    async def _grep(self, pattern: Pattern, glob: Glob | None, excluded: Sequence[str], *, seconds: float) -> Found:
        reader = MatchReader(glob, f"{self._sha}:".encode(), lambda _path, _number, line: line)
        pathspecs = [*(glob.pathspecs() if glob else []), *(f":(exclude,literal){path}" for path in excluded)]
        # git's leap to the next match finds an empty line behind the last one of a file; with two patterns it walks.
        twice = ["--and", "-e", pattern.posix] if pattern.may_be_empty else []
        arguments = (*_GREP, "-e", pattern.posix, *twice, self._sha, "--", *pathspecs)
        ended = await self._run(*arguments, consume=reader.feed, seconds=seconds)
        if _UNREADABLE in ended.complaint:
            raise RepositoryUnusable(CONTENT_MISSING)
        if ended.code not in {None, _FOUND, _FOUND_NOTHING}:
            raise WrongCall("the repository could not be searched for this pattern; try another one")
        return reader.found(timed_out=ended.timed_out)

    async def _large_files(self, *, seconds: float) -> Sequence[str]:
        async with self._sizing:
            if self._large is None:
                large = LargeFiles()
                ended = await self._run(*_LISTING, self._sha, consume=large.feed, seconds=seconds)
                _refuse_unfinished(ended)
                self._large = large.paths
            return self._large

    async def _output(self, *arguments: str, seconds: float, stdin: bytes = b"") -> bytes:
        output = bytearray()

        def keep(chunk: bytes) -> bool:
            output.extend(chunk)
            return len(output) <= _LISTING_BYTES

        _refuse_unfinished(await self._run(*arguments, consume=keep, seconds=seconds, stdin=stdin))
        return bytes(output)

    async def _run(self, *arguments: str, consume: Consume, seconds: float, stdin: bytes = b"") -> Exit:
        if self._objects is None:
            self._objects = await asyncio.to_thread(object_directory, self._git_dir)
        return await read_objects(self._objects, self._sha, *arguments, consume=consume, seconds=seconds, stdin=stdin)


def _left_out(mode: str, kind: str, size: str) -> LeftOut | None:
    if kind == "commit":
        return LeftOut.SUBMODULE
    if kind == "tree":
        return LeftOut.DIRECTORY
    if mode == _LINK_MODE:
        return LeftOut.LINK
    return LeftOut.TOO_LARGE if size.isdigit() and int(size) > MAX_FILE_BYTES else None


def _excluded(large: Sequence[str], glob: Glob | None) -> list[str]:
    excluded = [path for path in large if glob is None or glob.matches(path)]
    if len(excluded) > _EXCLUDED_AT_MOST:
        raise WrongCall(f"{len(excluded)} files here are too large to be searched; narrow path_glob")
    return excluded


def _refuse_unfinished(ended: Exit) -> None:
    if ended.code is None:
        raise TooManyFiles
    if ended.code != 0:
        raise RepositoryUnusable("git failed on the repository")
