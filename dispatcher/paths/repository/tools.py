"""The tools that the model reads a repository with; they cannot leave it, change it, or run anything of it.

At a commit they read git's objects, in a plain folder its regular files. git and ripgrep search them, each with limits,
in one pattern language whose matching isn't exponential.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.repository.files import files_of
from dispatcher.paths.repository.globs import Glob, parse_glob
from dispatcher.paths.repository.inventory import LeftOut, TooManyFiles
from dispatcher.paths.repository.pattern import Pattern, parse_pattern
from dispatcher.paths.repository.tool_input import TOOLS, ListFiles, ReadFile, SearchCode, WrongCall, parse_call
from dispatcher.paths.repository.tool_text import lines_of, listing_text, matches_text, numbered_text

__all__ = ["TIME_LIMIT_S", "TOOLS", "RepositoryTools", "ToolResult"]

TIME_LIMIT_S = 10.0
"""Seconds that one search may take, and that listing the files may take."""

_AT_ONCE = 4


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
        self._paths: Sequence[str] | None = None
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
        found = await self._files.search(_pattern(call.pattern), _glob(call.path_glob), seconds=self._seconds)
        if found.timed_out and not found.matches:
            raise WrongCall(f"nothing was found within {self._seconds:g} s; simplify the pattern or narrow path_glob")
        return matches_text(found, seconds=self._seconds)

    async def _read(self, call: ReadFile) -> str:
        path = _relative(call.path)
        content = await self._files.content(path)
        if content is None:
            raise WrongCall(f"there is no file {path!r}; list_files shows what there is")
        if isinstance(content, LeftOut):
            raise WrongCall(f"{path!r} {content.value}")
        return _lines_text(path, content, call.start_line or 1, call.end_line)

    async def _list(self, call: ListFiles) -> str:
        glob = _glob(call.path_glob)
        paths = await self._listed()
        if glob is None:
            return listing_text(paths)
        until = time.monotonic() + self._seconds
        return await asyncio.to_thread(lambda: listing_text(_fitting(paths, glob, until)))

    async def _listed(self) -> Sequence[str]:
        async with self._listing:
            if self._paths is None:
                self._paths = await self._files.paths(seconds=self._seconds)
            return self._paths


def _pattern(text: str) -> Pattern:
    try:
        return parse_pattern(text)
    except ValueError as error:
        raise WrongCall(f"the pattern can't be used: {error}") from None


def _glob(text: str | None) -> Glob | None:
    try:
        return None if text is None else parse_glob(text)
    except ValueError as error:
        raise WrongCall(str(error)) from None


def _fitting(paths: Sequence[str], glob: Glob, until: float) -> list[str]:
    fitting = []
    for path in paths:
        if time.monotonic() > until:
            raise WrongCall("path_glob takes too long here; simplify it")
        if glob.matches(path):
            fitting.append(path)
    return fitting


def _relative(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith("/") or ".." in parts:
        raise WrongCall(f"{path!r} leads out of the repository; give a path relative to its root, without ..")
    return "/".join(parts)


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
