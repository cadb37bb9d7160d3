"""Which repository, at which commit: resolved once, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dispatcher.action.request import Repository
from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.git import run_git


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
    _refuse_foreign_git_directory(root)
    if run_git(root / ".git", "rev-parse", "--git-dir") is None:
        raise RepositoryUnusable(f"{root / '.git'} is not a git repository that git can read")
    sha = _head(root) if repository.commit is None else _commit(root, repository.commit)
    return Checkout(root, sha, repository.github_url)


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


def _refuse_foreign_git_directory(root: Path) -> None:
    """A `.git` that leads to a repository which doesn't lead back would let one checkout read another."""
    link = root / ".git"
    if link.is_symlink():
        raise RepositoryUnusable(f"{link} is a symbolic link; name the checkout that it leads to")
    if link.is_dir():
        if _exists(link / "commondir") or (link / "objects").is_symlink():
            raise RepositoryUnusable(f"{link} leads to the objects of another repository")
        return
    target = run_git(link, "rev-parse", "--absolute-git-dir")
    if target is None:
        raise RepositoryUnusable(f"{link} does not lead to a git repository that git can read")
    back = Path(target.rstrip("\n")) / "gitdir"
    if back.is_file():
        returns = (back.parent / back.read_text(errors="replace").rstrip("\n")).resolve() == link
    else:
        top = run_git(link, "rev-parse", "--show-toplevel")
        returns = top is not None and Path(top.rstrip("\n")).resolve() == root
    if not returns:
        raise RepositoryUnusable(f"{link} leads to a git repository that belongs to another checkout")


def _head(root: Path) -> str:
    found = run_git(root / ".git", "rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}")
    if found is None:
        raise RepositoryUnusable(f"{root} is a git repository without a commit at HEAD; commit something first")
    return _with_files(root, found.strip())


def _commit(root: Path, commit: str) -> str:
    # By prefix of the object's name, because anything else would let a branch named like a SHA win over the commit.
    named = (run_git(root / ".git", "rev-parse", f"--disambiguate={commit}") or "").split()
    kinds = run_git(root / ".git", "cat-file", "--batch-check", stdin="".join(f"{name}\n" for name in named)) or ""
    commits = [line.split()[0] for line in kinds.splitlines() if line.split()[1:2] == ["commit"]]
    if not commits:
        raise RepositoryUnusable(f"there is no commit {commit} in {root}")
    if len(commits) > 1:
        raise RepositoryUnusable(
            f"commit {commit} is the beginning of {len(commits)} commits in {root}; give more digits"
        )
    return _with_files(root, commits[0])


def _with_files(root: Path, sha: str) -> str:
    kind = run_git(root / ".git", "cat-file", "--batch-check", stdin=f"{sha}^{{tree}}\n") or ""
    if kind.split()[1:2] != ["tree"]:
        raise RepositoryUnusable(f"the files of commit {sha} are not in {root}; fetch them")
    return sha


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()
