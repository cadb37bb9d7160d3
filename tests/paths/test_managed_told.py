"""What is told of a managed turn while it goes on, what is kept of it, and how its figures are told apart."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from managed_world import make_job, make_path, run_watched
from scripted_sessions import ScriptedSessions
from session_scripts import (
    REPORT,
    SUBMITS,
    Event,
    echo,
    idle,
    interrupt,
    message,
    request_end,
    request_start,
    tool_result,
    tool_use,
)

from dispatcher.action.decision import PathName
from dispatcher.action.event import TextArrived, ToolFinished
from dispatcher.action.observation import ZERO_USAGE, EndedBy, Status, Usage
from dispatcher.action.transcript import Message, Transcript, Turn, verbatim
from dispatcher.paths.managed.totals import NOTHING_YET, difference, totals_of
from dispatcher.paths.managed.work import add_to
from dispatcher.paths.sums import SessionTotals


async def play(server: ScriptedSessions, silence_s: float = 15.0):
    async with server.serving():
        return await run_watched(make_path(server.base_url, simulated=False, silence_s=silence_s), make_job())


async def test_texts_and_tools_are_told_by_name_as_they_happen():
    failing = {**tool_result("sevt_grep"), "is_error": True}
    more = [message("m", "Looking."), tool_use("sevt_grep", "grep"), failing]
    _, watched = await play(ScriptedSessions([*SUBMITS[:3], *more, *SUBMITS[3:]]))

    told = [event for event in watched.told if isinstance(event, TextArrived | ToolFinished)]
    assert told == [
        TextArrived(text="Looking."),
        ToolFinished(name="grep", failed=True),
        ToolFinished(name="read", failed=False),
        ToolFinished(name="submit_result", failed=False),
    ]


async def test_what_a_deaf_stream_never_delivers_is_looked_up_after_a_silence():
    """Whatever is heard before is heard once, and the connection is replaced."""
    everything = range(len(SUBMITS))
    server = ScriptedSessions(SUBMITS, unheard=everything)
    outcome, watched = await play(server, silence_s=0.05)

    assert (outcome.status, watched.seen.iterations, watched.seen.tool_calls) == (Status.SUCCESS, 3, 2)
    assert server.connections > 1


async def test_an_interrupt_that_only_the_history_knows_is_never_a_completed_turn():
    script: list[Event] = [
        echo(),
        request_start(1),
        interrupt(),
        message("m", json.dumps(REPORT)),
        request_end(1),
        idle("i"),
    ]
    outcome, _ = await play(ScriptedSessions(script, unheard={2}))

    assert (outcome.status, outcome.ended_by, outcome.output) == (Status.ERROR, EndedBy.INTERRUPT, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("a\ud800\x00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["agent.message", "agent.tool_use", "agent.custom_tool_use", "agent.tool_result", "agent.thinking"]
                )
            },
            optional={"id": JSON, "name": JSON, "input": JSON, "content": JSON, "is_error": JSON, "tool_use_id": JSON},
        ),
        max_size=12,
    )
)
def test_events_of_any_form_become_messages_that_can_be_kept(events: list[Event]):
    work: list[Message] = [{"role": "user", "content": [{"type": "text", "text": "Where?"}]}]
    for event in events:
        add_to(work, event)

    assert all(left["role"] != right["role"] for left, right in pairwise(work))
    turn = Turn(question="Where?", path=PathName.MANAGED, model="m", answer="{}", messages=verbatim(work))
    kept = Transcript((turn,)).to_json()
    assert Transcript.from_json(kept.encode()).turns[0].messages == turn.messages


TOTALS = st.builds(
    SessionTotals,
    usage=st.builds(Usage, **{field.name: st.integers(0, 10**9) | st.none() for field in fields(Usage)}),
    active_ms=st.integers(0, 10**9) | st.none(),
    list_cost_nanousd=st.integers(0, 10**6).map(lambda cents: cents * 10_000_000) | st.none(),
    web_searches=st.integers(0, 10**6) | st.none(),
)


@given(TOTALS, TOTALS)
def test_the_difference_and_what_was_before_are_what_is_there_now(before: SessionTotals, more: SessionTotals):
    """Where all is known; an unknown figure at either moment is unknown."""
    sums = {
        field.name: None if (old := getattr(before.usage, field.name)) is None or new is None else old + new
        for field in fields(Usage)
        for new in [getattr(more.usage, field.name)]
    }
    after = replace(before, usage=Usage(**sums))

    for field in fields(Usage):
        found = getattr(difference(after, before).usage, field.name)
        assert found == (None if sums[field.name] is None else getattr(more.usage, field.name))


@given(TOTALS)
def test_a_session_that_was_just_created_had_used_nothing(after: SessionTotals):
    assert difference(after, NOTHING_YET) == after
    assert NOTHING_YET.usage == ZERO_USAGE


@pytest.mark.parametrize(
    ("tools", "searches"),
    [
        (None, 0),
        (SimpleNamespace(), 0),
        (SimpleNamespace(web_search_requests=None), 0),
        (SimpleNamespace(web_search_requests=3), 3),
        (SimpleNamespace(web_search_requests=-1), None),
        (SimpleNamespace(web_search_requests="3"), None),
    ],
)
def test_web_searches_are_those_the_session_tells_of(tools: object, searches: int | None):
    """None told of is none made, since no agent here has the tool; what is no count is unknown."""
    assert totals_of(SimpleNamespace(usage=SimpleNamespace(server_tool_use=tools))).web_searches == searches


def test_a_count_that_went_backwards_is_no_count():
    after = SessionTotals(usage=ZERO_USAGE, active_ms=5, web_searches=1, list_cost_nanousd=0)
    before = SessionTotals(
        usage=replace(ZERO_USAGE, input_tokens=1), active_ms=6, web_searches=2, list_cost_nanousd=10_000_000
    )

    found = difference(after, before)
    assert (found.usage.input_tokens, found.active_ms, found.web_searches) == (None, None, None)
    assert found.list_cost_nanousd is None
