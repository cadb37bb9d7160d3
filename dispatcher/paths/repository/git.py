"""How git is called on a repository that isn't trusted: plumbing only, and nothing of the repository's own runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.process import Consume, Exit, limited, read_process

ENVIRONMENT: Mapping[str, str] = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # Fetching what a partial clone lacks would run the remote's transport. Not every git in use knows the first of
    # these; naming an allowed protocol that doesn't exist forbids all that do, whatever the repository's config says.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PROTOCOL_FROM_USER": "0",
}
"""The whole environment of every git process; nothing is inherited."""

_OVERRIDES = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "core.packedGitWindowSize=64m",
    "core.packedGitLimit=512m",
)
# Git directories of our own, without refs or settings, one for each length of an object's name.
_NO_SETTINGS = {40: "sha1.git", 64: "sha256.git"}
_SYNC_TIMEOUT_S = 15


def git_command(git_dir: Path, *arguments: str) -> list[str]:
    """The command line of one git process on exactly this git directory. Raises RepositoryUnusable without git.

    The directory is named, so git searches for none and another user's checkout works like one's own.
    """
    overrides = [word for override in _OVERRIDES for word in ("-c", override)]
    return limited(_git_program(), "--no-pager", f"--git-dir={git_dir}", *overrides, *arguments)


def run_git(git_dir: Path, *arguments: str, stdin: str = "") -> str | None:
    """The output of one short git process, or None where git refused. Blocks. Raises RepositoryUnusable."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, and no shell reads the arguments
            git_command(git_dir, *arguments),
            input=stdin.encode(),
            capture_output=True,
            cwd="/",
            env=ENVIRONMENT,
            timeout=_SYNC_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RepositoryUnusable(f"git did not answer within {_SYNC_TIMEOUT_S} s on {git_dir}") from None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def object_directory(git_dir: Path) -> Path:
    """Where the objects of a checkout lie; it may be a linked worktree or a submodule. Blocks."""
    if git_dir.is_dir():
        return git_dir / "objects"
    found = run_git(git_dir, "rev-parse", "--git-path", "objects")
    if found is None:
        raise RepositoryUnusable(f"{git_dir} does not lead to a git repository that git can read")
    return Path("/", found.removesuffix("\n"))


async def read_objects(
    objects: Path, commit_sha: str, *arguments: str, consume: Consume, seconds: float, stdin: bytes = b""
) -> Exit:
    """Feed the output of a git process that knows nothing of a repository but its objects to `consume`.

    Its settings, attributes, references and promised remotes are in a directory that git isn't told of.
    """
    git_dir = Path(__file__).parent / "no_settings" / _NO_SETTINGS[len(commit_sha)]
    return await read_process(
        git_command(git_dir, *arguments),
        consume,
        cwd=Path("/"),
        environment={**ENVIRONMENT, "GIT_OBJECT_DIRECTORY": str(objects)},
        seconds=seconds,
        stdin=stdin,
    )


@cache
def _git_program() -> str:
    program = shutil.which("git")
    if program is None:
        raise RepositoryUnusable("git is not installed, or not on the PATH; repositories are read with it")
    return program
