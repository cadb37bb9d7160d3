"""The log's threads, and the end of the program that uses them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from log_contract import rows

from dispatcher.audit.threads import Threads

_OUTLIVES_ITS_MAIN_THREAD = """
import asyncio, pathlib, sys, threading, time

sys.path.insert(0, sys.argv[1])
from attempts import BEGAN, a_call, an_ending, an_opening
from dispatcher.audit.engine import open_engine
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spooled_log import log_with_spool

spool = Spool(pathlib.Path(sys.argv[3]), "the database", Bounds(), lambda: BEGAN)
log = log_with_spool(open_engine(f"sqlite:///{sys.argv[2]}"), spool, patience_s=5.0)

async def attempt():
    opening = an_opening()
    await log.open(opening)
    while threading.main_thread().is_alive():
        await asyncio.sleep(0.01)
    await log.close(opening.log_id, an_ending(), [a_call()])

threading.Thread(target=lambda: asyncio.run(attempt())).start()
"""


def test_an_attempt_that_outlives_the_main_thread_ends_its_row(
    database: Path, engine: sa.Engine, tmp_path: Path
) -> None:
    program = [
        sys.executable,
        "-c",
        _OUTLIVES_ITS_MAIN_THREAD,
        str(Path(__file__).parent),
        database,
        tmp_path / "spool",
    ]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["status"] for row in rows(engine)] == ["success"]


def test_a_program_ends_although_a_database_hangs() -> None:
    program = (
        "import threading; from dispatcher.audit.threads import Threads; begun = threading.Event()\n"
        "Threads(1, 'x').submit(lambda: (begun.set(), threading.Event().wait())); begun.wait()"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert done.returncode == 0


def test_what_was_asked_for_is_done_in_its_order_before_a_shutdown_returns() -> None:
    threads, done, may_begin = Threads(1, "x"), list[int](), threading.Event()
    threads.submit(may_begin.wait)
    for number in range(5):
        threads.submit(lambda number=number: done.append(number))
    may_begin.set()
    threads.shutdown()
    assert list(range(5)) == done
    with pytest.raises(RuntimeError, match="it is shut down"):
        threads.submit(may_begin.wait)
    threads.shutdown()


def test_a_shutdown_waits_no_longer_than_its_patience_for_what_hangs() -> None:
    threads, may_end = Threads(2, "x"), threading.Event()
    threads.submit(may_end.wait)
    assert not threads.shutdown(0.1)
    may_end.set()
    assert threads.shutdown(30.0)


def test_what_was_taken_back_before_it_began_is_never_done_and_a_failure_is_raised_where_it_is_awaited() -> None:
    threads, done, may_begin = Threads(1, "x"), list[int](), threading.Event()
    threads.submit(may_begin.wait)
    taken_back = threads.submit(lambda: done.append(1))
    failed = threads.submit(lambda: done[7])
    assert taken_back.cancel()
    may_begin.set()
    with pytest.raises(IndexError):
        failed.result(timeout=30)
    threads.shutdown()
    assert done == []
