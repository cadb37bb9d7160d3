"""`dispatcher logs sweep`: which sessions are put away, by what the log says of their rows."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3

import pytest
from tampering import open_to_changes

from dispatcher.cli import run


@pytest.fixture
def live_simulator(own_simulator):
    """Another test's sessions would be looked at, too."""
    return own_simulator


@pytest.fixture
def sweep(live_environment, capsys):
    def carry_out(*options):
        capsys.readouterr()
        assert run(["logs", "sweep", "--json", *options]) == 0
        report = json.loads(capsys.readouterr().out)["sessions"]
        return {name: len(report[name]) for name in ("looked_at", "stopped", "archived", "left", "failed")}

    return carry_out


@pytest.fixture
def conversation(dispatcher, ask):
    """A conversation with one answered turn; its session waits for the next one."""
    asked = ask("acme", variant="managed-sonnet-4-6", conversation_id="c-1")
    return dispatcher.dispatch_research(asked).raise_for_status()


def test_a_session_that_a_conversation_may_go_on_in_is_left_alone(conversation, sweep):
    assert sweep() == {"looked_at": 1, "stopped": 0, "archived": 0, "left": 1, "failed": 0}


def test_a_session_whose_conversation_is_over_is_archived_and_a_dry_run_touches_nothing(conversation, sweep, database):
    with sqlite3.connect(database) as connection:
        long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=25)).strftime("%Y-%m-%d %H:%M:%S.%f")
        open_to_changes(connection).execute(
            "UPDATE ai_outbound_logs SET created_at = ?, finished_at = ?", (long_ago, long_ago)
        )
    expected = {"looked_at": 1, "stopped": 0, "archived": 1, "left": 0, "failed": 0}
    assert sweep("--dry-run") == expected
    assert sweep() == expected
    assert sweep()["archived"] == 0


def test_a_session_of_another_log_is_never_touched(conversation, sweep, database):
    with sqlite3.connect(database) as connection:
        open_to_changes(connection).execute("DELETE FROM ai_outbound_logs")
    assert sweep() == {"looked_at": 1, "stopped": 0, "archived": 0, "left": 1, "failed": 0}


def test_the_next_turn_goes_on_after_a_sweep_took_its_session(conversation, sweep, database, dispatcher, ask, rows):
    with sqlite3.connect(database) as connection:
        open_to_changes(connection).execute("UPDATE ai_outbound_logs SET status = 'error'")
    assert sweep()["archived"] == 1
    with sqlite3.connect(database) as connection:
        open_to_changes(connection).execute("UPDATE ai_outbound_logs SET status = 'success'")
    asked = ask(
        "acme", variant="managed-sonnet-4-6", conversation_id="c-1", history=conversation.transcript, question="Else?"
    )
    dispatcher.dispatch_research(asked).raise_for_status()
    before, after = rows()
    assert (after["transcript_form"], after["session_id"] != before["session_id"]) == ("flattened", True)
