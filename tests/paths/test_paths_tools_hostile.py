"""Things in a repository that would lead out of it, block, or cost too much."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths_world import commit_all, git, make_repository, write_files

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.paths.repository.inventory import MAX_FILE_BYTES
from dispatcher.paths.repository.tools import RepositoryTools, ToolResult

SECRET = "top-secret-needle"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    write_files(tmp_path / "outside", {"secret.txt": SECRET + "\n"})
    return tmp_path / "outside"


def plant_links(root: Path, outside: Path) -> None:
    write_files(root, {"inside.txt": "needle\n", "sub/x.txt": "needle\n"})
    (root / "file_link").symlink_to(outside / "secret.txt")
    (root / "dir_link").symlink_to(outside, target_is_directory=True)
    (root / "up_link").symlink_to("..", target_is_directory=True)
    (root / "sub" / "link").symlink_to("../../outside/secret.txt")
    (root / "loop").symlink_to("loop")
    (root / "git_link").symlink_to(".git")


@pytest.fixture(params=["commit", "folder"])
def root(request: pytest.FixtureRequest, tmp_path: Path, outside: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    if request.param == "commit":
        git(root, "init", "--quiet")
    plant_links(root, outside)
    if request.param == "commit":
        commit_all(root)
    return root


@pytest.mark.parametrize(
    "path",
    [
        "file_link",
        "dir_link/secret.txt",
        "up_link/outside/secret.txt",
        "sub/link",
        "loop",
        "git_link/config",
        "dir_link",
    ],
)
async def test_no_link_is_followed_by_reading(root: Path, path: str) -> None:
    result = await RepositoryTools(resolve(Repository(path=root))).call("read_file", {"path": path})

    assert result.is_error
    assert SECRET not in result.text


async def test_no_link_is_followed_by_searching_or_listing(root: Path) -> None:
    tools = RepositoryTools(resolve(Repository(path=root)))
    searched = [
        await tools.call("search_code", {"pattern": "needle"}),
        await tools.call("search_code", {"pattern": "needle", "path_glob": "dir_link/**"}),
        await tools.call("search_code", {"pattern": "needle", "path_glob": "file_link"}),
    ]

    none = "(no line matches)"
    assert [result.text for result in searched] == ["inside.txt:1: needle\nsub/x.txt:1: needle", none, none]
    assert (await tools.call("list_files", {})).text == "inside.txt\nsub/x.txt"


@pytest.fixture
def special(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "special"
    write_files(root, {"inside.txt": "needle\n"})
    os.mkfifo(root / "fifo")
    (root / "locked").mkdir(mode=0)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(root / "socket"))
        yield root


async def test_what_is_no_regular_file_blocks_nothing(special: Path) -> None:
    tools = RepositoryTools(resolve(Repository(path=special)))
    async with asyncio.timeout(5):
        assert (await tools.call("search_code", {"pattern": "."})).text == "inside.txt:1: needle"
        assert (await tools.call("list_files", {})).text == "inside.txt"
        for name in ("fifo", "socket"):
            assert (await tools.call("read_file", {"path": name})).text == f"'{name}' is not a regular file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")
async def test_a_device_is_not_read(tmp_path: Path) -> None:
    write_files(tmp_path, {"inside.txt": "needle\n"})
    os.mknod(tmp_path / "zero", 0o20644, os.makedev(1, 5))
    tools = RepositoryTools(resolve(Repository(path=tmp_path)))
    async with asyncio.timeout(5):
        assert (await tools.call("read_file", {"path": "zero"})).is_error
        assert (await tools.call("search_code", {"pattern": "needle"})).text == "inside.txt:1: needle"


@pytest.mark.parametrize("swapped", ["sub", "sub/x.txt"])
async def test_a_link_put_there_after_the_listing_is_not_followed(tmp_path: Path, outside: Path, swapped: str) -> None:
    root = tmp_path / "racing"
    write_files(root, {"sub/x.txt": "needle\n"})
    write_files(outside, {"x.txt": SECRET + "\n"})
    tools = RepositoryTools(resolve(Repository(path=root)))
    await tools.call("list_files", {})
    (root / swapped).rename(root / "moved")
    (root / swapped).symlink_to(outside / swapped.removeprefix("sub").lstrip("/"))

    result = await tools.call("read_file", {"path": "sub/x.txt"})
    assert result.is_error
    assert SECRET not in (await tools.call("search_code", {"pattern": "needle"})).text


async def test_a_submodule_is_another_repository(tmp_path: Path) -> None:
    make_repository(tmp_path / "inner", {"secret.txt": SECRET})
    make_repository(tmp_path / "outer", {"inside.txt": "needle\n"})
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(tmp_path / "inner"), "vendored")
    commit_all(tmp_path / "outer")
    tools = RepositoryTools(resolve(Repository(path=tmp_path / "outer")))

    assert (await tools.call("search_code", {"pattern": "needle"})).text == "inside.txt:1: needle"
    assert "is a submodule" in (await tools.call("read_file", {"path": "vendored"})).text
    assert (await tools.call("read_file", {"path": "vendored/secret.txt"})).is_error


async def test_a_file_that_grew_after_the_listing_is_read_no_further_than_the_bound(tmp_path: Path) -> None:
    write_files(tmp_path, {"grows": "x\n"})
    tools = RepositoryTools(resolve(Repository(path=tmp_path)))
    await tools.call("list_files", {})
    for grown in (b"line\n" * (MAX_FILE_BYTES // 5 + 1), b""):
        with (tmp_path / "grows").open("wb") as file:
            file.write(grown)
            file.truncate(len(grown) or 10**12)
        assert (await tools.call("read_file", {"path": "grows"})).is_error


async def test_a_repository_that_vanished_is_an_error_and_no_exception(tmp_path: Path) -> None:
    unreadable = ToolResult("the repository can't be read here; try something else", is_error=True)
    gone = Checkout(tmp_path / "gone", "0" * 40, None)
    for checkout in (gone, Checkout(tmp_path / "gone", None, None)):
        tools = RepositoryTools(checkout)
        for call in (("search_code", {"pattern": "x"}), ("read_file", {"path": "x"}), ("list_files", {})):
            assert await tools.call(*call) == unreadable


def test_the_tools_work_on_an_event_loop_outside_the_main_thread(tmp_path: Path) -> None:
    make_repository(tmp_path / "root", {"a": "needle\n"})
    texts: list[str] = []

    async def search() -> None:
        tools = RepositoryTools(resolve(Repository(path=tmp_path / "root")))
        texts.append((await tools.call("search_code", {"pattern": "needle"})).text)

    thread = threading.Thread(target=lambda: asyncio.run(search()))
    thread.start()
    thread.join()

    assert texts == ["a:1: needle"]


async def test_a_linked_worktree_is_read_at_its_own_commit(tmp_path: Path) -> None:
    make_repository(tmp_path / "root", {"a": "needle\n"})
    git(tmp_path / "root", "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "other")
    write_files(tmp_path / "linked", {"b": "needle\n"})
    commit_all(tmp_path / "linked")
    tools = RepositoryTools(resolve(Repository(path=tmp_path / "linked")))

    assert (await tools.call("search_code", {"pattern": "needle"})).text == "a:1: needle\nb:1: needle"
    assert (await tools.call("read_file", {"path": "b"})).text == "1\tneedle"


async def test_a_repository_with_longer_object_names_is_read_too(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256")
    write_files(tmp_path, {"a": "needle\n"})
    commit_all(tmp_path)
    tools = RepositoryTools(resolve(Repository(path=tmp_path)))

    assert (await tools.call("search_code", {"pattern": "needle"})).text == "a:1: needle"
    assert (await tools.call("read_file", {"path": "a"})).text == "1\tneedle"
    assert (await tools.call("list_files", {})).text == "a"


@pytest.mark.parametrize("kind", ["commit", "folder"])
async def test_names_that_programs_could_take_for_something_else_are_names(tmp_path: Path, kind: str) -> None:
    names = [":(exclude)*", "-e", "--no-ignore", "!a", "#b", "a b", "*", "{a,b}", "[a]", "\\", "HEAD:a", "@{1}", "é"]
    write_files(tmp_path, {name: f"needle in {name}\n" for name in names})
    if kind == "commit":
        git(tmp_path, "init", "--quiet")
        commit_all(tmp_path)
    tools = RepositoryTools(resolve(Repository(path=tmp_path)))

    assert (await tools.call("list_files", {})).text.split("\n") == sorted(names)
    found = (await tools.call("search_code", {"pattern": "needle"})).text.split("\n")
    assert found == [f"{name}:1: needle in {name}" for name in sorted(names)]
    for name in names:
        assert (await tools.call("read_file", {"path": name})).text == f"1\tneedle in {name}"
