"""What there is to read in a repository: its regular files, and why the rest is left out."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MAX_FILE_BYTES = 2_000_000
MAX_FILES = 300_000


class LeftOut(StrEnum):
    """Why something in the repository isn't read; the value is the end of a sentence about it."""

    LINK = "is a symbolic link, which is not followed"
    SUBMODULE = "is a submodule, which is another repository"
    SPECIAL = "is not a regular file"
    TOO_LARGE = f"is larger than {MAX_FILE_BYTES} bytes"
    UNPRINTABLE = "has a name that can't be shown"


class TooManyFiles(Exception):
    """The repository is too large to be listed."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files that can be read, by path from the root in sorted order, and what was left out.

    The value of a file is the name of its object at a commit, and empty in a plain folder.
    """

    files: Mapping[str, str]
    left_out: Mapping[str, LeftOut]

    def has_directory(self, path: str) -> bool:
        """Whether files lie below this path."""
        return any(known.startswith(f"{path}/") for known in self.files)


def inventory_of_tree(listing: bytes) -> Inventory:
    """Read the output of `git ls-tree -r -l -z`. Raises TooManyFiles."""
    found: dict[str, tuple[str, LeftOut | None]] = {}
    for record in filter(None, listing.split(b"\0")):
        about, _, raw_path = record.partition(b"\t")
        mode, kind, name, size = about.decode("ascii").split()
        path = os.fsdecode(raw_path)
        found[path] = (name, _tree_reason(mode, kind, size) or _name_reason(path))
    return _inventory(found)


def inventory_of_folder(root: Path, *, seconds: float) -> Inventory:
    """Walk a folder without following links or leaving out ignored files. Blocks. Raises TooManyFiles.

    Like git, it passes over everything named `.git`. Raises OSError where the folder itself can't be read.
    """
    until = time.monotonic() + seconds
    found: dict[str, tuple[str, LeftOut | None]] = {}
    for entry in _walk(root, until):
        path = os.path.relpath(entry.path, root)
        found[path] = ("", _folder_reason(entry) or _name_reason(path))
        if len(found) > MAX_FILES:
            raise TooManyFiles
    return _inventory(found)


def _inventory(found: Mapping[str, tuple[str, LeftOut | None]]) -> Inventory:
    if len(found) > MAX_FILES:
        raise TooManyFiles
    paths = sorted(found)
    return Inventory(
        {path: found[path][0] for path in paths if found[path][1] is None},
        {path: reason for path in paths if (reason := found[path][1]) is not None},
    )


def _walk(root: Path, until: float) -> Iterator[os.DirEntry[str]]:
    directories = [str(root)]
    while directories:
        if time.monotonic() > until:
            raise TooManyFiles
        directory = directories.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name == ".git":
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.path)
                    else:
                        yield entry
        except OSError:
            if directory == str(root):
                raise
            # Not ours to read, or its path is too long: nothing below it can be offered.


def _tree_reason(mode: str, kind: str, size: str) -> LeftOut | None:
    if kind == "commit":
        return LeftOut.SUBMODULE
    if mode == "120000":
        return LeftOut.LINK
    return LeftOut.TOO_LARGE if int(size) > MAX_FILE_BYTES else None


def _folder_reason(entry: os.DirEntry[str]) -> LeftOut | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return LeftOut.SPECIAL
    if stat.S_ISLNK(status.st_mode):
        return LeftOut.LINK
    if not stat.S_ISREG(status.st_mode):
        return LeftOut.SPECIAL
    return LeftOut.TOO_LARGE if status.st_size > MAX_FILE_BYTES else None


def _name_reason(path: str) -> LeftOut | None:
    # A line end in a name would let a file forge the lines of a search result.
    return None if path.isprintable() else LeftOut.UNPRINTABLE
