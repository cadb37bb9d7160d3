"""An answer that isn't a report is sent back once, and requests that failed without output are sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from messages_world import SEARCH, run
from paths_world import AT_ONCE
from scripted_provider import REPORT, Answer, answering, calling, refused, reply_events, streamed, text_block

from dispatcher.action.event import (
    RepairRequested,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
    TextArrived,
    ToolFinished,
)
from dispatcher.action.observation import EndedBy, ErrorType, Status, UsageQuality
from dispatcher.paths.repository.checkout import Checkout

SECRET = "sk-ant-api03-do-not-repeat"
INVALID = {"summary": 7, "findings": [{"claim": SECRET, "line": "one", SECRET: 1}], "more": SECRET}
BUSY = refused(529, "overloaded_error")


async def test_an_invalid_answer_is_sent_back_once_with_what_is_wrong(checkout: Checkout) -> None:
    ran = await run(checkout, [SEARCH, answering(INVALID), answering()])

    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert (ran.seen.iterations, ran.seen.repairs, ran.told.count(RepairRequested())) == (3, 1, 1)
    invalid, demand = ran.requests[2]["messages"][-2:]
    assert json.loads(invalid["content"][0]["text"]) == INVALID
    told = demand["content"][0]["text"]
    for part in ("summary: string_type", "findings.0.line: int_type", "findings.0.file: missing", "unknown field"):
        assert part in told
    assert SECRET not in told
    assert ran.requests[2]["tools"] == ran.requests[1]["tools"]
    assert "tool_choice" not in ran.requests[2]


async def test_a_model_that_looks_again_before_it_mends_the_answer_may(checkout: Checkout) -> None:
    ran = await run(checkout, [answering("{}"), SEARCH, answering()])

    assert (ran.outcome.status, ran.seen.iterations, ran.seen.tool_calls) == (Status.SUCCESS, 3, 1)


async def test_a_second_invalid_answer_ends_the_attempt(checkout: Checkout) -> None:
    ran = await run(checkout, [answering("{}"), SEARCH, answering("{}")])

    assert (ran.outcome.error_type, ran.outcome.ended_by) == (ErrorType.OUTPUT_INVALID, EndedBy.FAILURE)
    assert ran.seen.repairs == 1


async def test_a_repair_at_the_last_allowed_request_is_made_without_tools(checkout: Checkout) -> None:
    ran = await run(checkout, [SEARCH, answering("{}"), answering()], cap=3)

    assert ran.requests[2]["tool_choice"] == {"type": "none"}
    texts = [block["text"] for block in ran.requests[2]["messages"][-1]["content"]]
    assert ["not the report" in texts[0], "answer now" in texts[1]] == [True, True]
    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.SUCCESS, EndedBy.ITERATION_CAP)


async def test_without_room_for_it_there_is_no_repair(checkout: Checkout) -> None:
    ran = await run(checkout, [SEARCH, answering("{}")], cap=2)

    assert (ran.outcome.error_type, ran.seen.repairs) == (ErrorType.ITERATION_CAP, 0)


async def test_the_answer_at_a_cap_of_tools_may_be_mended_while_requests_are_left(checkout: Checkout) -> None:
    ran = await run(checkout, [SEARCH, answering("{}"), answering()], caps={"tool_calls": 1})

    assert [request.get("tool_choice") for request in ran.requests] == [None, {"type": "none"}, {"type": "none"}]
    assert (ran.outcome.status, ran.outcome.ended_by) == (Status.SUCCESS, EndedBy.TOOL_CALL_CAP)


async def test_an_empty_answer_is_asked_for_again_without_being_sent_back(checkout: Checkout) -> None:
    ran = await run(checkout, [answering(""), answering()])

    assert [message["role"] for message in ran.requests[1]["messages"]] == ["user"]
    assert ran.outcome.status is Status.SUCCESS


async def test_a_request_that_failed_without_output_is_sent_again_unchanged(checkout: Checkout) -> None:
    ran = await run(checkout, [SEARCH, BUSY, BUSY, answering()], retries=AT_ONCE)

    assert ran.requests[1] == ran.requests[2] == ran.requests[3]
    assert (ran.outcome.status, ran.seen.retries, ran.seen.iterations) == (Status.SUCCESS, 2, 2)
    assert ran.seen.usage_quality is UsageQuality.REPORTED


async def test_each_request_has_retries_of_its_own(checkout: Checkout) -> None:
    ran = await run(checkout, [BUSY, BUSY, SEARCH, BUSY, BUSY, answering()], retries=AT_ONCE)

    assert (ran.outcome.status, ran.seen.retries) == (Status.SUCCESS, 4)


async def test_a_lost_request_that_may_be_billed_leaves_the_cost_unknown(checkout: Checkout) -> None:
    ran = await run(checkout, [refused(500, "api_error"), answering()], retries=AT_ONCE)

    assert ran.outcome.status is Status.SUCCESS
    assert (ran.seen.iterations, ran.seen.usage_quality, ran.seen.cost_nanousd) == (2, UsageQuality.PARTIAL, None)
    assert ran.seen.usage.input_tokens == 100


WHOLE = reply_events([text_block("The limit")], "end_turn")
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}


@pytest.mark.parametrize(
    "broken",
    [
        streamed(WHOLE[:1], ending="cut"),
        streamed(WHOLE[:1]),
        streamed([*WHOLE[:1], OVERLOADED]),
        streamed(WHOLE[:4], ending="cut"),
    ],
)
async def test_a_reply_that_had_begun_is_never_asked_for_again(checkout: Checkout, broken: Answer) -> None:
    ran = await run(checkout, [broken], retries=AT_ONCE)

    assert (len(ran.requests), ran.seen.retries, ran.outcome.status) == (1, 0, Status.ERROR)
    assert (ran.seen.usage.input_tokens, ran.seen.usage_quality) == (100, UsageQuality.PARTIAL)


@pytest.mark.parametrize(
    "broken",
    [
        streamed([], ending="cut"),
        streamed([]),
        streamed([{"type": "ping"}], ending="cut"),
        streamed([OVERLOADED]),
    ],
)
async def test_a_stream_without_any_output_is_asked_for_again(checkout: Checkout, broken: Answer) -> None:
    ran = await run(checkout, [broken, answering()], retries=AT_ONCE)

    assert (ran.seen.retries, ran.outcome.status) == (1, Status.SUCCESS)
    assert (ran.seen.iterations, ran.seen.cost_nanousd) == (2, None)


async def test_progress_is_told_in_order_as_it_happens(checkout: Checkout) -> None:
    text = json.dumps(REPORT)
    two = calling(("toolu_1", "list_files", {}), ("toolu_2", "no_such_tool", {}))
    ran = await run(checkout, [BUSY, two, answering()], retries=AT_ONCE)

    def brief(event: Any) -> Any:
        if isinstance(event, RequestFinished):
            return event.call.stop_reason
        return RetryScheduled if isinstance(event, RetryScheduled) else event

    told = list(map(brief, ran.told))
    tools = [event for event in told if isinstance(event, ToolFinished)]
    assert sorted(tools, key=lambda event: event.failed) == [
        ToolFinished(name="list_files", failed=False),
        ToolFinished(name="no_such_tool", failed=True),
    ]
    assert [event for event in told if event not in tools] == [
        RequestStarted(ordinal=1),
        RetryScheduled,
        RequestStarted(ordinal=1),
        "tool_use",
        RequestStarted(ordinal=2),
        TextArrived(text=text[:10]),
        TextArrived(text=text[10:]),
        "end_turn",
    ]
