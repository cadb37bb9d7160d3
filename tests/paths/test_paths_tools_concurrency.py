"""Calls of one reply run at the same time, and a call that is given up leaves nothing running."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from paths_world import SLOW_PATTERN, make_repository, slow_text, write_files

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import resolve
from dispatcher.paths.repository.tools import RepositoryTools, ToolResult

SLOW = ("search_code", {"pattern": SLOW_PATTERN})
PROGRAMS = {"commit": "git", "folder": "rg"}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    return PROGRAMS[request.param]


@pytest.fixture
def tools(program: str, tmp_path: Path) -> RepositoryTools:
    files: dict[str, str | bytes] = {"slow/a": slow_text(), "quick": "needle\n"}
    if program == "git":
        make_repository(tmp_path, files)
    else:
        write_files(tmp_path, files)
    return RepositoryTools(resolve(Repository(path=tmp_path)), seconds=60)


def children() -> list[str]:
    """The programs that this process started and that haven't ended."""
    tasks = Path(f"/proc/{os.getpid()}/task")
    pids = {pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()}
    return sorted(Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - other processes are waited for, and they set no event
            await asyncio.sleep(0.01)


async def test_slow_calls_overlap_and_are_gone_when_they_are_given_up(tools: RepositoryTools, program: str) -> None:
    async def attempt() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(tools.call(*SLOW))

    running = asyncio.create_task(attempt())
    await until(lambda: children() == [program] * 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert children() == []


async def test_a_quick_call_does_not_wait_for_a_slow_one(tools: RepositoryTools, program: str) -> None:
    slow = asyncio.create_task(tools.call(*SLOW))
    await until(lambda: children() == [program])
    searched, read, listed = await asyncio.gather(
        tools.call("search_code", {"pattern": "needle", "path_glob": "quick"}),
        tools.call("read_file", {"path": "quick"}),
        tools.call("list_files", {}),
    )
    still_running = children()
    slow.cancel()
    await asyncio.wait({slow})

    assert [searched.text, read.text, listed.text] == ["quick:1: needle", "1\tneedle", "quick\nslow/a"]
    assert still_running == [program]
    assert children() == []


async def test_a_failure_beside_it_ends_a_search_and_its_process(tools: RepositoryTools, program: str) -> None:
    async def fail() -> None:
        await until(lambda: children() == [program])
        raise ZeroDivisionError

    began = time.monotonic()
    with pytest.raises(ExceptionGroup):  # noqa: PT012 - a group is more than a statement
        async with asyncio.TaskGroup() as group:
            group.create_task(tools.call(*SLOW))
            group.create_task(fail())

    assert children() == []
    assert time.monotonic() - began < 20


async def test_listing_one_directory_of_many_files_takes_no_longer_than_allowed(tmp_path: Path) -> None:
    for n in range(4_000):
        (tmp_path / str(n)).touch()
    tools = RepositoryTools(resolve(Repository(path=tmp_path)), seconds=0.002)

    assert await tools.call("list_files", {}) == ToolResult(
        "the repository is too large to be listed in time", is_error=True
    )


async def test_a_glob_that_fits_slowly_takes_no_longer_than_allowed(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{'d/' * 100}{n}": "" for n in range(2_000)})
    tools = RepositoryTools(resolve(Repository(path=tmp_path)), seconds=1.5)
    began = time.monotonic()
    told = await tools.call("list_files", {"path_glob": "**/" * 160 + "x"})

    assert told == ToolResult("path_glob takes too long here; simplify it", is_error=True)
    assert time.monotonic() - began < 10
