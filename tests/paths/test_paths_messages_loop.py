"""The tool loop of the messages path: what is sent, in which order, and what is counted."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from paths_world import make_job, make_observer
from pydantic import SecretStr
from scripted_provider import Script, answering, calling, provider, reply_events, streamed, text_block, tool_block

from dispatcher.action.observation import EndedBy, ErrorType, Status, Usage, UsageQuality
from dispatcher.action.report import report_schema
from dispatcher.paths.claude import Claude
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.timing import Marker

SEARCH = calling(("toolu_1", "search_code", {"pattern": "LIMIT"}))
PAUSE = streamed(reply_events([text_block("one moment")], "pause_turn"))

Ran = tuple[Outcome, Observation, list[dict[str, Any]]]


async def run(checkout: Checkout, script: Script, **job: Any) -> Ran:
    observer = make_observer()
    async with provider(script) as scripted:
        claude = Claude(api_key=SecretStr("k"), base_url=scripted.base_url, simulated=False)
        outcome = await MessagesPath(claude).run(make_job(checkout, **job), observer)
    return outcome, observer.observed(), scripted.requests


async def test_every_request_offers_the_tools_and_asks_for_the_report_schema(checkout: Checkout) -> None:
    _, _, requests = await run(checkout, [SEARCH, SEARCH, answering()], max_tokens=777)

    form = {"format": {"type": "json_schema", "schema": report_schema()}}
    for request in requests:
        assert [tool["name"] for tool in request["tools"]] == ["search_code", "read_file", "list_files"]
        assert (form, 777, True) == (request["output_config"], request["max_tokens"], request["stream"])
        assert not {"temperature", "top_p", "top_k", "tool_choice"} & request.keys()


async def test_the_prompt_grows_at_its_end_only(checkout: Checkout) -> None:
    _, _, requests = await run(checkout, [SEARCH, SEARCH, answering()])

    for earlier, later in pairwise(requests):
        assert (earlier["tools"], earlier["system"]) == (later["tools"], later["system"])
        assert earlier["messages"] == later["messages"][: len(earlier["messages"])]


async def test_a_reply_goes_back_verbatim_unknown_fields_and_blocks_included(checkout: Checkout) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    deltas = [
        {"type": "thinking_delta", "thinking": "Let me"},
        {"type": "thinking_delta", "thinking": " see."},
        {"type": "signature_delta", "signature": "c2ln"},
    ]
    blocks = [
        (thinking, deltas),
        ({"type": "redacted_thinking", "data": "ZW5j"}, []),
        ({"type": "from_the_future", "payload": {"deep": [1, None]}, "text": "kept"}, []),
        text_block("I'll ", "search."),
        tool_block("toolu_1", "search_code", {"pattern": "LIMIT"}),
    ]
    _, _, requests = await run(checkout, [streamed(reply_events(blocks, "tool_use")), answering()])

    expected = [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZW5j"},
        {"type": "from_the_future", "payload": {"deep": [1, None]}, "text": "kept"},
        {"type": "text", "text": "I'll search."},
        {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "search_code",
            "input": {"pattern": "LIMIT"},
            "caller": {"type": "direct"},
        },
    ]
    assert {"role": "assistant", "content": expected} == requests[1]["messages"][1]


async def test_all_results_of_a_reply_are_one_message_in_the_order_of_the_calls(checkout: Checkout) -> None:
    calls = calling(
        ("toolu_a", "read_file", {"path": "retry.py", "start_line": 1, "end_line": 1}),
        ("toolu_b", "search_code", {"pattern": "("}),
        ("toolu_c", "no_such_tool", {}),
    )
    _, seen, requests = await run(checkout, [calls, answering()])

    results = requests[1]["messages"][2]["content"]
    assert [(result["tool_use_id"], result["is_error"]) for result in results] == [
        ("toolu_a", False),
        ("toolu_b", True),
        ("toolu_c", True),
    ]
    assert results[0]["content"][0]["text"] == "1\tLIMIT = 3"
    assert (seen.tool_calls, seen.tool_errors) == (3, 2)


@pytest.mark.parametrize("cap", [1, 2, 3])
async def test_the_last_allowed_request_cannot_call_tools_and_asks_for_the_answer(checkout: Checkout, cap: int) -> None:
    script = [SEARCH] * (cap - 1) + [answering()]
    outcome, seen, requests = await run(checkout, script, cap=cap)

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.ITERATION_CAP)
    assert cap == len(requests) == seen.iterations
    assert [None] * (cap - 1) + [{"type": "none"}] == [request.get("tool_choice") for request in requests]
    last = requests[-1]["messages"][-1]["content"]
    assert ["tool_result"] * (cap > 1) == [block["type"] for block in last if block["type"] != "text"]
    assert "answer now" in last[-1]["text"]
    assert requests[-1]["tools"] == requests[0]["tools"]


@pytest.mark.parametrize("last", [SEARCH, PAUSE, answering("not a report")])
async def test_the_cap_without_a_valid_report_is_an_error_of_its_own(checkout: Checkout, last: Any) -> None:
    outcome, seen, _ = await run(checkout, [SEARCH, last], cap=2)

    assert (
        outcome.status,
        outcome.ended_by,
        outcome.error_type,
    ) == (Status.ERROR, EndedBy.ITERATION_CAP, ErrorType.ITERATION_CAP)
    assert (seen.iterations, seen.tool_calls) == (2, 1)


async def test_a_pause_is_sent_back_unchanged_and_counts_as_a_request(checkout: Checkout) -> None:
    outcome, seen, requests = await run(checkout, [PAUSE, answering()])

    assert outcome.status == Status.SUCCESS
    assert seen.iterations == 2
    said = {"role": "assistant", "content": [{"type": "text", "text": "one moment"}]}
    assert [*requests[0]["messages"], said] == requests[1]["messages"]


async def test_a_pause_before_the_last_request_is_followed_by_the_demand_for_the_answer(checkout: Checkout) -> None:
    _, _, requests = await run(checkout, [PAUSE, answering()], cap=2)

    assert [message["role"] for message in requests[1]["messages"]] == ["user", "assistant", "user"]


def markers(request: dict[str, Any]) -> list[str]:
    places = [("tools", tool) for tool in request["tools"]] + [("system", block) for block in request["system"]]
    for at, message in enumerate(request["messages"]):
        places += [(f"{at}.{n}.{block['type']}", block) for n, block in enumerate(message["content"])]
    return [name for name, block in places if "cache_control" in block]


async def test_without_prompt_caching_no_marker_is_sent(checkout: Checkout) -> None:
    _, _, requests = await run(checkout, [SEARCH, answering()])

    assert list(map(markers, requests)) == [[], []]


async def test_caching_marks_the_prefix_and_the_two_newest_messages_of_the_users_side(checkout: Checkout) -> None:
    two = calling(("toolu_1", "list_files", {}), ("toolu_2", "list_files", {}))
    _, _, requests = await run(checkout, [two, two, two, answering()], prompt_caching=True, cap=4)

    prefix = ["tools", "system"]
    assert [
        [*prefix, "0.0.text"],
        [*prefix, "0.0.text", "2.1.tool_result"],
        [*prefix, "2.1.tool_result", "4.1.tool_result"],
        [*prefix, "4.1.tool_result", "6.1.tool_result"],
    ] == list(map(markers, requests))


async def test_usage_replaces_within_a_request_and_adds_up_over_requests(checkout: Checkout) -> None:
    split = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 10}
    first = reply_events(
        [tool_block("toolu_1", "list_files", {})],
        "tool_use",
        input_tokens=5,
        cache_read_input_tokens=7,
        cache_creation_input_tokens=40,
        cache_creation=split,
    )
    first[-2]["usage"].update(input_tokens=6, cache_creation_input_tokens=40)  # type: ignore[index]
    _, seen, _ = await run(checkout, [streamed(first), answering()])

    one = Usage(
        input_tokens=6,
        output_tokens=20,
        cache_read_input_tokens=7,
        cache_creation_input_tokens=40,
        cache_creation_5m_input_tokens=30,
        cache_creation_1h_input_tokens=10,
    )
    assert one == seen.calls[0].usage
    assert (
        seen.usage.input_tokens,
        seen.usage.output_tokens,
        seen.usage.cache_creation_input_tokens,
        seen.usage.cache_creation_5m_input_tokens,
        seen.usage.cache_creation_1h_input_tokens,
    ) == (106, 40, 40, 30, 10)
    assert seen.cost_nanousd == 106 * 3000 + 40 * 15000 + 7 * 300 + 30 * 3750 + 10 * 6000


async def test_each_call_is_kept_with_its_request_id_latency_and_fingerprint(checkout: Checkout) -> None:
    _, seen, _ = await run(checkout, [SEARCH, answering()])

    assert [(call.ordinal, call.stop_reason, call.request_id) for call in seen.calls] == [
        (1, "tool_use", "req_7"),
        (2, "end_turn", "req_7"),
    ]
    assert all(call.latency_ms is not None and call.latency_ms >= 0 for call in seen.calls)
    assert seen.prompt_fingerprint == seen.calls[0].prompt_fingerprint != seen.calls[1].prompt_fingerprint


async def test_every_marker_of_the_path_is_marked_once_and_in_order(checkout: Checkout) -> None:
    observer = make_observer()
    async with provider([SEARCH, answering()]) as scripted:
        claude = Claude(api_key=SecretStr("k"), base_url=scripted.base_url, simulated=False)
        await MessagesPath(claude).run(make_job(checkout), observer)
    split = observer.observed().first_token

    assert split.unavailable_reason is None
    marks = observer._marks
    assert sorted(marks, key=marks.get) == [Marker.READY, Marker.SESSION_DONE, Marker.FIRST_TOKEN, Marker.FIRST_TEXT]  # type: ignore[arg-type]


async def test_a_cancellation_closes_the_stream_and_keeps_what_was_counted(checkout: Checkout) -> None:
    observer = make_observer()
    begun = streamed(reply_events([text_block(json.dumps({}))], "end_turn")[:4], ending="hang")
    async with provider([begun]) as scripted:
        claude = Claude(api_key=SecretStr("k"), base_url=scripted.base_url, simulated=False)
        running = asyncio.create_task(MessagesPath(claude).run(make_job(checkout), observer))
        while Marker.FIRST_TOKEN not in observer._marks:  # noqa: ASYNC110 - the observer has no event to wait for
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.wait_for(scripted.closed.wait(), 2)
    seen = observer.observed()

    assert (seen.usage.input_tokens, seen.usage.output_tokens) == (100, None)
    assert (seen.iterations, seen.usage_quality, seen.cost_nanousd) == (1, UsageQuality.PARTIAL, None)
