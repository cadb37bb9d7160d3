"""What an observer has gathered, at any moment: sums, money, and how far they can be trusted."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths_world import MODEL, PRICES

from dispatcher.action.event import (
    Event,
    RepairRequested,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
    ToolFinished,
)
from dispatcher.action.observation import ErrorType, Usage, UsageQuality
from dispatcher.paths.observation import Observer, Session, SessionTotals
from dispatcher.paths.timing import Marker

SESSION = Session(session_id="sesn_1", agent_id="agent_1", agent_version=2)
WHOLE = Usage(
    input_tokens=10,
    output_tokens=20,
    cache_read_input_tokens=0,
    cache_creation_input_tokens=0,
    cache_creation_5m_input_tokens=0,
    cache_creation_1h_input_tokens=0,
)
COST = 10 * 3000 + 20 * 15000


def observer(noted: list[Session] | None = None, *, fails: bool = False) -> Observer:
    async def note_session(session: Session) -> None:
        if fails:
            raise ConnectionError
        if noted is not None:
            noted.append(session)

    seconds = itertools.count()
    return Observer(
        prices=PRICES,
        on=dt.date(2026, 11, 21),
        clock=lambda: next(seconds) * 1_000_000_000,
        started_ns=0,
        note_session=note_session,
    )


def count(watching: Observer, usage: Usage = WHOLE, model: str = MODEL, web_searches: int = 0) -> None:
    watching.end_call(ordinal=watching.begin_call(), model=model, usage=usage, web_searches=web_searches)


def test_before_anything_was_sent_nothing_was_spent() -> None:
    seen = observer().observed()

    assert (seen.iterations, seen.cost_nanousd, seen.usage_quality) == (0, 0, UsageQuality.REPORTED)
    assert (seen.usage.input_tokens, seen.usage.output_tokens) == (0, 0)


def test_calls_add_up_in_tokens_and_money() -> None:
    watching = observer()
    count(watching)
    count(watching)
    seen = watching.observed()

    assert (seen.iterations, [call.ordinal for call in seen.calls]) == (2, [1, 2])
    assert (seen.usage, seen.cost_nanousd, seen.usage_quality) == (WHOLE + WHOLE, 2 * COST, UsageQuality.REPORTED)


def test_a_request_that_reported_nothing_is_counted_and_makes_the_rest_partial() -> None:
    watching = observer()
    watching.begin_call()
    alone = watching.observed()
    watching = observer()
    count(watching)
    watching.begin_call()
    after_one = watching.observed()

    assert (alone.iterations, alone.usage, alone.usage_quality) == (1, Usage(), UsageQuality.MISSING)
    assert (after_one.iterations, after_one.usage, after_one.usage_quality) == (2, WHOLE, UsageQuality.PARTIAL)
    assert (alone.cost_nanousd, after_one.cost_nanousd) == (None, None)


@pytest.mark.parametrize("unknown", [field.name for field in fields(Usage)])
def test_a_class_that_one_call_left_unknown_is_unknown_in_the_sum(unknown: str) -> None:
    watching = observer()
    count(watching)
    count(watching, Usage(**{f.name: None if f.name == unknown else 1 for f in fields(Usage)}))
    seen = watching.observed()

    assert {f.name for f in fields(Usage) if getattr(seen.usage, f.name) is None} == {unknown}


def test_a_model_without_a_price_has_no_cost() -> None:
    watching = observer()
    count(watching)
    count(watching, model="claude-from-the-future")

    assert watching.observed().cost_nanousd is None


tokens = st.none() | st.integers(0, 10**9)
usages = st.builds(Usage, **dict.fromkeys([field.name for field in fields(Usage)], tokens))


@given(st.lists(usages, max_size=5), st.booleans())
def test_a_cost_is_the_sum_of_the_calls_or_unknown_and_never_a_guess(spent: list[Usage], unreported: bool) -> None:
    watching = observer()
    for usage in spent:
        count(watching, usage)
    if unreported:
        watching.begin_call()
    seen = watching.observed()
    costs = [call.cost_nanousd for call in seen.calls]

    assert seen.iterations == len(spent) + unreported
    if unreported or None in costs:
        assert seen.cost_nanousd is None
    else:
        assert seen.cost_nanousd == sum(cost for cost in costs if cost is not None)


async def test_a_session_without_its_totals_is_partial_and_has_no_cost() -> None:
    watching = observer()
    await watching.begin_session(SESSION)
    count(watching)
    seen = watching.observed()

    assert (seen.session, seen.usage_quality) == (SESSION, UsageQuality.PARTIAL)
    assert (seen.runtime_cost_nanousd, seen.cost_nanousd) == (None, None)


async def test_a_session_costs_its_calls_and_its_running_time() -> None:
    watching = observer()
    await watching.begin_session(SESSION)
    count(watching)
    watching.totals = SessionTotals(usage=WHOLE, active_ms=90_000, web_searches=0, list_cost_nanousd=0)
    seen = watching.observed()

    assert seen.runtime_cost_nanousd == 80_000_000 * 90 // 3600
    assert seen.cost_nanousd == COST + 2_000_000
    assert seen.usage_quality is UsageQuality.SPLIT_INFERRED


async def test_web_searches_that_the_provider_ran_are_a_part_of_the_cost() -> None:
    """By each request outside of sessions; by the session's own count in one, where they aren't told by request."""
    alone, in_session = observer(), observer()
    count(alone, web_searches=2)
    count(alone, web_searches=1)
    await in_session.begin_session(SESSION)
    count(in_session)
    in_session.totals = SessionTotals(usage=WHOLE, active_ms=0, web_searches=4, list_cost_nanousd=0)

    assert (alone.observed().tool_cost_nanousd, alone.observed().cost_nanousd) == (30_000_000, 2 * COST + 30_000_000)
    assert in_session.observed().tool_cost_nanousd == 40_000_000
    assert in_session.observed().cost_nanousd == COST + 40_000_000


async def test_a_session_whose_web_searches_are_unknown_has_no_cost() -> None:
    watching = observer()
    await watching.begin_session(SESSION)
    count(watching)
    watching.totals = SessionTotals(usage=WHOLE, active_ms=0, web_searches=None, list_cost_nanousd=0)

    assert (watching.observed().tool_cost_nanousd, watching.observed().cost_nanousd) == (None, None)


async def test_a_session_is_noted_when_it_begins() -> None:
    noted: list[Session] = []
    await observer(noted).begin_session(SESSION)

    assert noted == [SESSION]


async def test_a_session_that_could_not_be_noted_is_still_seen() -> None:
    """It runs and is billed, so the row must not look as if there were none."""
    watching = observer(fails=True)
    with pytest.raises(ConnectionError):
        await watching.begin_session(SESSION)

    assert (watching.observed().session, watching.observed().cost_nanousd) == (SESSION, None)


def test_only_the_first_time_of_a_marker_counts() -> None:
    watching = observer()
    for marker in (Marker.READY, Marker.SESSION_DONE, Marker.FIRST_TOKEN, Marker.FIRST_TEXT, Marker.FIRST_TOKEN):
        watching.mark(marker)
    seen = watching.observed()

    assert (seen.first_token.ready_ms, seen.first_token.first_token_ms, seen.first_text_ms) == (0, 1000, 3000)


def test_an_observation_does_not_change_afterwards() -> None:
    watching = observer()
    before = watching.observed()
    count(watching)
    watching.tool(failed=True)

    assert (before.calls, before.tool_calls) == ((), 0)
    assert (watching.observed().tool_calls, watching.observed().tool_errors) == (1, 1)


def test_a_refused_request_was_none() -> None:
    watching = observer()
    count(watching)
    watching.begin_call()
    watching.refuse_call()
    seen = watching.observed()

    assert (seen.iterations, seen.usage_quality, seen.cost_nanousd) == (1, UsageQuality.REPORTED, COST)


def test_waits_retries_and_repairs_are_counted_and_told() -> None:
    told: list[Event] = []
    watching = observer()
    watching.tell = told.append
    watching.schedule_retry(ErrorType.OVERLOADED, 0.5)
    watching.waited(500_000_000)
    watching.retry()
    watching.schedule_retry(ErrorType.CONNECTION, 0.25)
    watching.waited(200_000_000)
    watching.repair()
    seen = watching.observed()

    assert (seen.retries, seen.retry_wait_ms, seen.repairs) == (1, 700, 1), "a wait that was cut short sent nothing"
    assert told == [
        RetryScheduled(error_type=ErrorType.OVERLOADED, wait_s=0.5),
        RetryScheduled(error_type=ErrorType.CONNECTION, wait_s=0.25),
        RepairRequested(),
    ]


def test_what_is_spent_counts_every_class_and_what_is_unknown_as_nothing() -> None:
    watching = observer()
    count(watching, Usage(**{f.name: 1 for f in fields(Usage)} | {"cache_creation_1h_input_tokens": 0}))
    count(watching, Usage(input_tokens=5))
    watching.begin_call()

    assert watching.spent == (4, 3000 + 15000 + 300 + 3750)


def test_requests_and_tools_are_told_as_they_happen() -> None:
    told: list[Event] = []
    watching = observer()
    watching.tell = told.append
    count(watching)
    watching.tool("search_code", failed=False)
    watching.begin_call()

    call = watching.observed().calls[0]
    assert told == [
        RequestStarted(ordinal=1),
        RequestFinished(call=call),
        ToolFinished(name="search_code", failed=False),
        RequestStarted(ordinal=2),
    ]


def test_the_work_that_was_observed_does_not_change_afterwards() -> None:
    watching = observer()
    watching.work.append({"role": "user", "content": [{"type": "text", "text": "q"}]})
    seen = watching.observed()
    watching.work[0]["content"].append({"type": "text", "text": "more"})
    watching.work.append({"role": "assistant", "content": []})

    assert seen.work == ({"role": "user", "content": [{"type": "text", "text": "q"}]},)
