"""`dispatcher logs sweep` for a person to read, without a key for the provider."""

from __future__ import annotations

import datetime as dt

import pytest
from open_rows import GONE, left_open, many_left_open

from dispatcher.audit.engine import open_engine
from dispatcher.cli import run


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{tmp_path}/log.db")
    engine = open_engine(f"sqlite:///{tmp_path}/log.db")
    yield engine
    engine.dispose()


def test_what_was_given_up_is_a_table_and_what_was_left_a_sentence(engine, capsys):
    """The rows are swept although the sessions can't be: that is the error, after the report."""
    given_up = left_open(engine, overdue=dt.timedelta(days=2))
    left_open(engine)
    assert run(["logs", "sweep", "--dry-run"]) == 2
    planned = capsys.readouterr()
    assert "not looked at" in planned.out
    assert "1 rows would be given up for lost; 1 left open: owner unseen" in planned.out
    assert run(["logs", "sweep"]) == 2
    said = capsys.readouterr()
    assert all(
        word in said.out for word in (given_up, "script", "legacy", "elsewhere, unknown", "172 80", "owner_gone")
    )
    assert "1 rows were given up for lost; 1 left open: owner unseen" in said.out
    assert "ANTHROPIC_API_KEY is not set" in said.err
    assert "Traceback" not in said.err


def test_a_table_is_never_longer_than_a_page_or_two(engine, capsys):
    many_left_open(engine, 60, overdue=dt.timedelta(days=2), owner=GONE)
    run(["logs", "sweep"])
    said = capsys.readouterr().out
    assert "and 10 more; --json has all" in said
    assert "60 rows were given up for lost" in said


def test_a_log_with_nothing_to_sweep_says_so(engine, capsys):
    run(["logs", "sweep"])
    assert capsys.readouterr().out == "0 rows were given up for lost\n"


@pytest.mark.parametrize("days", ["0", "99999999999"])
def test_days_that_no_calendar_has_are_a_usage_error(engine, capsys, days):
    left_open(engine)
    assert run(["logs", "sweep", "--days", days]) == 2
    assert "--days" in capsys.readouterr().err
