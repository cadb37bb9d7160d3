"""How ripgrep is called on a folder that isn't trusted."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.inventory import MAX_FILE_BYTES
from dispatcher.paths.repository.process import limited

ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C.UTF-8"}
"""The whole environment of every ripgrep process; nothing is inherited."""

OUTPUT_PREFIX = b"./"
"""What stands before every path in the output."""

_OPTIONS = (
    "--no-config",
    "--no-ignore",
    "--hidden",
    "--no-follow",
    "--no-messages",
    "--no-heading",
    "--color=never",
    "--line-number",
    "--null",
    r"--field-match-separator=\x00",
    # Bytes as they are: a mark at the beginning of a file would make ripgrep decode what git calls binary.
    "--encoding=none",
    "--no-mmap",
    "--engine=default",
    "--regex-size-limit=20M",
    "--dfa-size-limit=100M",
)
# Asking for the size of every file makes a search a quarter slower.
_WITHOUT_LARGE = f"--max-filesize={MAX_FILE_BYTES}"


def ripgrep_command(pattern: str, globs: Sequence[str], *, without_large: bool) -> list[str]:
    """The command line that searches the current directory; the last glob that fits a file decides about it.

    Raises RepositoryUnusable where ripgrep isn't installed.
    """
    sized = [_WITHOUT_LARGE] if without_large else []
    chosen = [f"--glob={glob}" for glob in (*globs, "!.git")]
    return limited(_program(), *_OPTIONS, *sized, *chosen, "-e", pattern, "--", "./")


@cache
def _program() -> str:
    """The program that the package brought; never one that happens to be on the PATH or in a repository."""
    installed = Path(sysconfig.get_path("scripts"), "rg")
    if installed.is_file():
        return str(installed)
    try:
        brought = [file for file in files("ripgrep") or () if file.name == "rg"]
    except PackageNotFoundError:
        brought = []
    for file in brought:
        located = Path(str(file.locate())).resolve()
        if located.is_file():
            return str(located)
    raise RepositoryUnusable("ripgrep is not installed; install the package `ripgrep`, folders are searched with it")
