"""A folder that may change while it is read: what lies below it, without following any link out of it."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dispatcher.paths.repository.inventory import MAX_FILE_BYTES, MAX_FILES, LeftOut, TooManyFiles

_TOP = os.O_RDONLY | os.O_DIRECTORY
_DIRECTORY = _TOP | os.O_NOFOLLOW
# Not blocking, because opening a FIFO would wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def paths_below(root: Path, *, seconds: float) -> list[str]:
    """The files below a folder that can be read, ignored ones too, sorted. Blocks.

    Like git, it passes over everything named `.git`. Raises TooManyFiles, and OSError where the folder itself can't
    be read.
    """
    until = time.monotonic() + seconds
    paths: list[str] = []
    directories = [""]
    top = os.open(root, _TOP)
    try:
        while directories:
            directory = directories.pop()
            inner, files = _entries(top, directory, until, MAX_FILES - len(paths))
            directories += inner
            paths += files
    finally:
        os.close(top)
    return sorted(paths)


def _entries(top: int, directory: str, until: float, room: int) -> tuple[list[str], list[str]]:
    """The directories and the readable files in one directory, by their paths from the top. Raises TooManyFiles."""
    directories: list[str] = []
    files: list[str] = []
    before = f"{directory}/" if directory else ""
    try:
        with _opened(top, directory.split("/") if directory else []) as opened, os.scandir(opened) as entries:
            for entry in entries:
                if time.monotonic() > until or len(files) > room:
                    raise TooManyFiles
                if entry.name == ".git":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    directories.append(before + entry.name)
                elif (before + entry.name).isprintable() and _is_readable(entry):
                    files.append(before + entry.name)
    except OSError:
        # Not ours to read, or not there any more: nothing below it can be offered.
        pass
    return directories, files


def _is_readable(entry: os.DirEntry[str]) -> bool:
    try:
        return _reason(entry.stat(follow_symlinks=False)) is None
    except OSError:
        return False


def read_below(root: Path, path: str) -> bytes | LeftOut | None:
    """The content of a regular file below a folder, or why it isn't read; None where there is none. Blocks.

    Opened part by part, so that no link on the way is followed, not even one that was put there just now. Raises
    OSError.
    """
    *directories, name = path.split("/")
    if not name or ".git" in {*directories, name}:
        return None
    top = os.open(root, _TOP)
    try:
        with _opened(top, directories) as directory:
            reason = _reason(os.stat(name, dir_fd=directory, follow_symlinks=False))
            return _content(os.open(name, _FILE, dir_fd=directory)) if reason is None else reason
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            return None
        if error.errno == errno.ELOOP:
            return LeftOut.LINK
        raise
    finally:
        os.close(top)


@contextmanager
def _opened(top: int, parts: Sequence[str]) -> Iterator[int]:
    """One directory, opened part by part, so that no link on the way is followed, however lately it was put there."""
    opened = os.dup(top)
    try:
        for part in parts:
            inner = os.open(part, _DIRECTORY, dir_fd=opened)
            os.close(opened)
            opened = inner
        yield opened
    finally:
        os.close(opened)


def _content(descriptor: int) -> bytes | LeftOut:
    with os.fdopen(descriptor, "rb", buffering=0):
        reason = _reason(os.fstat(descriptor))
        if reason is not None:
            return reason
        content = bytearray()
        while len(content) <= MAX_FILE_BYTES and (chunk := os.read(descriptor, MAX_FILE_BYTES + 1 - len(content))):
            content += chunk
    return LeftOut.TOO_LARGE if len(content) > MAX_FILE_BYTES else bytes(content)


def _reason(status: os.stat_result) -> LeftOut | None:
    if stat.S_ISLNK(status.st_mode):
        return LeftOut.LINK
    if stat.S_ISDIR(status.st_mode):
        return LeftOut.DIRECTORY
    if not stat.S_ISREG(status.st_mode):
        return LeftOut.SPECIAL
    return LeftOut.TOO_LARGE if status.st_size > MAX_FILE_BYTES else None
