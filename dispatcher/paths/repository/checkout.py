"""Which repository, at which commit: resolved once, before anything is spent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dispatcher.action.request import Repository
from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.git import run_git

_FULL_DIGITS = (40, 64)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A repository that can be read: its top directory, the commit it is read at, and its address on GitHub.

    `commit_sha` is a full SHA; None for a plain folder, which is read as it is.
    """

    root: Path
    commit_sha: str | None
    github_url: str | None

    @property
    def git_dir(self) -> Path:
        """What git is pointed at; it exists where there is a commit."""
        return self.root / ".git"


def resolve(repository: Repository) -> Checkout:
    """Find the repository and its commit: the one asked for, else HEAD. Blocks. Raises RepositoryUnusable.

    The path must name the top of a checkout, not a part of one: citations and a mounted repository count paths from
    there. A folder that no checkout tracks is a plain folder.
    """
    root = _directory(repository.path)
    if not _exists(root / ".git"):
        _refuse_part_of_git(root)
        if repository.commit is not None:
            raise RepositoryUnusable(
                f"{root} is a plain folder without commits, so commit {repository.commit} is not in it"
            )
        return Checkout(root, None, repository.github_url)
    _refuse_foreign_objects(root / ".git")
    return Checkout(root, _commit(root, repository.commit), repository.github_url)


def _directory(path: Path | str | None) -> Path:
    try:
        root = Path(path or "").resolve(strict=True)
        is_empty = next(root.iterdir(), None) is None
    except FileNotFoundError:
        raise RepositoryUnusable(f"there is no directory {path}; name a local checkout") from None
    except NotADirectoryError:
        raise RepositoryUnusable(f"{path} is not a directory") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a usable path"
        raise RepositoryUnusable(f"{path} can't be read: {reason}") from None
    if is_empty:
        raise RepositoryUnusable(f"{path} is empty, so there is nothing to research; name a local checkout")
    return root


def _refuse_part_of_git(root: Path) -> None:
    if (root / "HEAD").is_file() and (root / "objects").is_dir() and (root / "refs").is_dir():
        raise RepositoryUnusable(f"{root} is a git directory without files; name a checkout of it")
    top = next((parent for parent in root.parents if _exists(parent / ".git")), None)
    if top is None:
        return
    inside = root.relative_to(top).as_posix()
    listing = ("--literal-pathspecs", "ls-tree", "-z", "--full-tree", "HEAD", "--", inside)
    if ".git" in inside.split("/") or run_git(top / ".git", *listing):
        raise RepositoryUnusable(f"{root} is a part of the checkout {top}; name {top} itself")


def _refuse_foreign_objects(link: Path) -> None:
    """A `.git` that leads to a repository which doesn't lead back would let one checkout read another.

    So would one whose objects are another's. That a link leads to something is enough: where it leads can change.
    """
    if link.is_symlink():
        raise RepositoryUnusable(f"{link} is a symbolic link; name the checkout that it leads to")
    if not link.is_dir():
        own = _linked_directory(link)
    elif _exists(link / "commondir"):
        raise _leads_elsewhere(link)
    else:
        own = link
    objects = own / "objects"
    directories = (objects, objects / "pack", objects / "info")
    if objects.is_symlink() or any(_holds_link(directory) for directory in directories):
        raise _leads_elsewhere(link)
    if _exists(objects / "info" / "alternates"):
        raise RepositoryUnusable(
            f"{link} borrows objects of another repository; make them its own with `git repack -a -d`, and remove "
            f"{objects / 'info' / 'alternates'}"
        )


def _linked_directory(link: Path) -> Path:
    """The directory that holds the objects of a linked worktree or a submodule, if it leads back to the checkout."""
    told = run_git(link, "rev-parse", "--absolute-git-dir", "--git-common-dir")
    if told is None or told.count("\n") != 2:  # noqa: PLR2004 - two answers
        raise RepositoryUnusable(f"{link} does not lead to a git repository that git can read")
    target, common = (Path("/", line).resolve() for line in told.splitlines())
    if target == common:
        top = run_git(link, "rev-parse", "--show-toplevel")
        returns = top is not None and Path(top.rstrip("\n")).resolve() == link.parent
    else:
        # Only a directory among a repository's own worktrees is one; anyone can write down whose objects are theirs.
        back = target / "gitdir"
        returns = target.parent == common / "worktrees" and back.is_file() and _place_in(back) == link
    if not returns:
        raise RepositoryUnusable(f"{link} leads to a git repository that belongs to another checkout")
    return common


def _place_in(file: Path) -> Path:
    return (file.parent / file.read_text(errors="replace").rstrip("\n")).resolve()


def _leads_elsewhere(link: Path) -> RepositoryUnusable:
    return RepositoryUnusable(f"{link} leads to the objects of another repository")


def _holds_link(directory: Path) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(entry.is_symlink() for entry in entries)
    except OSError:
        # Nothing that git could read either; it says so.
        return False


def _commit(root: Path, commit: str | None) -> str:
    """The full SHA of a commit whose files are there."""
    names = ["HEAD^{commit}"] if commit is None else _named(root, commit)
    asked = "".join(f"{name}\n{name.removesuffix('^{commit}')}^{{tree}}\n" for name in names)
    answers = _git(root, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked).splitlines()
    kinds = [answer.split(" ") for answer in answers]
    found = [
        (name, tree == "tree")
        for (name, kind), (_, tree) in zip(kinds[::2], kinds[1::2], strict=True)
        if kind == "commit" and name.startswith(commit or "")
    ]
    if not found:
        raise RepositoryUnusable(
            f"{root} is a git repository without a commit at HEAD; commit something first"
            if commit is None
            else f"there is no commit {commit} in {root}"
        )
    if len(found) > 1:
        raise RepositoryUnusable(
            f"commit {commit} is the beginning of {len(found)} commits in {root}; give more digits"
        )
    [(sha, has_files)] = found
    if not has_files:
        raise RepositoryUnusable(f"the files of commit {sha} are not in {root}; fetch them")
    return sha


def _named(root: Path, commit: str) -> list[str]:
    """The objects whose names begin so; by name, because a branch named like a SHA would win over the commit."""
    if len(commit) in _FULL_DIGITS:
        return [commit]
    return _git(root, "rev-parse", f"--disambiguate={commit}").split()


def _git(root: Path, *arguments: str, stdin: str = "") -> str:
    answer = run_git(root / ".git", *arguments, stdin=stdin)
    if answer is None:
        raise RepositoryUnusable(f"{root / '.git'} is not a git repository that git can read")
    return answer


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()
