"""A process that reads a repository ends with whoever waits for it, however that ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.repository.git import ENVIRONMENT, git_command
from dispatcher.paths.repository.process import read_process

_ENDLESS = ["/bin/sh", "-c", "while :; do sleep 1; done"]
_PROGRAM = """
import asyncio, sys
from pathlib import Path
from dispatcher.paths.repository.git import ENVIRONMENT, git_command
from dispatcher.paths.repository.process import read_process

async def main(delay):
    command = git_command(Path(sys.argv[1]), "ls-tree", "HEAD")
    run = lambda one: read_process(
        one, lambda chunk: True, cwd=Path("/"), environment=ENVIRONMENT, seconds=60
    )
    calls = [*(run(command) for _ in range(4)), run(["/bin/sh", "-c", "sleep 60"])]
    tasks = [asyncio.ensure_future(call) for call in calls]
    if delay < 12:
        for _ in range(delay):
            await asyncio.sleep(0)
    else:
        await asyncio.sleep((delay - 12) * 0.002)
    if delay % 2:
        for task in asyncio.all_tasks():
            task.cancel()

for delay in range(24):
    try:
        asyncio.run(main(delay))
    except asyncio.CancelledError:
        pass
"""


def test_a_loop_that_cancels_everything_while_git_starts_ends(checkout: Checkout) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(checkout.git_dir)], timeout=20, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert time.monotonic() - began < 15


async def test_a_call_that_waits_for_its_turn_can_be_cancelled_and_others_go_on(checkout: Checkout) -> None:
    endless = [
        asyncio.ensure_future(
            read_process(_ENDLESS, lambda chunk: True, cwd=Path("/"), environment=ENVIRONMENT, seconds=30)
        )
        for _ in range(64)
    ]
    await asyncio.sleep(0.3)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 1) == 7

    began = time.monotonic()
    for call in endless:
        call.cancel()
    assert [type(end) for end in await asyncio.gather(*endless, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 64
    assert time.monotonic() - began < 2

    got = bytearray()
    command = git_command(checkout.git_dir, "ls-tree", "--name-only", "HEAD")

    def keep(chunk: bytes) -> bool:
        got.extend(chunk)
        return True

    ended = await read_process(command, keep, cwd=Path("/"), environment=ENVIRONMENT, seconds=10)
    assert (ended.code, bytes(got)) == (0, b"docs\nretry.py\nsrc\n")


async def test_a_process_whose_time_is_up_is_stopped() -> None:
    began = time.monotonic()
    ended = await read_process(_ENDLESS, lambda chunk: True, cwd=Path("/"), environment=ENVIRONMENT, seconds=0.2)

    assert (ended.code, ended.timed_out) == (None, True)
    assert 0.2 <= time.monotonic() - began < 2


async def test_a_defect_in_the_reader_is_raised_and_ends_the_process(tmp_path: Path) -> None:
    def broken(chunk: bytes) -> bool:
        raise ZeroDivisionError

    (tmp_path / "a").write_text("x\n")
    with pytest.raises(ZeroDivisionError):
        await read_process(["cat", "a"], broken, cwd=tmp_path, environment=ENVIRONMENT, seconds=10)


def test_a_forked_child_can_call_git_too(checkout: Checkout) -> None:
    program = """
import asyncio, os, sys
from pathlib import Path
from dispatcher.paths.repository.git import ENVIRONMENT, git_command
from dispatcher.paths.repository.process import read_process

def code():
    command = git_command(Path(sys.argv[1]), "ls-tree", "HEAD")
    ended = read_process(command, lambda chunk: True, cwd=Path("/"), environment=ENVIRONMENT, seconds=10)
    return asyncio.run(ended).code

assert code() == 0
child = os.fork()
if child == 0:
    sys.exit(code())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert (
        subprocess.run([sys.executable, "-c", program, str(checkout.git_dir)], timeout=20, check=False).returncode == 0
    )
