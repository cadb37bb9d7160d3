"""What a turn is told of its conversation."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from dispatcher import ConversationBusy, ConversationContinues, Repository, ResearchAction
from dispatcher.action.decision import PathName, Variant
from dispatcher.action.transcript import Transcript, TranscriptForm, Turn
from dispatcher.audit.record import ConversationSoFar, LoggedSession
from dispatcher.dispatch.conversation import Past, form_of, past_of, seed_for
from dispatcher.paths.path import Fresh, Replay, Resume

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def variant(path=PathName.MANAGED, model="a-model"):
    return Variant(
        name="one",
        path=path,
        model=model,
        iteration_cap=8,
        tool_call_cap=80,
        token_cap=10**6,
        cost_cap_nanousd=10**9,
        deadline_s=60.0,
    )


def turn(question="first", path=PathName.MESSAGES, model="a-model"):
    return Turn(
        question=question,
        path=path,
        model=model,
        answer="{}",
        messages=({"role": "user", "content": [{"type": "text", "text": question}]},),
    )


def action(**more):
    return ResearchAction(
        question="Why?", tenant="acme", repository=Repository(path="."), conversation_id="c-1", **more
    )


def session(finished_at=NOW):
    return LoggedSession(
        session_id="sesn_1",
        agent_id="agent_1",
        agent_version=1,
        model="a-model",
        repository="https://github.com/example/checkout",
        commit_sha="0" * 40,
        project=None,
        prefix_fingerprint="f" * 16,
        finished_at=finished_at,
    )


def kept(*turns):
    return tuple((ordinal, Transcript((one,)).to_json()) for ordinal, one in enumerate(turns, start=1))


def test_the_first_turn_has_no_past():
    past = past_of(action(), ConversationSoFar())
    assert (past.turn, past.transcript.turns, seed_for(past, variant(), session_ttl=DAY, now=NOW)) == (1, (), Fresh())


def test_a_turn_while_another_one_runs_is_refused():
    with pytest.raises(ConversationBusy, match="turn 2 still runs"):
        past_of(action(), ConversationSoFar(turn=2, running=True, answered=(1,)))


def test_a_later_turn_without_the_transcript_is_refused_and_the_error_names_every_way_out():
    with pytest.raises(ConversationContinues, match=r"history=result\.transcript.*keep\.conversations"):
        past_of(action(), ConversationSoFar(turn=1, answered=(1,)))


def test_a_transcript_that_lacks_one_of_the_answered_turns_is_no_transcript():
    with pytest.raises(ConversationContinues, match="has 2 answered turns, and the transcripts of 1"):
        past_of(action(), ConversationSoFar(turn=2, answered=(1, 2), kept=kept(turn())))


def test_kept_turns_are_put_together_in_order():
    past = past_of(action(), ConversationSoFar(turn=2, answered=(1, 2), kept=kept(turn("first"), turn("second"))))
    assert (past.turn, [one.question for one in past.transcript.turns]) == (3, ["first", "second"])


def test_the_callers_history_stands_whatever_is_kept():
    past = past_of(action(history=Transcript((turn("told"),))), ConversationSoFar(turn=4, answered=(1, 2)))
    assert (past.turn, [one.question for one in past.transcript.turns]) == (5, ["told"])


def test_a_history_from_elsewhere_counts_its_turns():
    past = past_of(action(history=Transcript((turn("1"), turn("2"), turn("3")))), ConversationSoFar())
    assert past.turn == 4


def test_turns_that_failed_need_no_transcript():
    assert past_of(action(), ConversationSoFar(turn=1)).turn == 2


def test_the_sections_of_the_turn_before_are_known_to_the_next():
    so_far = ConversationSoFar(turn=1, path="messages", section_fingerprints=json.dumps({"role": "aa"}))
    assert past_of(action(), so_far).sections == {"role": "aa"}


def test_a_session_that_goes_on_always_comes_with_the_transcript():
    past = Past(turn=2, transcript=Transcript((turn(path=PathName.MANAGED),)), session=session())
    seed = seed_for(past, variant(), session_ttl=DAY, now=NOW)
    assert isinstance(seed, Resume)
    assert (seed.session.session_id, seed.transcript) == ("sesn_1", past.transcript)
    assert form_of(seed, variant()) is TranscriptForm.SESSION


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (PathName.MANAGED, session(NOW - DAY - dt.timedelta(seconds=1))),
        (PathName.MANAGED, None),
        (PathName.MESSAGES, session()),
    ],
    ids=["expired", "none", "on the other path"],
)
def test_where_no_session_can_go_on_the_turns_are_told_again(path, found):
    past = Past(turn=2, transcript=Transcript((turn(),)), session=found)
    assert seed_for(past, variant(path), session_ttl=DAY, now=NOW) == Replay(past.transcript)


@pytest.mark.parametrize(
    ("told", "by", "form"),
    [
        (turn(), variant(PathName.MESSAGES), TranscriptForm.NATIVE),
        (turn(model="another"), variant(PathName.MESSAGES), TranscriptForm.FLATTENED),
        (turn(path=PathName.MANAGED), variant(PathName.MESSAGES), TranscriptForm.FLATTENED),
        (turn(), variant(PathName.MANAGED), TranscriptForm.FLATTENED),
    ],
    ids=["same path and model", "another model", "from a session", "to a session"],
)
def test_only_turns_of_the_same_path_and_model_are_replayed_as_they_were(told, by, form):
    assert form_of(Replay(Transcript((told,))), by) is form
