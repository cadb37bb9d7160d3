"""A checkout whose git directory borrows another repository's objects would be a way to read that one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from paths_world import git, make_repository, write_files

from dispatcher.action.request import Repository
from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.checkout import resolve

_COUNT_PROCESSES = """
import sys
from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import resolve
asked = Repository(path=sys.argv[1], commit=sys.argv[2] or None)
begun = []
sys.addaudithook(lambda event, arguments: event == "subprocess.Popen" and begun.append(arguments))
resolve(asked)
print(len(begun))
"""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A repository that nobody asked for."""
    make_repository(tmp_path / "other", {"secret.txt": "needle\n"})
    return tmp_path / "other"


def written_down(root: Path, other: Path) -> None:
    """A `.git` that leads to a directory of its own, which names another's objects, and leads back."""
    files = {".git": "gitdir: ./own\n", "own/HEAD": "ref: refs/heads/main\n", "own/gitdir": "../.git\n"}
    write_files(root, {**files, "own/commondir": f"{other}/.git\n"})


def alternates(root: Path, other: Path) -> None:
    make_repository(root, {"a": "x\n"})
    write_files(root, {".git/objects/info/alternates": f"{other}/.git/objects\n"})
    shutil.copy(other / ".git/refs/heads/main", root / ".git/refs/heads/main")


def linked_one_by_one(root: Path, other: Path) -> None:
    make_repository(root, {"a": "x\n"})
    shutil.rmtree(root / ".git/objects")
    for entry in (other / ".git/objects").iterdir():
        write_files(root, {".git/objects/.keep": ""})
        (root / ".git/objects" / entry.name).symlink_to(entry)
    shutil.copy(other / ".git/refs/heads/main", root / ".git/refs/heads/main")


def linked_pack(root: Path, other: Path) -> None:
    git(other, "repack", "-a", "-d", "--quiet")
    make_repository(root, {"a": "x\n"})
    for entry in (other / ".git/objects/pack").iterdir():
        (root / ".git/objects/pack" / entry.name).symlink_to(entry)
    shutil.copy(other / ".git/refs/heads/main", root / ".git/refs/heads/main")


def linked_behind_a_git_file(root: Path, other: Path) -> None:
    shutil.copytree(other / ".git", root / "own")
    shutil.rmtree(root / "own/objects")
    (root / "own/objects").symlink_to(other / ".git/objects")
    write_files(root, {".git": "gitdir: ./own\n"})
    git(root, "config", "--file", str(root / "own/config"), "core.worktree", "..")


@pytest.mark.parametrize("borrow", [written_down, alternates, linked_one_by_one, linked_pack, linked_behind_a_git_file])
def test_a_checkout_that_borrows_the_objects_of_another_repository_is_refused(
    tmp_path: Path, other: Path, borrow: Callable[[Path, Path], None]
) -> None:
    borrow(tmp_path / "root", other)

    assert git(tmp_path / "root", "show", "HEAD:secret.txt") == "needle"
    with pytest.raises(RepositoryUnusable, match="another"):
        resolve(Repository(path=tmp_path / "root"))


def test_what_made_its_borrowed_objects_its_own_is_read_as_the_refusal_says(tmp_path: Path, other: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--shared", str(other), "shared")
    with pytest.raises(RepositoryUnusable, match="git repack -a -d"):
        resolve(Repository(path=tmp_path / "shared"))
    git(tmp_path / "shared", "repack", "-a", "-d", "--quiet")
    (tmp_path / "shared/.git/objects/info/alternates").unlink()

    assert resolve(Repository(path=tmp_path / "shared")).commit_sha == git(other, "rev-parse", "HEAD")


@pytest.mark.parametrize(("digits", "processes"), [(0, 1), (40, 1), (10, 2)])
def test_a_commit_is_found_with_as_few_processes_as_can_be(other: Path, digits: int, processes: int) -> None:
    commit = git(other, "rev-parse", "HEAD")[:digits]
    command = [sys.executable, "-c", _COUNT_PROCESSES, str(other), commit]
    counted = subprocess.run(command, capture_output=True, text=True, check=True)

    assert int(counted.stdout) == processes
