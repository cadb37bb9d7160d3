"""What there is to read in a repository: its regular files, and why the rest is left out."""

from __future__ import annotations

import os
import re
from enum import StrEnum

from dispatcher.errors import RepositoryUnusable

MAX_FILE_BYTES = 2_000_000
MAX_FILES = 300_000

CONTENT_MISSING = "the content of a file is missing from the repository; fetch it"

_MISSING = b"BAD"
_RECORD_START = rb"(?<![^\0])"
_FILE = re.compile(_RECORD_START + rb"100[0-7]{3} blob [0-9a-f]+ +(BAD|[0-9]+)\t([^\0]+)\0")
_LARGE_OR_MISSING = re.compile(
    _RECORD_START + rb"1[0-7]{5} blob [0-9a-f]+ +(BAD|[0-9]{%d,})\t([^\0]+)\0" % len(str(MAX_FILE_BYTES))
)


class LeftOut(StrEnum):
    """Why something in the repository isn't read; the value is the end of a sentence about it."""

    LINK = "is a symbolic link, which is not followed"
    SUBMODULE = "is a submodule, which is another repository"
    SPECIAL = "is not a regular file"
    TOO_LARGE = f"is larger than {MAX_FILE_BYTES} bytes"
    DIRECTORY = "is a directory; list it with list_files"


class TooManyFiles(Exception):
    """The repository is too large to be listed."""


class LargeFiles:
    """Reads the output of `git ls-tree -r -l -z` as it comes, for the files that are too large to be searched."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._rest = b""

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes. Raises RepositoryUnusable."""
        whole, end, rest = (self._rest + chunk).rpartition(b"\0")
        self._rest = rest
        for size, path in _LARGE_OR_MISSING.findall(whole + end):
            if size == _MISSING:
                raise RepositoryUnusable(CONTENT_MISSING)
            if int(size) > MAX_FILE_BYTES:
                self.paths.append(os.fsdecode(path))
        return True


def paths_of_tree(listing: bytes) -> list[str]:
    """The files in the output of `git ls-tree -r -l -z` that can be read, sorted.

    Raises TooManyFiles or RepositoryUnusable.
    """
    files = _FILE.findall(listing)
    if len(files) > MAX_FILES:
        raise TooManyFiles
    if any(size == _MISSING for size, _ in files):
        raise RepositoryUnusable(CONTENT_MISSING)
    paths = [os.fsdecode(path) for size, path in files if int(size) <= MAX_FILE_BYTES]
    return sorted(filter(str.isprintable, paths))
