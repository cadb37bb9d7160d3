"""The tools that the model reads a repository with; they cannot leave it, change it, or run anything of it.

At a commit they read git's objects, in a plain folder its regular files. Both are searched by git itself: one pattern
language whose matching isn't exponential, stopped when its time is up.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.files import files_of
from dispatcher.paths.git import Exit
from dispatcher.paths.globs import Glob, parse_glob
from dispatcher.paths.inventory import Inventory, LeftOut, TooManyFiles
from dispatcher.paths.repository import Checkout
from dispatcher.paths.tool_input import TOOLS, ListFiles, ReadFile, SearchCode, WrongCall, parse_call
from dispatcher.paths.tool_text import MatchReader, lines_of, listing_text, matches_text, numbered_text

__all__ = ["TIME_LIMIT_S", "TOOLS", "RepositoryTools", "ToolResult"]

TIME_LIMIT_S = 10.0
"""Seconds that one search may take, and that listing the files may take."""

_AT_ONCE = 4
_EXCLUDED_AT_MOST = 500
_FOUND, _FOUND_NOTHING = 0, 1
_PATTERN_COMPLAINT = re.compile(r"^fatal: (?:-e option|command line), '.*': (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answers; `is_error` says that the text tells what was wrong with the call."""

    text: str
    is_error: bool = False


class RepositoryTools:
    """The tools over one checkout, for one attempt; the list of its files is made once."""

    def __init__(self, checkout: Checkout, *, seconds: float = TIME_LIMIT_S) -> None:
        self._files = files_of(checkout)
        self._seconds = seconds
        self._inventory: Inventory | None = None
        self._listing = asyncio.Lock()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def call(self, name: str, tool_input: object) -> ToolResult:
        """Answer one call. Whatever is wrong with it, or with the repository, is told in the result."""
        try:
            call = parse_call(name, tool_input)
            async with self._slots:
                return ToolResult(await self._answer(call))
        except WrongCall as wrong:
            return ToolResult(str(wrong), is_error=True)
        except TooManyFiles:
            return ToolResult("the repository is too large to be listed in time", is_error=True)
        except (OSError, RepositoryUnusable):
            return ToolResult("the repository can't be read here; try something else", is_error=True)

    async def _answer(self, call: SearchCode | ReadFile | ListFiles) -> str:
        if isinstance(call, SearchCode):
            return await self._search(call)
        if isinstance(call, ReadFile):
            return await self._read(call)
        return await self._list(call)

    async def _search(self, call: SearchCode) -> str:
        glob = _glob(call.path_glob)
        inventory = await self._listed()
        reader = MatchReader(
            lambda path: path in inventory.files and (glob is None or glob.matches(path)), self._files.grep_prefix
        )
        pathspecs = _pathspecs(inventory, glob)
        ended = await self._files.grep(call.pattern, pathspecs, reader.feed, seconds=self._seconds)
        _refuse_failed_search(ended)
        if ended.timed_out and not reader.matches:
            raise WrongCall(f"nothing was found within {self._seconds:g} s; simplify the pattern or narrow path_glob")
        return matches_text(reader, stopped_after_s=self._seconds if ended.timed_out else None)

    async def _read(self, call: ReadFile) -> str:
        path = _relative(call.path)
        inventory = await self._listed()
        if path not in inventory.files:
            raise WrongCall(_why_not(inventory, path))
        content = await self._files.content(path, inventory.files[path])
        return _lines_text(path, content, call.start_line or 1, call.end_line)

    async def _list(self, call: ListFiles) -> str:
        glob = _glob(call.path_glob)
        inventory = await self._listed()
        if glob is None:
            return listing_text(list(inventory.files))
        return await asyncio.to_thread(lambda: listing_text([path for path in inventory.files if glob.matches(path)]))

    async def _listed(self) -> Inventory:
        async with self._listing:
            if self._inventory is None:
                self._inventory = await self._files.inventory(seconds=self._seconds)
            return self._inventory


def _glob(text: str | None) -> Glob | None:
    try:
        return None if text is None else parse_glob(text)
    except ValueError as error:
        raise WrongCall(str(error)) from None


def _relative(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith("/") or ".." in parts:
        raise WrongCall(f"{path!r} leads out of the repository; give a path relative to its root, without ..")
    return "/".join(parts)


def _why_not(inventory: Inventory, path: str) -> str:
    if path in inventory.left_out:
        return f"{path!r} {inventory.left_out[path].value}"
    if inventory.has_directory(path):
        return f"{path!r} is a directory; list it with list_files"
    return f"there is no file {path!r}; list_files shows what there is"


def _pathspecs(inventory: Inventory, glob: Glob | None) -> list[str]:
    """What git may search: what the glob means, without files that would cost too much or could forge a result."""
    kept_out = (LeftOut.TOO_LARGE, LeftOut.UNPRINTABLE)
    excluded = [
        path
        for path, reason in inventory.left_out.items()
        if reason in kept_out and (glob is None or glob.matches(path))
    ]
    if len(excluded) > _EXCLUDED_AT_MOST:
        raise WrongCall(f"{len(excluded)} files here can not be searched; narrow path_glob")
    return [*(glob.pathspecs() if glob else []), *(f":(exclude,literal){path}" for path in excluded)]


def _refuse_failed_search(ended: Exit) -> None:
    if ended.code in {None, _FOUND, _FOUND_NOTHING}:
        return
    about_pattern = _PATTERN_COMPLAINT.search(ended.complaint)
    if about_pattern:
        raise WrongCall(f"the pattern is not a usable POSIX extended regular expression: {about_pattern[1][:100]}")
    raise WrongCall("the repository could not be searched for this pattern; try another one")


def _lines_text(path: str, content: bytes, first: int, last: int | None) -> str:
    if b"\0" in content:
        raise WrongCall(f"{path!r} is a binary file")
    try:
        lines = lines_of(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise WrongCall(f"{path!r} is not UTF-8 text") from None
    if not lines and first == 1:
        return "(the file is empty)"
    if first > len(lines):
        raise WrongCall(f"{path!r} has {len(lines)} lines, so there is no line {first}")
    if last is not None and last < first:
        raise WrongCall(f"end_line {last} lies before start_line {first}")
    return numbered_text(lines, first, len(lines) if last is None else last)
