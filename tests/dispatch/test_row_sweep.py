"""Sweeps of rows that real processes left, on every engine."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from open_rows import GONE, left_open, many_left_open

from dispatcher.audit.engine import open_engine
from dispatcher.audit.owner import life_of, look_at, read_owner, this_owner, this_process
from dispatcher.audit.sweeper import Sweeper
from dispatcher.audit.tables import logs
from dispatcher.dispatch.sweep_report import RowsReport
from dispatcher.dispatch.sweeping import RowSweep
from dispatcher.prices import PriceTable

ROOT = Path(__file__).parents[2]
DAY = dt.timedelta(days=1)
PREAMBLE = f"""
import asyncio, dataclasses, json, sys, time
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "tests" / "dispatch")!r}]
from dispatcher.audit.engine import open_engine
from dispatcher.audit.owner import this_owner
engine = open_engine(sys.argv[1])
"""
LEAVE_ROWS = """
from open_rows import left_open
print(json.dumps([left_open(engine, owner=this_owner()) for _ in range(3)]), flush=True)
time.sleep(60)
"""
SWEEP = """
from test_row_sweep import swept
print("begins", flush=True)
report = swept(engine, on_progress=lambda done: print(done, flush=True))
print(json.dumps([row.log_id for row in report.given_up]), flush=True)
"""


def swept(engine, *, patience=DAY, dry_run=False, on_progress=lambda _done: None, waiting=frozenset()) -> RowsReport:
    sweeper, here = Sweeper(engine), this_process()
    sweep = RowSweep(
        sweeper,
        lambda owner: life_of(read_owner(owner), here, look_at),
        lambda log_ids: waiting & set(log_ids),
        None,
        PriceTable.load(ROOT / "policies" / "prices.yml"),
        patience,
    )
    try:
        return asyncio.run(sweep.run(dry_run=dry_run, on_progress=on_progress))
    finally:
        sweeper.release()


@pytest.fixture
def engine(any_url):
    engine = open_engine(any_url)
    yield engine
    engine.dispose()


@pytest.fixture
def start(any_url):
    started = []

    def begin(code):
        command = [sys.executable, "-c", PREAMBLE + code, any_url]
        program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(program)
        return program

    yield begin
    for program in started:
        program.kill()
        program.communicate()


def statuses(engine) -> Counter[str]:
    with engine.connect() as connection:
        return Counter(connection.execute(sa.select(logs.c.status)).scalars())


def by_status(engine, status) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(sa.select(logs.c.log_id).where(logs.c.status == status)).scalars())


def test_the_rows_of_killed_processes_are_given_up_and_those_of_living_ones_left(engine, start):
    killed, living = start(LEAVE_ROWS), start(LEAVE_ROWS)
    theirs, others = (set(json.loads(program.stdout.readline())) for program in (killed, living))
    ours = left_open(engine, owner=this_owner())
    unseen = left_open(engine, owner=GONE)
    assert swept(engine) == RowsReport(given_up=(), left={"owner_alive": 7, "owner_unseen": 1})
    killed.kill()
    killed.wait()
    planned = swept(engine, dry_run=True)
    assert {row.log_id for row in planned.given_up} == theirs
    assert statuses(engine) == {"started": 8}
    report = swept(engine)
    assert {(row.log_id, row.life, row.usage_unavailable_reason) for row in report.given_up} == {
        (log_id, "gone", "owner_gone") for log_id in theirs
    }
    assert report.left == {"owner_alive": 4, "owner_unseen": 1}
    assert by_status(engine, "lost") == theirs
    assert by_status(engine, "started") == {*others, ours, unseen}
    assert swept(engine).given_up == ()


def test_what_cannot_be_seen_is_given_up_after_the_patience_and_not_before(engine):
    ids = [
        left_open(engine, owner=owner, overdue=hours * DAY / 24) for owner in (GONE, this_owner()) for hours in (23, 25)
    ]
    assert {row.log_id for row in swept(engine).given_up} == {ids[1], ids[3]}
    assert swept(engine, patience=DAY / 24 * 22).left == {}
    assert statuses(engine) == {"lost": 4}


def test_a_row_that_waits_in_the_spool_is_left_for_as_long(engine):
    young, old = left_open(engine), left_open(engine, overdue=2 * DAY)
    report = swept(engine, patience=DAY, waiting={young, old})
    assert ([row.log_id for row in report.given_up], report.left) == ([old], {"ending_waits": 1})


def test_a_sweep_that_is_killed_is_finished_by_the_next_one(engine, start):
    made = set(many_left_open(engine, 250, overdue=2 * DAY))
    program = start(SWEEP)
    assert program.stdout.readline() == "begins\n"
    while not by_status(engine, "lost"):
        assert program.poll() is None
    program.send_signal(signal.SIGKILL)
    program.wait()
    first = by_status(engine, "lost")
    second = {row.log_id for row in swept(engine).given_up}
    assert (first | second, first & second) == (made, set())
    assert by_status(engine, "lost") == made


def test_of_sweeping_processes_each_gives_up_what_no_other_did(engine, start):
    made = set(many_left_open(engine, 120, overdue=2 * DAY))
    programs = [start(SWEEP) for _ in range(2)]
    ours = [row.log_id for row in swept(engine).given_up]
    theirs = [json.loads(program.communicate(timeout=60)[0].splitlines()[-1]) for program in programs]
    given_up = [log_id for each in (ours, *theirs) for log_id in each]
    assert len(given_up) == len(made)
    assert set(given_up) == made


def test_a_process_in_a_container_is_not_known_to_be_gone(tmp_path):
    """From outside its pid says nothing, and inside ours might be another's."""
    url = f"sqlite:///{tmp_path}/log.db"
    engine = open_engine(url)
    probe = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    program = subprocess.Popen(
        [*probe, sys.executable, "-c", PREAMBLE + LEAVE_ROWS, url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = program.stdout.readline()
    program.kill()
    complaint = program.communicate()[1]
    if not said:
        pytest.skip(f"no pid namespaces here: {complaint.strip()}")
    assert swept(engine) == RowsReport(given_up=(), left={"owner_unseen": 3})
    assert {row.log_id for row in swept(engine, patience=DAY / 48).given_up} == set(json.loads(said))
    engine.dispose()


def test_progress_goes_from_nothing_to_all(engine):
    for _ in range(3):
        left_open(engine, overdue=2 * DAY)
    told = []
    swept(engine, on_progress=told.append)
    assert told == [1.0]
