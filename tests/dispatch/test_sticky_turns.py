"""A conversation keeps its variant from turn to turn, in whatever process, until an operator moves it."""

from __future__ import annotations

import os
from concurrent.futures import Future
from dataclasses import replace

import pytest
from sticky_talk import CAP8, decisions, patient, rule

from dispatcher.dispatch.dispatcher import Dispatcher
from dispatcher.routing.assignment import Recall
from dispatcher.wiring.serving import build_dispatcher


@pytest.fixture
def dispatcher(flip, live_settings):
    made = patient(build_dispatcher(live_settings))
    yield made
    made.close()


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
