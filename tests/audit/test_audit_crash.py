"""Programs that are killed, or that fork, in the middle of their work, on every engine."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import sqlalchemy as sa
from log_contract import rows

from dispatcher.audit.engine import open_engine
from dispatcher.audit.tables import calls

ROOT = Path(__file__).parents[2]
PREAMBLE = f"""
import asyncio, os, sys
sys.path.append({str(Path(__file__).parent)!r})
from attempts import a_call, an_ending, an_opening
from dispatcher.audit.engine import open_engine
from dispatcher.audit.log import Log
engine = open_engine(sys.argv[1])
"""

OPEN_ONE = """
async def main():
    opening = an_opening()
    await Log(engine).open(opening)
    print(opening.log_id, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""

OPEN_AND_CLOSE_MANY = """
async def attempt(log):
    while True:
        opening = an_opening()
        await log.open(opening)
        print(opening.log_id, "accepted", flush=True)
        await log.close(opening.log_id, an_ending(), [a_call()])
        print(opening.log_id, "closed", flush=True)

async def main():
    log = Log(engine)
    await asyncio.gather(*(attempt(log) for _ in range(16)))
asyncio.run(main())
"""

FORK = """
async def attempts(log, count):
    for opening in [an_opening() for _ in range(count)]:
        await log.open(opening)
        await log.close(opening.log_id, an_ending(), [a_call()])

async def parent():
    log = Log(engine)
    work = asyncio.gather(*(attempts(log, 20) for _ in range(8)))
    children = []
    for _ in range(5):
        await asyncio.sleep(0.02)
        children.append(os.fork())
        if not children[-1]:
            return log  # what was inherited stays referred to, so that nothing closes it
    await work
    log.shutdown()
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

def child(inherited):
    engine.dispose(close=False)
    log = Log(engine)
    asyncio.new_event_loop().run_until_complete(attempts(log, 10))
    log.shutdown()
    os._exit(0)

loop = asyncio.new_event_loop()
outcome = loop.run_until_complete(parent())
if isinstance(outcome, Log):
    child(outcome)
print(outcome)
"""


def _start(code: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_program_killed_after_open_leaves_its_row_started(any_url: str) -> None:
    program = _start(OPEN_ONE, any_url)
    assert program.stdout is not None
    log_id = program.stdout.readline().strip()
    program.kill()
    program.communicate()
    engine = open_engine(any_url)
    assert [(row["log_id"], row["status"]) for row in rows(engine)] == [(log_id, "started")]
    engine.dispose()


def test_a_program_killed_amid_concurrent_work_loses_nothing_that_was_accepted(any_url: str) -> None:
    """Every accepted row is there, every closed one is ended with its calls, and the file is whole."""
    program = _start(OPEN_AND_CLOSE_MANY, any_url)
    assert program.stdout is not None
    lines = [program.stdout.readline() for _ in range(300)]
    program.kill()
    lines += program.communicate()[0].splitlines()
    said = Counter(tuple(line.split()) for line in lines if line.split()[1:] in (["accepted"], ["closed"]))
    engine = open_engine(any_url)
    found = {row["log_id"] for row in rows(engine)}
    ended = {row["log_id"] for row in rows(engine) if row["status"] == "success"}
    assert {log_id for log_id, word in said if word == "accepted"} <= found
    assert {log_id for log_id, word in said if word == "closed"} <= ended
    assert sorted(row["log_id"] for row in rows(engine, calls)) == sorted(ended)
    assert _is_whole(engine)
    engine.dispose()


def test_children_forked_amid_work_write_their_rows_and_disturb_nobodys(any_url: str) -> None:
    program = _start(FORK, any_url)
    assert program.communicate(timeout=60) == ("[0, 0, 0, 0, 0]\n", "")
    engine = open_engine(any_url)
    assert Counter(row["status"] for row in rows(engine)) == {"success": 8 * 20 + 5 * 10}
    assert _is_whole(engine)
    engine.dispose()


def _is_whole(engine: sa.Engine) -> bool:
    if engine.dialect.name != "sqlite":
        return True
    with engine.connect() as connection:
        return connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
