"""Where the tools' text comes from: git's objects at a commit, or the regular files of a plain folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.repository.commit_files import CommitFiles
from dispatcher.paths.repository.folder_files import FolderFiles
from dispatcher.paths.repository.globs import Glob
from dispatcher.paths.repository.inventory import LeftOut
from dispatcher.paths.repository.matches import Found
from dispatcher.paths.repository.pattern import Pattern


class Files(Protocol):
    """The files of one checkout."""

    async def paths(self, *, seconds: float) -> Sequence[str]:
        """What there is to read, sorted. Raises TooManyFiles, RepositoryUnusable or OSError."""
        ...

    async def search(self, pattern: Pattern, glob: Glob | None, *, seconds: float) -> Found:
        """The lines that fit. Raises WrongCall, TooManyFiles, RepositoryUnusable or OSError."""
        ...

    async def content(self, path: str) -> bytes | LeftOut | None:
        """The content of a file, or why it isn't read; None where there is nothing of this path.

        Raises RepositoryUnusable or OSError.
        """
        ...


def files_of(checkout: Checkout) -> Files:
    """The files of a checkout, at its commit if it has one."""
    if checkout.commit_sha is None:
        return FolderFiles(checkout.root)
    return CommitFiles(checkout.git_dir, checkout.commit_sha)
