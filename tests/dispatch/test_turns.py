"""Turns of a conversation, from the caller's side, on both paths."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dispatcher import ConversationBusy, ConversationContinues, Limits, Transcript

FIRST = "Where is the greeting computed?"
SECOND = "And where is it called?"
PINS = ["legacy", "legacy-cached", "managed-sonnet-4-6", "managed-haiku-4-5-cap8"]


@pytest.fixture
def live_simulator(own_simulator):
    """What another test had cached would count as read."""
    return own_simulator


@pytest.fixture
def turn(dispatcher, ask):
    def carry_out(question, variant, **more):
        return dispatcher.dispatch_research(
            ask("acme", question=question, conversation_id="c-1", variant=variant, **more)
        ).raise_for_status()

    return carry_out


@pytest.mark.parametrize("variant", PINS)
def test_the_second_turn_answers_its_own_question_with_the_first_ones_transcript(turn, rows, variant):
    first = turn(FIRST, variant)
    second = turn(SECOND, variant, history=first.transcript)
    assert [one.question for one in second.transcript.turns] == [FIRST, SECOND]
    form = "session" if variant.startswith("managed") else "native"
    assert [(row["turn"], row["transcript_form"]) for row in rows()] == [(1, "native"), (2, form)]


@pytest.mark.parametrize(
    ("variant", "lower"), [("legacy", False), ("legacy-cached", True), ("managed-sonnet-4-6", True)]
)
def test_only_a_cached_prefix_spares_the_second_turn_its_first_calls_input(turn, rows, variant, lower):
    first = turn(FIRST, variant)
    turn(SECOND, variant, history=first.transcript)
    # What was written to the cache had to be read in full, too.
    uncached = [row["first_call_input_tokens"] + row["first_call_cache_creation_input_tokens"] for row in rows()]
    assert uncached[1] < uncached[0] / 2 if lower else uncached[1] >= uncached[0]


def test_both_turns_on_the_managed_path_are_of_one_session_and_their_money_adds_up_to_its_own(
    turn, rows, live_simulator
):
    first = turn(FIRST, "managed-sonnet-4-6")
    turn(SECOND, "managed-sonnet-4-6", history=first.transcript)
    before, after = rows()
    assert before["session_id"] == after["session_id"]
    charged = sum(entry.cost_nanousd for entry in live_simulator.ledger if entry.session_id == before["session_id"])
    # Each turn's running time is rounded to the nano-dollar by itself.
    assert abs(before["cost_nanousd"] + after["cost_nanousd"] - charged) <= 1
    listed = before["platform_list_cost_nanousd"] + after["platform_list_cost_nanousd"]
    assert abs(listed - charged) <= 10_000_000


@pytest.mark.parametrize(
    ("before", "after"), [("legacy", "managed-sonnet-4-6"), ("managed-sonnet-4-6", "legacy")], ids=["to", "from"]
)
def test_a_conversation_that_crosses_paths_is_told_flattened_and_says_so(turn, rows, before, after):
    first = turn(FIRST, before)
    turn(SECOND, after, history=first.transcript)
    assert [row["transcript_form"] for row in rows()] == ["native", "flattened"]


def test_a_transcript_survives_its_json_form_and_is_replayed_to_the_same_bytes(turn, rows):
    first = turn(FIRST, "legacy")
    again = Transcript.from_json(first.transcript.to_json())
    assert again == first.transcript
    turn(SECOND, "legacy", history=again)
    assert rows()[1]["transcript_form"] == "native"


def test_a_second_turn_without_a_transcript_is_refused_before_anything_is_spent(turn, rows, live_simulator):
    turn(FIRST, "legacy")
    charged = len(live_simulator.ledger)
    with pytest.raises(ConversationContinues, match=r"history=result\.transcript"):
        turn(SECOND, "legacy")
    assert (len(rows()), len(live_simulator.ledger)) == (1, charged)


def test_kept_conversations_go_on_without_history_and_nobody_elses(keeping_dispatcher, ask, rows):
    def turn(tenant, question):
        asked = ask(tenant, question=question, conversation_id="c-1", variant="legacy")
        return keeping_dispatcher.dispatch_research(asked).raise_for_status()

    turn("acme", FIRST)
    second = turn("acme", SECOND)
    other = turn("globex", SECOND)
    assert [len(result.transcript.turns) for result in (second, other)] == [2, 1]
    assert len(rows("SELECT * FROM ai_conversations")) == 3


def test_of_turns_at_once_one_wins_and_the_others_hear_that_it_is_busy(dispatcher, ask, rows):
    start = threading.Barrier(8)

    def turn(_):
        start.wait()
        try:
            return dispatcher.dispatch_research(ask(conversation_id="c-1"))
        except ConversationBusy as busy:
            return busy

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(turn, range(8)))
    # One that comes when another has ended is the conversation's next turn, which nobody told it of.
    won = [one for one in ended if not isinstance(one, ConversationBusy)]
    assert (len(won), [row["turn"] for row in rows()]) == (1, [1])


def test_a_failed_turn_does_not_keep_the_conversation_from_going_on(dispatcher, ask, rows):
    def turn(question, **more):
        return dispatcher.dispatch_research(ask(question=question, conversation_id="c-1", **more))

    failed = turn(FIRST, limits=Limits(deadline_s=0.001))
    assert failed.output is None
    turn(FIRST).raise_for_status()
    assert [(row["turn"], row["status"]) for row in rows()] == [(1, "error"), (2, "success")]
