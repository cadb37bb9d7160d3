"""The caps of the messages path: one last request without tools, and never more spent than a cap allows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_world import SEARCH, Ran, run
from paths_world import AT_ONCE, MODEL, PRICES, make_repository
from scripted_provider import Answer, answering, calling, refused, reply_events, streamed, text_block, tool_block

from dispatcher.action.decision import Caps
from dispatcher.action.event import CapReached
from dispatcher.action.observation import EndedBy, ErrorType, Status, Usage
from dispatcher.action.request import Repository
from dispatcher.paths.messages.limits import Allowance, Counts, Extent, Reported, Spending, prompt_tokens
from dispatcher.paths.repository.checkout import Checkout, resolve

THREE = calling(*[(f"toolu_{n}", "list_files", {}) for n in range(3)])
CAPS = [EndedBy.ITERATION_CAP, EndedBy.TOOL_CALL_CAP, EndedBy.TOKEN_CAP, EndedBy.COST_CAP]
TIGHT: dict[EndedBy, dict[str, int]] = {
    EndedBy.ITERATION_CAP: {"iterations": 2},
    EndedBy.TOOL_CALL_CAP: {"tool_calls": 1},
    EndedBy.TOKEN_CAP: {"tokens": 30_000},
    EndedBy.COST_CAP: {"cost_nanousd": 250_000_000},
}
"""Caps that let one ordinary request through, as long as `LONG` says, and then only the last one."""


def heavy(*, prompt: int) -> Answer:
    """A reply with a tool call whose prompt was as long as this, by the provider's word."""
    return streamed(reply_events([tool_block("toolu_1", "list_files", {})], "tool_use", input_tokens=prompt))


def tool_choices(ran: Ran) -> list[Any]:
    return [request.get("tool_choice") for request in ran.requests]


LONG = {EndedBy.TOKEN_CAP: 12_000, EndedBy.COST_CAP: 40_000}


@pytest.mark.parametrize("cap", CAPS)
async def test_at_a_cap_the_answer_is_asked_for_once_and_a_valid_one_is_success(
    checkout: Checkout, cap: EndedBy
) -> None:
    script = [heavy(prompt=LONG.get(cap, 100)), answering()]
    ran = await run(checkout, script, caps=TIGHT[cap], max_tokens=500)

    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.SUCCESS, cap)
    assert tool_choices(ran) == [None, {"type": "none"}]
    assert ran.requests[0]["tools"] == ran.requests[1]["tools"]
    last = ran.requests[1]["messages"][-1]["content"]
    assert [block["type"] for block in last] == ["tool_result", "text"]
    assert "answer now" in last[1]["text"]
    assert [event for event in ran.told if isinstance(event, CapReached)] == [CapReached(ended_by=cap)]


@pytest.mark.parametrize("cap", CAPS)
async def test_a_cap_without_a_valid_answer_is_an_error_of_its_name_with_the_work_kept(
    checkout: Checkout, cap: EndedBy
) -> None:
    script = [heavy(prompt=LONG.get(cap, 100)), heavy(prompt=100)]
    ran = await run(checkout, script, caps=TIGHT[cap], max_tokens=500)

    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.ERROR, cap)
    assert ran.outcome.error_type == ErrorType(cap.value)
    assert [message["role"] for message in ran.seen.work] == ["user", "assistant", "user", "assistant"]
    assert ran.seen.tool_calls == 1


@pytest.mark.parametrize(
    ("caps", "cap"), [({"tokens": 500}, EndedBy.TOKEN_CAP), ({"cost_nanousd": 1_000_000}, EndedBy.COST_CAP)]
)
async def test_where_not_even_one_request_fits_nothing_is_sent(
    checkout: Checkout, caps: dict[str, int], cap: EndedBy
) -> None:
    ran = await run(checkout, [], caps=caps)

    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.ERROR, cap)
    assert ran.outcome.error_type == ErrorType(cap.value)
    assert (ran.requests, ran.seen.iterations, ran.seen.cost_nanousd, ran.seen.work) == ([], 0, 0, ())


@pytest.mark.parametrize(
    ("allowed", "errors"), [(1, [False, True, True]), (2, [False, False, True]), (3, [False, False, False])]
)
async def test_calls_beyond_the_cap_are_answered_but_not_run(
    checkout: Checkout, allowed: int, errors: list[bool]
) -> None:
    ran = await run(checkout, [THREE, answering()], caps={"tool_calls": allowed})

    results = [block for block in ran.requests[1]["messages"][-1]["content"] if block["type"] == "tool_result"]
    assert [result["is_error"] for result in results] == errors
    assert all("limit of tool calls" in result["content"][0]["text"] for result in results if result["is_error"])
    assert (ran.seen.tool_calls, ran.outcome.ended_by) == (allowed, EndedBy.TOOL_CALL_CAP)


async def test_without_any_tool_call_allowed_the_first_request_is_the_last(checkout: Checkout) -> None:
    ran = await run(checkout, [answering()], caps={"tool_calls": 0})

    assert tool_choices(ran) == [{"type": "none"}]
    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.SUCCESS, EndedBy.TOOL_CALL_CAP)


async def test_results_that_leave_no_room_for_the_answer_are_cut(tmp_path: Path) -> None:
    """The work isn't thrown away because the last thing that was read was too long."""
    make_repository(tmp_path, {"long.txt": "a line of some length\n" * 400})
    reading = calling(("toolu_1", "read_file", {"path": "long.txt", "start_line": 1, "end_line": 400}))
    ran = await run(resolve(Repository(path=tmp_path)), [reading, answering()], caps={"tokens": 11_000}, max_tokens=500)

    result = ran.requests[1]["messages"][2]["content"][0]
    assert "more characters left out" in result["content"][0]["text"]
    assert result["content"][0]["text"].startswith("1\ta line of some length\n")
    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.SUCCESS, EndedBy.TOKEN_CAP)


async def test_a_lost_request_counts_as_run_and_the_next_one_is_the_last(checkout: Checkout) -> None:
    """It may be billed, so a cap of two requests leaves room for one more, which must bring the answer."""
    ran = await run(checkout, [Answer(b"", ending="cut"), answering()], cap=2, caps={"iterations": 2}, retries=AT_ONCE)

    assert tool_choices(ran) == [None, {"type": "none"}]
    assert (ran.seen.iterations, ran.seen.retries) == (2, 1)
    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.SUCCESS, EndedBy.ITERATION_CAP)


@pytest.mark.parametrize(("cap", "sent"), [(1, 1), (2, 2), (9, 3)])
async def test_lost_requests_never_exceed_the_cap_and_stay_the_providers_failure(
    checkout: Checkout, cap: int, sent: int
) -> None:
    ran = await run(checkout, [Answer(b"", ending="cut")] * 3, cap=cap, retries=AT_ONCE)

    assert (len(ran.requests), ran.seen.iterations, ran.seen.retries) == (sent, sent, sent - 1)
    assert (ran.outcome.ended_by, ran.outcome.error_type) == (EndedBy.FAILURE, ErrorType.CONNECTION)


async def test_a_refused_request_does_not_count_towards_the_cap(checkout: Checkout) -> None:
    script = [refused(529, "overloaded_error"), SEARCH, refused(429, "rate_limit_error"), answering()]
    ran = await run(checkout, script, cap=2, retries=AT_ONCE)

    assert (ran.outcome.status, ran.seen.iterations, ran.seen.retries) == (Status.SUCCESS, 2, 2)
    assert ran.seen.cost_nanousd == 2 * (100 * 3000 + 20 * 15000)


def billed(body: dict[str, Any], calls: int, repeats: int) -> Answer:
    """A reply as long as `max_tokens` allows, its prompt counted in a quarter of its bytes, as a tokenizer would."""
    prompt = len(json.dumps([body["tools"], body["system"], body["messages"]])) // 4
    may_call = body.get("tool_choice") is None
    tools = [tool_block(f"t{repeats}_{n}", "read_file", {"path": "retry.py"}) for n in range(calls)]
    events = reply_events(tools or [text_block("hm")], "tool_use" if tools and may_call else "end_turn")
    if not may_call or not tools:
        return answering()
    events[0]["message"]["usage"]["input_tokens"] = prompt
    events[-2]["usage"]["output_tokens"] = body["max_tokens"]
    return streamed(events)


@settings(max_examples=25)
@given(
    st.integers(3_000, 60_000),
    st.integers(10_000_000, 400_000_000),
    st.integers(1, 12),
    st.sampled_from([300, 1_000, 4_096]),
    st.booleans(),
)
async def test_what_is_spent_stays_within_the_caps(
    checkout: Checkout, tokens: int, nanousd: int, calls: int, max_tokens: int, caching: bool
) -> None:
    repeats = iter(range(1_000))
    ran = await run(
        checkout,
        lambda body: billed(body, calls, next(repeats)),
        cap=20,
        caps={"tokens": tokens, "cost_nanousd": nanousd},
        max_tokens=max_tokens,
        prompt_caching=caching,
    )

    spent = sum((call.usage.prompt_tokens or 0) + (call.usage.output_tokens or 0) for call in ran.seen.calls)
    assert spent <= tokens
    assert ran.seen.cost_nanousd is not None
    assert ran.seen.cost_nanousd <= nanousd
    assert ran.seen.iterations <= 20
    if ran.requests:
        assert (ran.outcome.status, tool_choices(ran)[-1]) == (Status.SUCCESS, {"type": "none"})
    else:
        assert ran.outcome.ended_by in {EndedBy.TOKEN_CAP, EndedBy.COST_CAP}


def allowance(cost: Callable[[Usage], int | None], **caps: int) -> Allowance:
    wide = {"iterations": 100, "tool_calls": 100, "tokens": 10**9, "cost_nanousd": 10**15, "deadline_s": 60.0}
    return Allowance(Caps(**{**wide, **caps}), 1_000, True, cost)  # type: ignore[arg-type]


def list_price(usage: Usage) -> int | None:
    return PRICES.cost_nanousd(MODEL, usage, dt.date(2026, 11, 21))


def test_the_estimate_of_a_request_is_its_prompt_written_to_the_cache_and_the_longest_reply() -> None:
    assert allowance(list_price).most(2_000) == Spending(3_000, 2_000 * 3_750 + 1_000 * 15_000)


def test_where_the_price_is_unknown_the_other_caps_still_hold() -> None:
    unpriced = allowance(lambda _usage: None, tokens=10_000, cost_nanousd=1)
    counts = Counts(0, 0, Spending())

    assert unpriced.refuses(9_000, counts) is None
    assert unpriced.refuses(9_001, counts) is EndedBy.TOKEN_CAP


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_where_an_ordinary_request_goes_out_the_last_one_fits_after_it(prompt: int, spent: int, cap: int) -> None:
    """The reply and the shortest results of its calls lengthen the last prompt by `max_tokens` each at most."""
    bounded = allowance(list_price, tokens=cap, cost_nanousd=cap * 4_000)
    counts = Counts(0, 0, Spending(spent, spent * 3_000))
    if bounded.ends_before(prompt, 50, counts) is None:
        after = Counts(1, 1, counts.spent + bounded.most(prompt))

        assert bounded.refuses(prompt + 2 * 1_000 + 50, after) is None


extents = st.builds(Extent, st.integers(0, 10**5), st.integers(0, 10**6), st.integers(0, 10**6))


@given(extents, st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**5))
def test_a_prompt_after_a_reported_one_is_estimated_by_what_was_said_since(
    extent: Extent, prompt: int, output: int, since: int
) -> None:
    now = Extent(extent.prefix, extent.messages + 4 * output + since, extent.from_user + since)
    estimate = prompt_tokens(now, Reported(extent, prompt, output))

    assert prompt + output + since <= estimate <= prompt + output + since + 500
