"""A repository that tries to run its own programs: none runs, and the tools still answer."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from paths_world import commit_all, git, make_repository, write_files

from dispatcher.action.request import Repository
from dispatcher.errors import RepositoryUnusable
from dispatcher.paths.repository.checkout import resolve
from dispatcher.paths.repository.tools import RepositoryTools, ToolResult

CALLS = [
    ("search_code", {"pattern": "needle"}),
    ("search_code", {"pattern": "needle", "path_glob": "*.txt"}),
    ("read_file", {"path": "a.txt"}),
    ("list_files", {}),
]

PROGRAMS = (
    *("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass", "core.alternateRefsCommand"),
    *("diff.external", "diff.evil.command", "diff.evil.textconv"),
    *("filter.evil.clean", "filter.evil.smudge", "filter.evil.process"),
    *("gpg.program", "uploadpack.packObjectsHook"),
)
COMMANDS = ("credential.helper", "alias.grep", "alias.ls-tree")
"""Settings that name a program, and those that are a command of a shell after an exclamation mark."""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


@pytest.fixture
def hostile(tmp_path: Path, trap: Path) -> Path:
    """Every setting known to make git run a program, pointing at one that leaves a mark."""
    root = tmp_path / "hostile"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    program.chmod(0o755)
    attributes = "* diff=evil filter=evil merge=evil\n"
    make_repository(root, {"a.txt": "needle\n", "b.bin": b"\0needle\n", ".gitattributes": attributes})
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "attributes").write_text(attributes)
    hooks = root / ".git" / "hooks"
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (hooks / hook).write_text(program.read_text())
        (hooks / hook).chmod(0o755)
    settings = {
        **dict.fromkeys(PROGRAMS, str(program)),
        **dict.fromkeys(COMMANDS, f"!{program}"),
        "core.hooksPath": str(hooks),
        "filter.evil.required": "true",
        "grep.column": "true",
        "grep.heading": "true",
        "grep.patternType": "fixed",
        "color.ui": "always",
        "submodule.recurse": "true",
        "core.worktree": "/",
    }
    for name, value in settings.items():
        git(root, "config", "--file", str(root / ".git" / "config"), name, value)
    return root


async def answers(root: Path) -> list[ToolResult]:
    tools = RepositoryTools(resolve(Repository(path=root)))
    return [await tools.call(name, tool_input) for name, tool_input in CALLS]


def test_nothing_that_a_config_names_is_run(hostile: Path, trap: Path) -> None:
    texts = [answer.text for answer in asyncio.run(answers(hostile))]

    assert not trap.exists()
    assert texts == ["a.txt:1: needle", "a.txt:1: needle", "1\tneedle", ".gitattributes\na.txt\nb.bin"]


def test_the_traps_do_spring_for_a_git_that_is_not_careful(hostile: Path, trap: Path) -> None:
    """Else the test above would prove nothing."""
    git(hostile, "config", "--file", ".git/config", "--unset", "core.worktree")
    with suppress(subprocess.CalledProcessError):
        git(hostile, "grep", "--textconv", "needle")

    assert trap.exists()


@pytest.mark.parametrize("way", ["include", "includeIf", "worktree"])
def test_nothing_that_a_config_brings_in_is_run(hostile: Path, trap: Path, way: str) -> None:
    config = hostile / ".git" / "config"
    core = "[core]\n\trepositoryformatversion = 1\n"
    if way == "worktree":
        config.rename(hostile / ".git" / "config.worktree")
        config.write_text(f"{core}[extensions]\n\tworktreeConfig = true\n")
    else:
        brought = config.rename(hostile / "brought_in")
        section = "include" if way == "include" else 'includeIf "gitdir:/**"'
        config.write_text(f'{core}[{section}]\n\tpath = "{brought}"\n')
    texts = [answer.text for answer in asyncio.run(answers(hostile))]

    assert not trap.exists()
    assert texts == ["a.txt:1: needle", "a.txt:1: needle", "1\tneedle", ".gitattributes\na.txt\nb.bin"]


def test_attributes_hide_nothing(tmp_path: Path) -> None:
    root = tmp_path / "hiding"
    make_repository(root, {"a.txt": "needle\n", ".gitattributes": "* binary -diff\n"})
    write_files(root, {".git/info/attributes": "* binary -diff\n"})
    found, *_ = asyncio.run(answers(root))

    assert found.text == "a.txt:1: needle"
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "grep", "-I", "needle", "HEAD")  # finds nothing: else this would prove nothing


@pytest.mark.parametrize("config", ["[include]\npath = /dev/zero\n", "[core\n"])
def test_a_config_that_git_cannot_read_is_a_refusal(tmp_path: Path, config: str) -> None:
    root = tmp_path / "unreadable"
    make_repository(root, {"a.txt": "needle\n"})
    (root / ".git" / "config").write_text(config)

    with pytest.raises(RepositoryUnusable, match="not a git repository that git can read"):
        resolve(Repository(path=root))


def test_the_tools_read_no_config_not_even_one_that_never_ends(tmp_path: Path) -> None:
    root = tmp_path / "endless"
    make_repository(root, {"a.txt": "needle\n"})
    checkout = resolve(Repository(path=root))
    (root / ".git" / "config").unlink()
    os.mkfifo(root / ".git" / "config")
    searched = asyncio.run(RepositoryTools(checkout).call("search_code", {"pattern": "needle"}))

    assert searched.text == "a.txt:1: needle"


def test_an_extension_that_no_git_knows_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "extended"
    make_repository(root, {"a.txt": "needle\n"})
    git(root, "config", "core.repositoryFormatVersion", "1")
    git(root, "config", "extensions.unheardOf", "true")

    with pytest.raises(RepositoryUnusable, match="not a git repository that git can read"):
        resolve(Repository(path=root))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a checkout to another user")
def test_a_checkout_of_another_user_is_read_by_every_tool(tmp_path: Path) -> None:
    root = tmp_path / "theirs"
    make_repository(root, {"a.txt": "needle\n"})
    for path in (root, *root.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)

    assert [answer.is_error for answer in asyncio.run(answers(root))] == [False] * len(CALLS)
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "status")  # "dubious ownership": else this would prove nothing


@pytest.mark.parametrize("address", ["ext::touch {trap}", "ssh://host/x", "file://{other}"])
def test_a_missing_object_is_not_fetched(tmp_path: Path, trap: Path, address: str) -> None:
    other = tmp_path / "other"
    make_repository(other, {"a.txt": "needle\n"})
    git(other, "config", "uploadpack.allowFilter", "true")
    root = tmp_path / "partial"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--no-checkout", f"file://{other}", str(root))
    url = address.format(trap=trap, other=other)
    for name, value in {
        "remote.origin.url": url,
        "protocol.ext.allow": "always",
        "protocol.allow": "always",
        "core.sshCommand": f"touch {trap}",
        "remote.origin.uploadpack": f"touch {trap};",
    }.items():
        git(root, "config", name, value)
    assert all(answer.is_error for answer in asyncio.run(answers(root)))
    assert not trap.exists()

    # A git that is not careful springs the trap; else this would prove nothing.
    with suppress(subprocess.CalledProcessError):
        git(root, "cat-file", "-p", "HEAD:a.txt")
    assert trap.exists()


async def test_replaced_objects_are_read_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "replaced"
    make_repository(root, {"a.txt": "needle\n", "other.txt": "forged\n"})
    git(root, "replace", git(root, "rev-parse", "HEAD:a.txt"), git(root, "rev-parse", "HEAD:other.txt"))
    tools = RepositoryTools(resolve(Repository(path=root)))

    assert (await tools.call("read_file", {"path": "a.txt"})).text == "1\tneedle"
    assert (await tools.call("search_code", {"pattern": "needle"})).text == "a.txt:1: needle"


async def test_the_commit_is_read_and_not_the_files_that_lie_around(tmp_path: Path) -> None:
    root = tmp_path / "changed"
    make_repository(root, {"a.txt": "needle\n"})
    checkout = resolve(Repository(path=root))
    write_files(root, {"a.txt": "changed needle\n", "new.txt": "needle\n"})
    before = RepositoryTools(checkout)

    assert (await before.call("search_code", {"pattern": "needle"})).text == "a.txt:1: needle"
    assert (await before.call("list_files", {})).text == "a.txt"
    commit_all(root)
    assert (await RepositoryTools(checkout).call("read_file", {"path": "a.txt"})).text == "1\tneedle"


async def test_the_users_own_git_settings_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "plain-settings"
    make_repository(root, {"a.txt": "needle\n"})
    (tmp_path / ".gitconfig").write_text("[grep]\n\theading = true\n[color]\n\tui = always\n")
    for name, value in {"HOME": str(tmp_path), "GIT_DIR": "/nowhere", "GIT_CONFIG_PARAMETERS": "'x.y=z'"}.items():
        monkeypatch.setenv(name, value)
    tools = RepositoryTools(resolve(Repository(path=root)))

    assert (await tools.call("search_code", {"pattern": "needle"})).text == "a.txt:1: needle"
