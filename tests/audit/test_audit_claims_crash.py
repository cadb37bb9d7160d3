"""Claims, budgets and kept content, when programs are killed or several of them ask at once, on every engine."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from attempts import BEGAN, an_ending
from claim_contract import HASH, keyed
from log_contract import rows

from dispatcher.audit.log import Log
from dispatcher.audit.tables import budget_locks, calls, conversations, idempotency_keys, results

ROOT = Path(__file__).parents[2]
PREAMBLE = f"""
import asyncio, datetime as dt, os, signal, sys
sys.path.append({str(Path(__file__).parent)!r})
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from dispatcher.audit.engine import open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.record import Kept, Room
from dispatcher.errors import ActionInProgress, BudgetExhausted

engine = open_engine(sys.argv[1])
log = Log(engine)
ROOM = Room(nanousd=10**9, since=BEGAN)

def die_before(words):
    @sa.event.listens_for(engine, "before_cursor_execute")
    def look(connection, cursor, statement, *_):
        if statement.startswith(words):
            os.kill(os.getpid(), signal.SIGKILL)
"""

OPEN_AND_DIE = """
die_before(sys.argv[2])
opening = an_opening(idempotency_key="order-7", reserved_nanousd=1, conversation_id="c", turn=1)
asyncio.run(log.open(opening, request_hash="5" * 32, room=ROOM))
"""

CLOSE_AND_DIE = """
async def main():
    opening = an_opening(idempotency_key="order-7", conversation_id="c", turn=1)
    await log.open(opening, request_hash="5" * 32)
    die_before(sys.argv[2])
    later = BEGAN + dt.timedelta(days=1)
    kept = Kept(turn="t", turn_expires_at=later, max_conversation_bytes=9, result="r", result_expires_at=later)
    await log.close(opening.log_id, an_ending(), [a_call()], kept)
asyncio.run(main())
"""

# All programs ask at once: the parent lets them go when each has said that it is ready.
ASK_AT_ONCE = """
async def ask(number):
    await log.open(an_opening(**REQUEST), **GRANT)

async def main():
    return await asyncio.gather(*(ask(number) for number in range(16)), return_exceptions=True)

print("ready", flush=True)
sys.stdin.readline()
print(" ".join(type(outcome).__name__ for outcome in asyncio.run(main())))
"""
UNDER_A_BUDGET = 'REQUEST = {"reserved_nanousd": 70_000_000}; GRANT = {"room": ROOM}\n'
UNDER_ONE_KEY = 'REQUEST = {"idempotency_key": "order-7"}; GRANT = {"request_hash": "5" * 32}\n'


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


def _start(code: str, url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, url, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("step", ["INSERT INTO ai_idempotency_keys", "INSERT INTO ai_outbound_logs", "COMMIT"])
async def test_a_program_killed_while_it_opens_leaves_neither_row_nor_claim(
    engine: sa.Engine, any_url: str, step: str
) -> None:
    """And the key, the turn and the budget are free for the next one."""
    with _start(OPEN_AND_DIE, any_url, step) as program:
        assert program.wait(60) == -signal.SIGKILL
    assert (rows(engine), rows(engine, idempotency_keys)) == ([], [])
    log = Log(engine)
    await log.open(keyed(conversation_id="c", turn=1), request_hash=HASH)
    log.shutdown()


@pytest.mark.parametrize("step", ["INSERT INTO ai_conversations", "INSERT INTO ai_results", "COMMIT"])
async def test_a_program_killed_while_it_closes_leaves_its_row_started_and_nothing_kept(
    engine: sa.Engine, any_url: str, step: str
) -> None:
    with _start(CLOSE_AND_DIE, any_url, step) as program:
        assert program.wait(60) == -signal.SIGKILL
    (row,) = rows(engine)
    assert row["status"] == "started"
    assert [rows(engine, table) for table in (calls, conversations, results)] == [[], [], []]
    log = Log(engine)
    await log.close(row["log_id"], an_ending(), [])
    log.shutdown()


def _outcomes(code: str, url: str) -> Counter[str]:
    programs = [_start(code + ASK_AT_ONCE, url) for _ in range(4)]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    said = [program.communicate(timeout=60)[0] for program in programs]
    return Counter(word for line in said for word in line.split())


def test_64_starts_of_four_programs_cannot_overdraw_a_budget(engine: sa.Engine, any_url: str) -> None:
    """Of 1 USD, reservations of 0.07 USD are granted 14 times, not 15."""
    assert _outcomes(UNDER_A_BUDGET, any_url) == {"NoneType": 14, "BudgetExhausted": 50}
    assert sum(row["reserved_nanousd"] for row in rows(engine)) == 980_000_000
    assert [row["tenant"] for row in rows(engine, budget_locks)] == ["script"]


def test_of_64_actions_of_four_programs_under_one_key_one_is_carried_out(engine: sa.Engine, any_url: str) -> None:
    assert _outcomes(UNDER_ONE_KEY, any_url) == {"NoneType": 1, "ActionInProgress": 63}
    (row,), (claim,) = rows(engine), rows(engine, idempotency_keys)
    assert row["log_id"] == claim["log_id"]
    assert row["created_at"] == BEGAN
