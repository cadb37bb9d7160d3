"""Dispatches, a sweep and the end of a program while the database says nothing; and connections enough for all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from open_rows import GONE, many_left_open
from pydantic import SecretStr
from road import road_to

from dispatcher import Limits
from dispatcher.audit.bounds import CONNECTIONS, LOG_THREADS
from dispatcher.audit.engine import open_engine
from dispatcher.audit.tables import idempotency_keys, logs
from dispatcher.errors import ActionInProgress, LogUnavailable
from dispatcher.wiring.serving import build_dispatcher

ROOT = Path(__file__).parents[2]
TOGETHER = 20


def statuses(engine):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(logs.c.status, logs.c.error_type))]


@pytest.fixture
def direct(server_url):
    """The database, by another road."""
    engine = open_engine(server_url)
    yield engine
    engine.dispose()


async def test_a_key_that_nobody_grants_is_refused_within_the_deadline_and_granted_later(
    server_url, direct, live_settings, live_simulator, tmp_path, ask
):
    """Although the database has committed the row, and only its answer got lost: that row ends, with its cost of 0."""
    with road_to(server_url) as (road, url):
        update = {"database_url": SecretStr(url), "spool_dir": tmp_path / "spool"}
        dispatcher = await asyncio.to_thread(build_dispatcher, live_settings.model_copy(update=update))

        def swallow_the_next_answer_to_a_commit(_connection, _cursor, statement, *_more):
            if statement == "COMMIT" and not statuses(direct):
                road.swallow(but_not_questions=True)

        engine = dispatcher._parts.log._engine
        sa.event.listen(engine, "before_cursor_execute", swallow_the_next_answer_to_a_commit)
        sent = len(live_simulator.ledger)
        action = ask(idempotency_key="order-7", limits=Limits(deadline_s=8))
        with pytest.raises(LogUnavailable, match=r"nothing was sent to the provider: .* hasn't answered within"):
            await dispatcher.adispatch_research(action)
        assert len(live_simulator.ledger) == sent
        assert statuses(direct) == [("started", None)]
        road.let_through()

        async with asyncio.timeout(60):
            while (result := await _answer(dispatcher, action)) is None:  # noqa: ASYNC110 - the row ends meanwhile
                await asyncio.sleep(0.1)
        assert result.status == "success"
        assert sorted(statuses(direct), key=str) == [("error", "log_unavailable"), ("success", None)]
        with direct.connect() as connection:
            refused = sa.select(logs.c.cost_nanousd, logs.c.iterations).where(logs.c.status == "error")
            assert tuple(connection.execute(refused).one()) == (0, 0)
            assert connection.execute(sa.select(sa.func.count()).select_from(idempotency_keys)).scalar_one() == 1
        await asyncio.to_thread(dispatcher.close)


async def _answer(dispatcher, action):
    try:
        return await dispatcher.adispatch_research(action)
    except (LogUnavailable, ActionInProgress):
        return None


HANGING_SWEEP = """
import sys, threading
import sqlalchemy as sa
from dispatcher.audit.sweeper import Sweeper
from dispatcher.dispatch.beside import Beside
from dispatcher.dispatch.sweeping import RowSweep
engine = sa.create_engine("sqlite://")
asked = threading.Event()
sa.event.listen(engine, "before_cursor_execute", lambda *_: (asked.set(), threading.Event().wait()))
sweep = RowSweep(Sweeper(engine), None, None, None, None, None)
beside = Beside("sweep of the log", sweep.run)
asked.wait(30)
"""


@pytest.mark.parametrize("end", ["", "beside.shutdown()"], ids=["left", "shut down"])
def test_a_sweep_that_hangs_keeps_no_program_from_ending(end):
    program = [sys.executable, "-c", HANGING_SWEEP + end]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def peaks():
    """How many connections each pool had given out at most, by its id."""
    found = Counter()

    def look(_connection, _record, given):
        pool = given._pool
        found[id(pool)] = max(found[id(pool)], pool.checkedout())

    sa.event.listen(sa.pool.Pool, "checkout", look)
    yield found
    sa.event.remove(sa.pool.Pool, "checkout", look)


async def test_20_dispatches_a_drain_and_a_sweep_have_a_connection_each_time_they_need_one(
    server_url, direct, live_settings, tmp_path, ask, peaks
):
    """None waits for another's: there are as many as those who hold one declare."""
    update = {"database_url": SecretStr(server_url), "spool_dir": tmp_path / "spool", "sweep_patience_s": 60}
    settings = live_settings.model_copy(update=update)
    with road_to(server_url) as (_road, url):
        before = await asyncio.to_thread(build_dispatcher, settings.model_copy(update={"database_url": SecretStr(url)}))
    await before.adispatch_research(ask())
    await asyncio.to_thread(before.close)
    many_left_open(direct, 40, owner=GONE)
    dispatcher = await asyncio.to_thread(build_dispatcher, settings)
    pool = dispatcher._parts.log._engine.pool

    async def turns(number):
        key, conversation = f"order-{number}", f"c-{number}"
        first = await dispatcher.adispatch_research(ask("globex", idempotency_key=key, conversation_id=conversation))
        more = {"conversation_id": conversation, "history": first.transcript}
        return first, await dispatcher.adispatch_research(ask("globex", **more))

    answered = await asyncio.gather(*(turns(number) for number in range(TOGETHER)))
    await asyncio.to_thread(dispatcher.close)
    assert {result.status for pair in answered for result in pair} == {"success"}
    assert LOG_THREADS <= peaks[id(pool)] <= CONNECTIONS == pool.size()
