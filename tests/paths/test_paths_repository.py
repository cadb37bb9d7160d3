"""Which repository at which commit: resolved to a full SHA, or refused with one clear sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from paths_world import commit_all, git, make_repository, write_files

from dispatcher.action.request import Repository
from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.checkout import Checkout, resolve

URL = "https://github.com/script-nl/kendo"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    make_repository(root, {"a.py": "A = 1\n", "src/b.py": "B = 2\n"})
    return root


def refusal(path: object, commit: str | None = None) -> str:
    with pytest.raises(RepositoryUnusable) as raised:
        resolve(Repository(path=path, commit=commit))  # type: ignore[arg-type]
    return str(raised.value)


def test_without_a_commit_head_is_resolved_to_its_full_sha(root: Path) -> None:
    expected = Checkout(root, git(root, "rev-parse", "HEAD"), URL)

    assert resolve(Repository(path=str(root), github_url=URL)) == expected


@pytest.mark.parametrize("digits", [7, 12, 40])
def test_a_commit_is_found_by_its_first_digits(root: Path, digits: int) -> None:
    first = git(root, "rev-parse", "HEAD")
    write_files(root, {"a.py": "A = 2\n"})
    commit_all(root)

    assert resolve(Repository(path=root, commit=first[:digits])).commit_sha == first


def test_a_branch_named_like_a_commit_does_not_win_over_it(root: Path) -> None:
    first = git(root, "rev-parse", "HEAD")
    write_files(root, {"a.py": "A = 2\n"})
    commit_all(root)
    git(root, "branch", first[:8], "HEAD")

    assert resolve(Repository(path=root, commit=first[:8])).commit_sha == first


@pytest.mark.parametrize("commit", ["0" * 40, "abcdef1234"])
def test_a_commit_that_does_not_exist_is_refused(root: Path, commit: str) -> None:
    assert refusal(root, commit) == f"there is no commit {commit} in {root}"


def test_a_tree_or_blob_is_no_commit(root: Path) -> None:
    assert "there is no commit" in refusal(root, git(root, "rev-parse", "HEAD^{tree}"))


def test_a_plain_folder_has_no_commit_and_is_refused_one(tmp_path: Path) -> None:
    write_files(tmp_path / "plain", {"a": "x"})

    assert resolve(Repository(path=tmp_path / "plain")) == Checkout(tmp_path / "plain", None, None)
    assert "plain folder" in refusal(tmp_path / "plain", "abcdef1")


def test_a_part_of_a_checkout_is_refused_and_the_top_named(root: Path) -> None:
    assert refusal(root / "src") == f"{root / 'src'} is a part of the checkout {root}; name {root} itself"
    assert f"name {root} itself" in refusal(root / ".git" / "refs")


def test_a_folder_that_the_checkout_around_it_does_not_track_is_a_plain_folder(root: Path) -> None:
    write_files(root, {"scratch/x": "x"})

    assert resolve(Repository(path=root / "scratch")).commit_sha is None


def test_a_path_that_is_no_directory_is_refused(root: Path) -> None:
    assert refusal(root / "none") == f"there is no directory {root / 'none'}; name a local checkout"
    assert refusal(root / "a.py") == f"{root / 'a.py'} is not a directory"
    assert "can't be read" in refusal("a" * 5000)


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")

    assert "without a commit" in refusal(tmp_path)


def test_a_bare_repository_is_refused(root: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(root), "bare")

    assert "name a checkout" in refusal(tmp_path / "bare")


def test_a_broken_git_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()

    assert "not a git repository that git can read" in refusal(tmp_path)


def test_a_commit_without_its_files_is_refused(root: Path) -> None:
    tree = git(root, "rev-parse", "HEAD^{tree}")
    (root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()

    assert "fetch them" in refusal(root)


def test_a_linked_worktree_and_a_submodule_are_checkouts(root: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "other")
    git(root, "submodule", "--quiet", "add", str(root), "inner")
    head = git(root, "rev-parse", "HEAD")

    assert resolve(Repository(path=tmp_path / "linked")).commit_sha == head
    assert resolve(Repository(path=root / "inner")).commit_sha == head


def test_a_git_file_that_leads_to_another_checkout_is_refused(root: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "other")
    targets = {"top": root / ".git", "worktree": root / ".git" / "worktrees" / "linked"}
    for name, target in targets.items():
        write_files(tmp_path / name, {".git": f"gitdir: {target}\n"})
        assert "belongs to another checkout" in refusal(tmp_path / name)

    (tmp_path / "link").mkdir()
    (tmp_path / "link" / ".git").symlink_to(root / ".git")
    assert "symbolic link" in refusal(tmp_path / "link")


def test_a_git_directory_that_borrows_anothers_objects_is_refused(root: Path, tmp_path: Path) -> None:
    head = git(root, "rev-parse", "HEAD")
    for name in ("common", "linked"):
        make_repository(tmp_path / name, {"b.py": "B = 1\n"})
    (tmp_path / "common" / ".git" / "commondir").write_text(f"{root}/.git\n")
    (tmp_path / "linked" / ".git" / "objects").rename(tmp_path / "own")
    (tmp_path / "linked" / ".git" / "objects").symlink_to(root / ".git" / "objects")

    for name in ("common", "linked"):
        assert "leads to the objects of another repository" in refusal(tmp_path / name, head)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a checkout to another user")
def test_a_checkout_of_another_user_is_read(root: Path) -> None:
    head = git(root, "rev-parse", "HEAD")
    for path in (root, *root.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)

    assert resolve(Repository(path=root)).commit_sha == head


def test_an_empty_folder_is_refused_before_anything_is_spent_on_it(tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnusable, match="is empty"):
        resolve(Repository(path=tmp_path))
