"""The caps on tool calls, tokens and cost where the session is interrupted, and the arithmetic behind all of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from managed_world import make_caps, make_job, make_path, run_watched
from scripted_sessions import ScriptedSessions
from session_scripts import (
    FOREVER,
    MESSAGE_ID,
    REPORT,
    SUBMITS,
    Event,
    custom_use,
    echo,
    request_end,
    request_start,
    requires,
    tool_result,
    tool_use,
)

from dispatcher.action.event import CapReached
from dispatcher.action.observation import EndedBy, ErrorType, Status
from dispatcher.paths.managed.caps import GRACE, Spent, exhausted, last_request, may_still_answer, reached
from dispatcher.paths.managed.events import TurnState, reduce

# A request of 10 uncached and 5 output tokens of this model: 10 × 1000 + 5 × 5000 nano-dollars.
TOKENS, COST = 15, 35_000


def works(number: int, **usage: int) -> list[Event]:
    """A request that reads once and goes on."""
    use = tool_use(f"t{number}")
    return [request_start(number), use, request_end(number, **usage), tool_result(use["id"])]


async def play(script: list[Event], **caps: Any):
    async with ScriptedSessions(script).serving() as server:
        job = make_job(caps=make_caps(**caps))
        outcome, watched = await run_watched(make_path(server.base_url, simulated=False), job)
    assert server.status == "terminated"
    return outcome, watched, server


@pytest.mark.parametrize(
    ("caps", "ended_by"),
    [
        # Room for two requests and a third one, and not for the one that would close the turn.
        ({"tokens": 4 * TOKENS - 1}, EndedBy.TOKEN_CAP),
        ({"cost_nanousd": 4 * COST - 1}, EndedBy.COST_CAP),
    ],
)
async def test_a_run_is_stopped_before_the_request_that_would_exceed_the_cap(caps: dict[str, int], ended_by: EndedBy):
    outcome, watched, server = await play([echo(), *works(1), *works(2)[:-1], FOREVER], **caps)

    assert (outcome.status, outcome.ended_by) == (Status.ERROR, ended_by)
    assert outcome.error_type == ErrorType(ended_by)
    assert (watched.seen.iterations, server.interrupts) == (2, 1)
    tokens, cost = watched.observer.spent
    assert tokens <= caps.get("tokens", tokens)
    assert cost <= caps.get("cost_nanousd", cost)
    assert [event for event in watched.told if isinstance(event, CapReached)] == [CapReached(ended_by=ended_by)]


async def test_a_request_that_runs_already_is_stopped_at_once():
    script = [echo(), *works(1), *works(2), request_start(3), FOREVER]
    outcome, _, server = await play(script, tokens=3 * TOKENS - 1)

    assert (outcome.ended_by, server.interrupts) == (EndedBy.TOKEN_CAP, 1)


async def test_cache_writes_whose_ttl_is_not_told_count_for_the_cost():
    """A span doesn't split them, and a cap that took them for free would never hold."""
    script = [echo(), *works(1, written=1_000_000), *works(2)[:-1], FOREVER]
    outcome, _, _ = await play(script, cost_nanousd=1_000_000_000)

    assert outcome.ended_by is EndedBy.COST_CAP


async def test_more_tool_calls_than_the_cap_stop_the_run():
    uses = [tool_use("a"), tool_use("b"), tool_use("c")]
    outcome, watched, server = await play([echo(), request_start(1), *uses, request_end(1), FOREVER], tool_calls=2)

    assert (outcome.ended_by, outcome.error_type) == (EndedBy.TOOL_CALL_CAP, ErrorType.TOOL_CALL_CAP)
    assert server.interrupts == 1
    # The partial work is there, for whoever wants to know what it came to.
    assert [block["id"] for block in watched.seen.work[-1]["content"]] == ["a", "b", "c"]


async def test_the_report_is_no_call_that_a_cap_counts():
    outcome, _, _ = await play(list(SUBMITS), tool_calls=1)

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)


async def test_a_report_in_the_reply_that_reaches_the_cap_is_never_cut_off():
    reply = [tool_use("t"), request_end(1), custom_use("s", REPORT), requires("w", "s")]
    outcome, _, server = await play([echo(), request_start(1), *reply, FOREVER], tool_calls=0, tokens=TOKENS)

    assert (outcome.status, outcome.output is not None) == (Status.SUCCESS, True)
    assert len(server.answers) == 1


async def test_a_model_without_a_price_has_no_budget_and_its_cost_is_no_cap():
    async with ScriptedSessions(SUBMITS).serving() as server:
        job = make_job(model="claude-of-next-year", caps=make_caps(cost_nanousd=1_000))
        outcome, _ = await run_watched(make_path(server.base_url, simulated=False), job)

    # Its running time has a price, though, and that is far below the smallest cap that can be stated.
    assert "budget" not in server.created[-1]
    assert outcome.ended_by in {EndedBy.COMPLETED, EndedBy.COST_CAP}


SPENT = st.builds(
    Spent,
    tokens=st.integers(0, 10**7),
    cost_nanousd=st.integers(0, 10**10),
    latest_tokens=st.integers(0, 10**6),
    latest_cost_nanousd=st.integers(0, 10**9),
)


@given(SPENT, st.integers(0, 40), st.sampled_from([0, GRACE]), st.integers(1, 30))
def test_below_every_cap_there_is_room_for_another_request(spent: Spent, requests: int, grace: int, cap: int):
    state = TurnState(caps=make_caps(cap), grace=grace, requests=requests)

    if reached(state, spent) is None:
        assert requests < cap
        # There is room for the next one and the closing one, and with a grace for the answer as well.
        further = 3 if grace else 2
        assert spent.tokens + further * spent.latest_tokens <= state.caps.tokens
        assert spent.cost_nanousd + further * spent.latest_cost_nanousd <= state.caps.cost_nanousd
    if may_still_answer(state, spent):
        assert requests < last_request(state) <= cap + GRACE
        assert exhausted(state, spent) is None


@given(st.lists(st.sampled_from(["read", "submit_result"]), max_size=10))
def test_tool_calls_are_counted_as_they_are_announced(names: list[str]):
    state = TurnState(caps=make_caps(), message_id=MESSAGE_ID)
    for event in [echo(), request_start(1)]:
        state = reduce(state, event)
    for place, name in enumerate(names):
        use = custom_use(f"u{place}", {}) if name == "submit_result" else tool_use(f"u{place}", name)
        state = reduce(reduce(state, use), use)

    assert state.tool_calls == names.count("read")
