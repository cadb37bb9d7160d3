"""What an operator does moves a conversation to another variant, with all that was said, and says so."""

from __future__ import annotations

import json
import logging

import pytest
from sticky_talk import CAP8, QUESTIONS, decisions, patient, rule

from dispatcher import AttemptStarted
from dispatcher.cli import run
from dispatcher.simulator.faults import Rule, Status
from dispatcher.wiring.serving import build_dispatcher


@pytest.fixture
def dispatcher(flip, live_settings):
    made = patient(build_dispatcher(live_settings))
    yield made
    made.close()


MOVES = {
    "kill": (lambda flip, kill: kill.write_text("legacy"), "legacy"),
    "off": (lambda flip, kill: flip(rule(99), enabled=False), "legacy"),
    "removed by name": (lambda flip, kill: flip(rule(100, "legacy", by="tenantId")), "legacy"),
    "removed from the draw": (lambda flip, kill: flip(rule(99, tenant="acme")), "legacy"),
    "another variant by name": (lambda flip, kill: flip(rule(100, "legacy-cached", by="tenantId")), "legacy-cached"),
}


@pytest.mark.parametrize(("move", "variant"), MOVES.values(), ids=MOVES)
def test_what_an_operator_does_moves_it_with_the_full_transcript_and_it_comes_back_afterwards(
    dispatcher, talk, flip, rows, live_settings, move, variant
):
    talk.turn(dispatcher).raise_for_status()
    move(flip, live_settings.kill_switch_file)
    second = talk.turn(dispatcher).raise_for_status()
    live_settings.kill_switch_file.unlink(missing_ok=True)
    flip(rule(50))
    third = talk.turn(dispatcher).raise_for_status()

    assert decisions(rows) == [(CAP8, "share"), (variant, "sticky_overridden"), (CAP8, "sticky")]
    assert [row["transcript_form"] for row in rows()] == ["native", "flattened", "flattened"]
    assert [row["assignment_share"] for row in rows()] == [0.99, None, 0.99]
    assert [turn.question for turn in second.transcript.turns] == QUESTIONS[:2]
    assert [turn.question for turn in third.transcript.turns] == QUESTIONS


def test_a_dispatch_that_runs_stays_where_it_is(dispatcher, talk, flip, rows):
    def switch_off(event):
        if isinstance(event, AttemptStarted):
            flip(rule(99), enabled=False)

    talk.turn(dispatcher, switch_off).raise_for_status()
    talk.turn(dispatcher).raise_for_status()

    assert decisions(rows) == [(CAP8, "share"), ("legacy", "sticky_overridden")]


def test_a_repeated_key_of_a_moved_conversation_spends_nothing(live_settings, keeping_dispatcher, talk, flip, rows):
    talk.turn(patient(keeping_dispatcher), idempotency_key="k-1").raise_for_status()
    flip(rule(99), enabled=False)
    told = talk.history
    second = talk.turn(keeping_dispatcher, idempotency_key="k-2")
    talk.history = told
    again = talk.turn(keeping_dispatcher, idempotency_key="k-2")

    assert (again.repeated, again.decision) == (True, second.decision)
    assert second.decision.moved_by == "off"
    assert len(rows()) == 2


def test_what_moved_a_conversation_is_not_got_around_by_a_fallback(live_settings, live_simulator, talk, flip, rows):
    file = live_settings.policies_dir / "agent_research.yml"
    file.write_text(file.read_text().replace("  legacy:\n", f"  legacy:\n    fallback: {CAP8}\n", 1))
    dispatcher = patient(build_dispatcher(live_settings))
    assert dispatcher._parts.router.policies.default.fallback == CAP8
    talk.turn(dispatcher).raise_for_status()
    flip(rule(99), enabled=False)
    live_simulator.inject(Rule(on="messages.create", fault=Status(status=529), every=True))
    try:
        moved = talk.turn(dispatcher)
    finally:
        live_simulator.clear_faults()
        dispatcher.close()

    assert (moved.status, moved.attempts) == ("error", 1)
    assert decisions(rows) == [(CAP8, "share"), ("legacy", "sticky_overridden")]


def test_only_a_moved_conversation_is_spoken_of_aloud(dispatcher, talk, flip, caplog):
    caplog.set_level(logging.INFO, logger="dispatcher.dispatch")
    talk.turn(dispatcher)
    flip(rule(99), enabled=False)
    talk.turn(dispatcher)

    (said,) = [record for record in caplog.records if record.name == "dispatcher.dispatch.dispatch"]
    assert said.getMessage() == "tenant script goes to legacy: sticky_overridden"
    attributes = {name: value for name, value in vars(said).items() if name.startswith("feature_flag.")}
    assert attributes["feature_flag.result.reason"] == "disabled"
    assert not any(question in str(vars(record)) for record in caplog.records for question in QUESTIONS)


@pytest.fixture
def explain(live_environment, capsys):
    """What the command says of the conversation, with the settings that the dispatcher has."""

    def say():
        assert run(["explain", "--tenant", "script", "--conversation", "c-1", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return say


@pytest.mark.parametrize(("enabled", "reason"), [(True, "sticky"), (False, "sticky_overridden")])
def test_explain_says_what_the_next_turn_will_be(dispatcher, talk, flip, rows, explain, enabled, reason):
    talk.turn(dispatcher).raise_for_status()
    flip(rule(0), enabled=enabled)
    told = explain()
    decision = talk.turn(dispatcher).raise_for_status().decision
    row = rows()[-1]

    assert told["reason"] == reason
    columns = ("path", "variant", "reason", "flag_version", "assignment_key", "assignment_share", "iteration_cap")
    assert {name: told[name] for name in columns} == {name: row[name] for name in columns}
    assert told["moved_by"] == decision.moved_by
    assert [(step["rule"], step["decided"]) for step in told["steps"]] == [
        (step.rule, step.decided) for step in decision.steps
    ]


def test_explain_creates_no_log_and_says_when_it_cannot_read_one(flip, explain, tmp_path):
    (tmp_path / "log.db").unlink()
    told = explain()
    assert (told["reason"], (tmp_path / "log.db").exists()) == ("share", False)
    (tmp_path / "log.db").write_text("this is no database, and never was one")
    told = explain()
    assert told["reason"] == "sticky_unavailable"
    assert "the file is not a SQLite database" in str(told["steps"])
