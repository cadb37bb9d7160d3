"""A conversation keeps its variant from turn to turn, in whatever process, until an operator moves it."""

from __future__ import annotations

import json
import logging
import os
import time
from concurrent.futures import Future
from dataclasses import replace

import pytest

from dispatcher import AttemptStarted
from dispatcher.cli import run
from dispatcher.dispatch.dispatcher import Dispatcher
from dispatcher.routing.assignment import Recall
from dispatcher.routing.flags.file import LOOK_EVERY_S
from dispatcher.simulator.faults import Rule, Status
from dispatcher.wiring.serving import build_dispatcher

CAP8 = "managed-haiku-4-5-cap8"
QUESTIONS = ["Where is the greeting computed?", "And where is it called?", "Who wrote it?"]


def rule(rollout, variant=CAP8, tenant="script", by="conversationId"):
    return {
        "name": "flexibleRollout",
        "title": "ramp",
        "constraints": [{"contextName": "tenantId", "operator": "IN", "values": [tenant]}],
        "parameters": {"rollout": str(rollout), "stickiness": by, "groupId": "ramp"},
        "variants": [{"name": variant, "weight": 1000, "stickiness": by}],
    }


@pytest.fixture
def flip(live_settings):
    """Put a flag in force; a dispatcher sees it at its next look at the file."""

    def write(*rules, enabled=True):
        flag = {"name": "agent-research", "enabled": enabled, "strategies": list(rules)}
        file = live_settings.policies_dir / "flags.new"
        file.write_text(json.dumps({"version": 2, "features": [flag]}))
        file.replace(live_settings.policies_dir / "flags.json")
        time.sleep(LOOK_EVERY_S)

    write(rule(99))
    return write


def patient(dispatcher):
    """The dispatcher, waiting for the log however busy the machine is: its bound has tests of its own."""
    dispatcher._ready_parts().recall._bound_s = 60
    return dispatcher


@pytest.fixture
def dispatcher(flip, live_settings):
    made = patient(build_dispatcher(live_settings))
    yield made
    made.close()


class Talk:
    """One conversation, told its own past."""

    def __init__(self, ask):
        self.ask = ask
        self.history = None

    def turn(self, dispatcher, on_event=None, **more):
        turns = 0 if self.history is None else len(self.history.turns)
        action = self.ask("script", question=QUESTIONS[turns], conversation_id="c-1", history=self.history, **more)
        result = dispatcher.dispatch_research(action, on_event)
        self.history = result.transcript
        return result


@pytest.fixture
def talk(ask):
    return Talk(ask)


def decisions(rows):
    return [(row["variant"], row["reason"]) for row in rows()]


def test_a_conversation_keeps_its_variant_when_the_share_changes(dispatcher, talk, flip, rows):
    talk.turn(dispatcher).raise_for_status()
    flip(rule(0))
    second = talk.turn(dispatcher).raise_for_status()

    assert decisions(rows) == [(CAP8, "share"), (CAP8, "sticky")]
    assert [(row["assignment_key"], row["assignment_share"]) for row in rows()] == [("c-1", 0.99)] * 2
    assert [row["transcript_form"] for row in rows()] == ["native", "session"]
    assert (second.decision.reason, second.decision.assignment_share) == ("sticky", 0.99)
    assert rows()[0]["flag_version"] != rows()[1]["flag_version"]


def test_a_draw_that_was_lost_stays_lost_when_the_share_grows(dispatcher, talk, flip, rows):
    flip(rule(0))
    talk.turn(dispatcher).raise_for_status()
    flip(rule(99))
    talk.turn(dispatcher).raise_for_status()

    assert decisions(rows) == [("legacy", "share"), ("legacy", "sticky")]


def test_another_process_knows_it_from_the_log(flip, talk, rows, live_settings):
    for rollout in (99, 0):
        flip(rule(rollout))
        dispatcher = patient(build_dispatcher(live_settings))
        talk.turn(dispatcher).raise_for_status()
        dispatcher.close()

    assert decisions(rows) == [(CAP8, "share"), (CAP8, "sticky")]


def test_a_forked_child_knows_it_whether_its_parent_had_looked_it_up_or_not(dispatcher, talk, flip, rows):
    talk.turn(dispatcher).raise_for_status()
    flip(rule(0))
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if talk.turn(patient(dispatcher)).decision.reason == "sticky" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert decisions(rows) == [(CAP8, "share"), (CAP8, "sticky")]


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


def test_a_pin_is_for_its_own_turn_and_makes_no_assignment(dispatcher, talk, flip, rows):
    talk.turn(dispatcher, variant="legacy-cached").raise_for_status()
    talk.turn(dispatcher).raise_for_status()
    flip(rule(0))
    talk.turn(dispatcher).raise_for_status()

    assert decisions(rows) == [("legacy-cached", "pinned"), (CAP8, "share"), (CAP8, "sticky")]


def test_conversations_of_other_tenants_and_other_names_are_other_conversations(dispatcher, talk, ask, flip, rows):
    talk.turn(dispatcher).raise_for_status()
    flip(rule(0), rule(0, tenant="acme"))
    for tenant, conversation in (("script", "c-2"), ("acme", "c-1")):
        dispatcher.dispatch_research(ask(tenant, conversation_id=conversation)).raise_for_status()

    assert decisions(rows) == [(CAP8, "share"), ("legacy", "share"), ("legacy", "share")]


class Stalled:
    """A log that never answers."""

    def look_up(self, tenant, feature, conversation_id):
        return Future()

    def shutdown(self):
        pass


def test_a_log_that_does_not_answer_in_time_is_not_waited_for(dispatcher, talk, flip, rows):
    talk.turn(dispatcher).raise_for_status()
    flip(rule(0))
    stalled = Dispatcher(lambda _inherited: replace(dispatcher._parts, recall=Recall(Stalled())))
    talk.turn(stalled).raise_for_status()
    talk.turn(dispatcher).raise_for_status()
    stalled.close()

    assert decisions(rows) == [(CAP8, "share"), ("legacy", "sticky_unavailable"), (CAP8, "sticky")]
    assert [row["assignment_share"] for row in rows()] == [0.99, 1.0, 0.99]


def test_a_first_turn_has_nothing_to_look_up(dispatcher, talk, rows):
    stalled = Dispatcher(lambda _inherited: replace(dispatcher._parts, recall=Recall(Stalled())))
    talk.turn(stalled).raise_for_status()
    stalled.close()

    assert decisions(rows) == [(CAP8, "share")]


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
def explain(live_settings, monkeypatch, capsys):
    """What the command says of the conversation, with the settings that the dispatcher has."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", live_settings.database_url.get_secret_value())
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(live_settings.policies_dir))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", live_settings.anthropic_base_url)

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
    told = explain()
    assert (told["reason"], (tmp_path / "log.db").exists()) == ("share", False)
    (tmp_path / "log.db").write_text("this is no database, and never was one")
    told = explain()
    assert told["reason"] == "sticky_unavailable"
    assert "the file is not a SQLite database" in str(told["steps"])
