"""A plain folder: nothing in it or around it hides a file, runs a program, or leads out while it is searched."""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from paths_world import SLOW_PATTERN, make_repository, slow_text, write_files

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import Checkout, resolve
from dispatcher.paths.repository.folder import read_below
from dispatcher.paths.repository.inventory import LeftOut
from dispatcher.paths.repository.tools import RepositoryTools, ToolResult

SECRET = "top-secret-needle"
IGNORING: Mapping[str, str | bytes] = {
    ".gitignore": "*\n",
    ".ignore": "*\n",
    ".rgignore": "*\n",
    ".gitattributes": "* binary -diff -text working-tree-encoding=UTF-16 export-ignore\n",
    "sub/.gitignore": "*\n",
    ".ripgreprc": "--glob=!*\n",
}


async def test_no_ignore_or_attribute_file_hides_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "around" / "root"
    files = {"a.py": "needle\n", "sub/.hidden": "needle\n", "node_modules/x.js": "needle\n"}
    write_files(root, {**files, **IGNORING})
    write_files(tmp_path / "around", IGNORING)
    write_files(tmp_path, {".config/git/ignore": "*\n", ".gitconfig": "[core]\nexcludesFile = .gitignore\n"})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(root / ".ripgreprc"))
    tools = RepositoryTools(resolve(Repository(path=root)))
    found = (await tools.call("search_code", {"pattern": "needle"})).text

    assert found == "".join(f"{name}:1: needle\n" for name in sorted(files)).rstrip("\n")
    assert (await tools.call("list_files", {})).text.split("\n") == sorted({**files, **IGNORING})
    assert (await tools.call("search_code", {"pattern": "needle", "path_glob": "sub/"})).text == "sub/.hidden:1: needle"


@pytest.mark.parametrize("kind", ["commit", "folder"])
async def test_what_is_binary_or_marked_is_searched_alike_everywhere(tmp_path: Path, kind: str) -> None:
    filling = b"x" * 79 + b"\n"
    files = {
        "nul_early": b"needle\n" + filling * 90 + b"\0\n",
        "nul_late": b"needle\n" + filling * 2000 + b"\0\n",
        "utf16": codecs.BOM_UTF16_LE + "needle\n".encode("utf-16-le"),
        "utf8_mark": codecs.BOM_UTF8 + b"needle\n",
        "cr": b"old\rneedle\rmac\n",
    }
    make_repository(tmp_path, files) if kind == "commit" else write_files(tmp_path, files)
    tools = RepositoryTools(resolve(Repository(path=tmp_path)))
    # git looks for a NUL no further than 8000 bytes, in a folder the whole file counts.
    late = ["nul_late:1: needle"] if kind == "commit" else []

    found = (await tools.call("search_code", {"pattern": "needle"})).text.split("\n")
    assert found == ["cr:1: old\rneedle\rmac", *late, "utf8_mark:1: \ufeffneedle"]
    at_start = (await tools.call("search_code", {"pattern": "^needle"})).text.split("\n")
    assert at_start == (late or ["(no line matches)"])


def test_the_searching_program_is_ours_wherever_another_lies(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    root = tmp_path / "root"
    write_files(root, {"a": "needle\n", "rg": f"#!/bin/sh\ntouch {trap}\n", "bin/rg": f"#!/bin/sh\ntouch {trap}\n"})
    for other in (root / "rg", root / "bin" / "rg"):
        other.chmod(0o755)
    program = """
import asyncio
from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import resolve
from dispatcher.paths.repository.tools import RepositoryTools
print(asyncio.run(RepositoryTools(resolve(Repository(path="."))).call("search_code", {"pattern": "^needle"})).text)
"""
    environment = {"PATH": f"{root}:{root}/bin:{os.defpath}"}
    command = [sys.executable, "-I", "-c", program]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("a:1: needle\n", "")
    assert not trap.exists()


@contextmanager
def swapping(inside: Path, outside: Path) -> Iterator[None]:
    """While it lasts, a directory is itself and a link to another in quick succession."""
    aside, link = inside.with_name("aside"), inside.with_name("link")
    link.symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            inside.rename(aside)
            link.rename(inside)
            inside.rename(link)
            aside.rename(inside)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        yield
    finally:
        over.set()
        swapper.join()


async def test_a_directory_that_is_swapped_for_a_link_all_the_time_leads_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    files = {f"d/{n}": "needle\n" for n in range(50)}
    write_files(root / "swapped", files)
    write_files(outside, {**dict.fromkeys(files, f"needle {SECRET}\n"), "d/only-outside": f"needle {SECRET}\n"})
    answers: list[ToolResult] = []
    with swapping(root / "swapped", outside):
        for _ in range(25):
            tools = RepositoryTools(Checkout(root, None, None))
            answers.append(await tools.call("search_code", {"pattern": "needle"}))
            answers.append(await tools.call("read_file", {"path": "swapped/d/7"}))
            answers.append(await tools.call("list_files", {}))

    assert not any(SECRET in answer.text or "only-outside" in answer.text for answer in answers)
    assert any(": needle" in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("swapped", "expected"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), LeftOut.LINK),
        (os.mkfifo, LeftOut.SPECIAL),
        (Path.mkdir, LeftOut.DIRECTORY),
        (lambda path: None, None),
    ],
)
def test_a_file_that_became_something_else_is_not_opened(tmp_path: Path, swapped: object, expected: object) -> None:
    assert callable(swapped)
    swapped(tmp_path / "x")

    assert read_below(tmp_path, "x") is expected


async def test_magic_files_of_the_kernel_neither_block_nor_lead_out() -> None:
    tools = RepositoryTools(Checkout(Path(f"/proc/{os.getpid()}"), None, None), seconds=1)
    for path in ("root/etc/passwd", "cwd/x", "exe", "fd/0", "mem", "task/../root/etc/passwd"):
        assert (await tools.call("read_file", {"path": path})).is_error
    began = time.monotonic()
    await tools.call("search_code", {"pattern": "needle"})
    await tools.call("list_files", {})

    assert time.monotonic() - began < 4


async def test_large_files_that_cost_a_search_its_time_are_passed_over_from_then_on(tmp_path: Path) -> None:
    write_files(tmp_path, {"large": slow_text() * 2, "small": "aab\n"})
    tools = RepositoryTools(resolve(Repository(path=tmp_path)), seconds=0.7)
    first = await tools.call("search_code", {"pattern": SLOW_PATTERN})
    second = await tools.call("search_code", {"pattern": SLOW_PATTERN})

    assert first.is_error
    assert second == ToolResult("(no line matches)")


async def test_links_to_directories_in_a_circle_end(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/b/c": "needle\n"})
    (tmp_path / "a" / "b" / "up").symlink_to("../..", target_is_directory=True)
    tools = RepositoryTools(resolve(Repository(path=tmp_path)))

    assert (await tools.call("search_code", {"pattern": "needle"})).text == "a/b/c:1: needle"
    assert (await tools.call("list_files", {})).text == "a/b/c"


async def test_a_git_directory_inside_is_passed_over_like_git_does(tmp_path: Path) -> None:
    make_repository(tmp_path / "vendored", {"a": "needle\n"})
    write_files(tmp_path, {"b": "needle\n", "vendored/.git/config": "needle\n", ".git_keep/.gitx": "needle\n"})
    tools = RepositoryTools(Checkout(tmp_path, None, None))
    found = (await tools.call("search_code", {"pattern": "needle"})).text

    assert found == ".git_keep/.gitx:1: needle\nb:1: needle\nvendored/a:1: needle"
    assert (await tools.call("read_file", {"path": "vendored/.git/config"})).is_error
    assert (await tools.call("list_files", {})).text == ".git_keep/.gitx\nb\nvendored/a"
