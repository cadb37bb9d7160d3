"""Rows of processes that were killed: given up with what their sessions tell, and the sessions put away."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from open_rows import left_open, many_left_open

from dispatcher.audit.engine import open_engine
from dispatcher.audit.spool_drain import Drain
from dispatcher.cli import run
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator
from dispatcher.wiring.doors import log_spool
from dispatcher.wiring.serving import build_dispatcher

ROOT = Path(__file__).parents[2]
URL = "https://github.com/example/checkout"
DISPATCH = """
import sys
from dispatcher import Repository, ResearchAction, dispatch_research
from dispatcher.action.transcript import Transcript
variant, checkout, url, history = sys.argv[1:]
asked = ResearchAction(
    question="Where is the greeting computed?",
    tenant="acme",
    repository=Repository(path=checkout, github_url=url),
    variant=variant,
    conversation_id="c-1" if history else None,
    history=Transcript.from_json(history) if history else None,
)
dispatch_research(asked)
"""


@pytest.fixture
def live_simulator(checkout):
    """Slow enough for a process to be killed in the middle of a session."""
    prices = ROOT / "policies" / "prices.yml"
    with Simulator(SimulatorConfig(repositories={URL: checkout}, time_scale=0.05, prices=prices)) as simulator:
        yield simulator


@pytest.fixture
def sweep(live_environment, capsys):
    def carry_out(*options, code=0):
        capsys.readouterr()
        assert run(["logs", "sweep", "--json", *options]) == code
        return json.loads(capsys.readouterr().out)

    return carry_out


@pytest.fixture
def killed(live_environment, checkout, rows, live_settings):
    """A process that is killed as soon as its row, and what else is asked for, is there."""
    open_engine(live_settings.database_url.get_secret_value()).dispose()

    def dispatch(until, *, variant="managed-sonnet-4-6", history=""):
        before = len(rows())
        command = [sys.executable, "-c", DISPATCH, variant, str(checkout), URL, history]
        program = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ))
        while len(rows()) == before or not until(latest(rows)):
            assert program.poll() is None
            time.sleep(0.01)
        program.kill()
        program.wait()
        return latest(rows)

    return dispatch


def long_ago(database, **changes):
    """Move the open row to two hours ago, as only a test can."""
    with sqlite3.connect(database) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for column in ("created_at", "deadline_at", "recorded_at"):
            moved = f"strftime('%Y-%m-%d %H:%M:%f000', {column}, '-2 hours')"
            connection.execute(f"UPDATE ai_outbound_logs SET {column} = {moved} WHERE status = 'started'")
        for column, value in changes.items():
            connection.execute(f"UPDATE ai_outbound_logs SET {column} = ? WHERE status = 'started'", (value,))
    connection.close()


def latest(rows):
    return rows("SELECT * FROM ai_outbound_logs ORDER BY log_id")[-1]


def session_of(simulator, session_id):
    """The session as it stands."""
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01", "anthropic-beta": "managed-agents-2026-04-01"}
    asked = Request(f"{simulator.base_url}/v1/sessions/{session_id}", headers=headers)
    with urlopen(asked) as answer:
        return json.load(answer)


def told_its_session(row):
    return row["session_id"] is not None


def test_a_killed_attempt_is_given_up_with_what_its_session_used_and_nothing_runs_on(
    killed, sweep, rows, database, live_simulator
):
    def has_begun(row):
        return told_its_session(row) and session_of(live_simulator, row["session_id"])["usage"]["output_tokens"]

    session_id = killed(has_begun)["session_id"]
    assert sweep()["rows"] == {"given_up": [], "left": {}}
    long_ago(database)
    planned = sweep("--dry-run")["rows"]["given_up"]
    assert session_of(live_simulator, session_id)["archived_at"] is None
    assert [row["status"] for row in rows()] == ["started"]
    report = sweep()
    [given_up], [row] = report["rows"]["given_up"], rows()
    assert [one["log_id"] for one in planned] == [given_up["log_id"]] == [row["log_id"]]
    assert (given_up["life"], given_up["session_id"]) == ("gone", session_id)
    assert (row["status"], row["session_id"], row["swept_at"] is not None) == ("lost", session_id, True)
    assert row["usage_quality"] in {"split_inferred", "partial"}
    assert row["usage_unavailable_reason"] is None
    assert row["output_tokens"] > 0
    assert None not in (row["input_tokens"], row["platform_list_cost_nanousd"], row["active_ms"], row["stop_reason"])
    assert (row["cost_nanousd"] is None) == (row["usage_quality"] == "partial")
    assert row["response_time_ms"] is None
    assert session_of(live_simulator, session_id)["archived_at"] is not None
    assert live_simulator.running_sessions == 0
    assert report["sessions"]["stopped"] == []
    assert sweep()["rows"] == {"given_up": [], "left": {}}


def test_the_session_of_an_attempt_that_was_killed_before_its_row_was_told_is_found_by_its_tag(
    killed, sweep, rows, database, live_simulator
):
    session_id = killed(lambda row: told_its_session(row) and live_simulator.running_sessions)["session_id"]
    long_ago(database, session_id=None, agent_id=None, agent_version=None)
    assert len(sweep()["rows"]["given_up"]) == 1
    [row] = rows()
    assert (row["session_id"], row["agent_version"] is not None) == (session_id, True)
    assert row["platform_input_tokens"] is not None
    assert live_simulator.running_sessions == 0


def test_an_attempt_of_the_messages_path_is_given_up_without_its_usage(killed, sweep, rows, database):
    killed(lambda _row: True, variant="legacy")
    long_ago(database)
    assert len(sweep()["rows"]["given_up"]) == 1
    [row] = rows()
    assert (row["status"], row["usage_quality"], row["usage_unavailable_reason"]) == ("lost", "missing", "owner_gone")
    assert (row["input_tokens"], row["cost_nanousd"], row["iterations"]) == (None, None, None)


def test_a_turn_that_was_killed_in_its_conversations_session_is_told_only_what_it_used_itself(
    killed, sweep, rows, database, live_simulator, live_settings, ask
):
    dispatcher = build_dispatcher(live_settings)
    asked = ask("acme", variant="managed-sonnet-4-6", conversation_id="c-1")
    first = dispatcher.dispatch_research(asked).raise_for_status()
    dispatcher.close()
    killed(lambda row: told_its_session(row) and live_simulator.running_sessions, history=first.transcript.to_json())
    long_ago(database)
    assert len(sweep()["rows"]["given_up"]) == 1
    one, two = rows("SELECT * FROM ai_outbound_logs ORDER BY turn")
    assert (one["session_id"], one["status"], two["status"]) == (two["session_id"], "success", "lost")
    # The session's whole count would be that of both turns.
    assert 0 <= two["platform_output_tokens"] < one["platform_output_tokens"]
    assert two["usage_quality"] in {"split_inferred", "partial"}


def test_a_provider_that_cannot_be_reached_is_waited_for_and_then_the_row_is_given_up_without_it(
    killed, sweep, rows, database, live_simulator, live_environment
):
    killed(told_its_session)
    # As the row of an address that answers no more, of which nobody can say that it was a simulator's.
    long_ago(database, origin="production")
    live_environment.setenv("ANTHROPIC_API_KEY", "sk-ant-nobody")
    live_environment.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    report = sweep(code=2)
    assert report["rows"] == {"given_up": [], "left": {"session_unread": 1}}
    assert report["sessions"] is None
    live_environment.setenv("DISPATCHER_SWEEP_PATIENCE_S", "3600")
    [given_up] = sweep(code=2)["rows"]["given_up"]
    [row] = rows()
    assert given_up["usage_unavailable_reason"] == row["usage_unavailable_reason"] == "provider_unavailable"
    assert (row["status"], row["usage_quality"], row["cost_nanousd"]) == ("lost", "missing", None)


@pytest.mark.parametrize(
    ("address", "reason"), [("https://api.anthropic.com", "no_provider"), ("the simulator's", "other_origin")]
)
def test_a_session_that_nobody_here_may_ask_for_is_waited_for_too(
    sweep, rows, live_settings, live_environment, address, reason
):
    engine = open_engine(live_settings.database_url.get_secret_value())
    left_open(engine, overdue=dt.timedelta(days=2), path="managed", origin="production", session_id="sesn_1")
    left_open(engine, path="managed", origin="production", session_id="sesn_2", owner=gone_owner())
    engine.dispose()
    if address.startswith("https"):
        live_environment.setenv("ANTHROPIC_BASE_URL", address)
    report = sweep(code=2 if address.startswith("https") else 0)
    assert [row["usage_unavailable_reason"] for row in report["rows"]["given_up"]] == [reason]
    assert report["rows"]["left"] == {"session_unread": 1}
    assert sorted(row["status"] for row in rows()) == ["lost", "started"]


def test_a_row_whose_ending_waits_in_this_hosts_spool_is_left_until_it_lands(sweep, rows, live_settings):
    """Given up, it would release a key under which there is an answer."""
    engine = open_engine(live_settings.database_url.get_secret_value())
    log_id = left_open(engine, owner=gone_owner())
    spool = log_spool(live_settings)
    spool.note_session(log_id, "sesn_1", "agent_1", 7)
    assert sweep()["rows"] == {"given_up": [], "left": {"ending_waits": 1}}
    drain = Drain(spool, engine)
    drain.run()
    assert [row["log_id"] for row in sweep()["rows"]["given_up"]] == [log_id]
    assert [row["session_id"] for row in rows()] == ["sesn_1"]
    drain.shutdown()
    spool.shutdown()
    engine.dispose()


def test_a_dispatcher_gives_up_what_earlier_processes_left_when_it_starts(live_settings, rows, ask):
    """Beside its dispatches: the first one doesn't wait for it."""
    engine = open_engine(live_settings.database_url.get_secret_value())
    left = {left_open(engine, owner=gone_owner()), left_open(engine, overdue=dt.timedelta(days=2))}
    waiting = left_open(engine)
    engine.dispose()
    dispatcher = build_dispatcher(live_settings)
    dispatcher.dispatch_research(ask("umbrella", variant="legacy"))
    lost = set()
    while lost != left:
        lost = {row["log_id"] for row in rows() if row["status"] == "lost"}
    dispatcher.close()
    assert [row["log_id"] for row in rows() if row["status"] == "started"] == [waiting]


def test_a_dispatcher_that_is_closed_at_once_leaves_no_sweep_behind(live_settings, rows):
    engine = open_engine(live_settings.database_url.get_secret_value())
    made = set(many_left_open(engine, 50, overdue=dt.timedelta(days=2)))
    engine.dispose()
    build_dispatcher(live_settings).close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dispatcher-sweep")]
    before = {row["log_id"]: row["status"] for row in rows()}
    assert set(before) == made
    build_dispatcher(live_settings).close()
    while "started" in {row["status"] for row in rows()}:
        dispatcher = build_dispatcher(live_settings)
        time.sleep(0.05)
        dispatcher.close()


def gone_owner():
    """A process of this host that has ended."""
    code = "from dispatcher.audit.owner import this_owner; print(this_owner())"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
