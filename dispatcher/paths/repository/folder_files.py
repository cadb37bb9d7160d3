"""The regular files of a folder, ignored ones too; searched by ripgrep, and read without following any link."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from dispatcher.paths.repository.folder import paths_below, read_below
from dispatcher.paths.repository.globs import Glob
from dispatcher.paths.repository.inventory import LeftOut
from dispatcher.paths.repository.matches import Found, MatchReader
from dispatcher.paths.repository.pattern import Pattern
from dispatcher.paths.repository.process import Exit, read_process
from dispatcher.paths.repository.ripgrep import ENVIRONMENT, OUTPUT_PREFIX, ripgrep_command
from dispatcher.paths.repository.tool_input import WrongCall

_FOUND, _FOUND_NOTHING, _SOME_UNREADABLE = 0, 1, 2


class FolderFiles:
    """The files of one folder, as they are now."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._without_large = False

    async def paths(self, *, seconds: float) -> Sequence[str]:
        """What a walk through the folder finds."""
        return await asyncio.to_thread(paths_below, self._root, seconds=seconds)

    async def search(self, pattern: Pattern, glob: Glob | None, *, seconds: float) -> Found:
        """Search the folder with ripgrep, which tells where to look; the lines shown are read by us.

        So nothing is shown that a link led to, whenever that was put there. Large files are searched in vain, because
        asking for every file's size takes longer; where that took too much time or memory, it is asked for from then.
        """
        reader, ended = await self._run(pattern, glob, seconds)
        if not self._without_large and (ended.timed_out or _crashed(ended)):
            self._without_large = True
            if _crashed(ended):
                reader, ended = await self._run(pattern, glob, seconds)
        if ended.code not in {None, _FOUND, _FOUND_NOTHING} and (ended.code != _SOME_UNREADABLE or ended.complaint):
            raise WrongCall("the repository could not be searched for this pattern; try another one")
        return reader.found(timed_out=ended.timed_out)

    async def content(self, path: str) -> bytes | LeftOut | None:
        """The file's bytes."""
        return await asyncio.to_thread(read_below, self._root, path)

    async def _run(self, pattern: Pattern, glob: Glob | None, seconds: float) -> tuple[MatchReader, Exit]:
        reader = MatchReader(glob, OUTPUT_PREFIX, _Lines(self._root).line)
        globs = glob.ripgrep_globs() if glob else []
        command = ripgrep_command(pattern.rust, globs, without_large=self._without_large)
        ended = await read_process(command, reader.feed, cwd=self._root, environment=ENVIRONMENT, seconds=seconds)
        return reader, ended


class _Lines:
    """Lines of files, read by us; the last file's are kept, because matches come file by file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = ""
        self._lines: Sequence[bytes] = ()

    def line(self, path: str, number: int, text: bytes) -> bytes | None:
        """A line of a text file, if it still begins as it was found."""
        if path != self._path:
            self._path, self._lines = path, _text_lines(self._root, path)
        line = self._lines[number - 1] if 0 < number <= len(self._lines) else None
        return line if line is not None and line.startswith(text) else None


def _text_lines(root: Path, path: str) -> Sequence[bytes]:
    try:
        content = read_below(root, path)
    except OSError:
        return ()
    # Binary to ripgrep as well, unless a buffer of it was searched before the NUL came.
    return content.split(b"\n") if isinstance(content, bytes) and b"\0" not in content else ()


def _crashed(ended: Exit) -> bool:
    return ended.code is not None and ended.code < 0
