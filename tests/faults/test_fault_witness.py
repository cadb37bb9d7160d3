"""What watches the schedules notices what it is there to notice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from faults_ground import API_KEY, TOKEN
from matrix import VOCABULARY
from schedule_run import broken_by
from schedules import FAULTS, Schedule

QUIET = Schedule(turns=("managed-haiku-4-5-cap8",), rules=(), deadline_s=30.0)


@pytest.fixture(scope="module")
def left(theatre):
    """What a dispatch without any fault leaves behind."""
    with theatre.ground.desk() as desk:
        ask = theatre.ground.asking("Where is the greeting computed?", variant=QUIET.turns[0])
        return desk.carry_out([ask], ())


def test_where_nothing_goes_wrong_nothing_is_broken(left):
    assert broken_by(QUIET, left) == []


@pytest.mark.parametrize(
    "lie",
    [
        {"status": "started"},
        {"finished_at": None},
        {"status": "error"},
        {"error_type": "overloaded"},
        {"output_valid": 0},
        {"role": "fallback"},
        {"attempt": 2},
        {"cost_nanousd": 0},
        {"cost_nanousd": None},
        {"active_ms": 1},
        {"session_id": "sesn_another"},
        {"response_time_ms": -1},
        {"response_time_ms": 60_000},
        {"first_token_ms": 10**6},
        {"ready_ms": -5},
        {"remainder_ms": None},
        {"first_text_ms": 0},
    ],
    ids=str,
)
def test_a_row_that_says_something_else_is_noticed(left, lie):
    assert broken_by(QUIET, replace(left, rows=({**left.rows[0], **lie},)))


@pytest.mark.parametrize(
    "change",
    [
        {"rows": ()},
        {"running": 1},
        {"repeated_turns": 1},
        {"ledger": ()},
        {"endings": ()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_left_over_or_missing_is_noticed(left, change):
    assert broken_by(QUIET, replace(left, **change))


@pytest.mark.parametrize("secret", [API_KEY, TOKEN])
def test_a_secret_is_noticed_wherever_it_is(theatre, left, secret):
    with theatre.ground.desk() as desk:
        assert list(theatre.told_secrets(desk, left)) == []
        told = replace(left, endings=(RuntimeError(secret),))
        assert list(theatre.told_secrets(desk, told)) == ["a secret is in an answer"]
        told = replace(left, rows=({**left.rows[0], "stop_reason": secret},))
        assert list(theatre.told_secrets(desk, told)) == ["a secret is in a row"]
        desk.database.with_name("log.db-wal").write_text(secret)
        assert list(theatre.told_secrets(desk, left)) == ["a secret is in the database"]


def test_every_fault_that_the_simulator_knows_can_be_drawn():
    assert set(FAULTS) == set(VOCABULARY)
