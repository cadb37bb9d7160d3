"""Putting a streamed reply together, as a pure function of its events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_provider import reply_events, text_block, tool_block

from dispatcher.action.observation import Usage
from dispatcher.paths.claude import UnexpectedReply
from dispatcher.paths.messages.reply import StreamedReply, tool_uses_in

TOOL_INPUT = {"pattern": 'a"b\\c é \n', "path_glob": None, "n": [1, 2.5, {"x": True}]}
text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


def assembled(events: Sequence[Any]) -> StreamedReply:
    reply = StreamedReply()
    for event in events:
        reply.add(event)
    return reply


def split_at(whole: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    return [whole[begin:end] for begin, end in pairwise(places)]


@given(text, text, st.lists(st.integers(0, 60), max_size=8), st.lists(st.integers(0, 60), max_size=8))
def test_any_split_of_the_deltas_gives_the_same_reply(
    said: str, thought: str, one: list[int], other: list[int]
) -> None:
    def reply(cuts: Sequence[int]) -> list[dict[str, Any]]:
        written = json.dumps(TOOL_INPUT)
        blocks = [
            (
                {"type": "thinking", "thinking": "", "signature": ""},
                [{"type": "thinking_delta", "thinking": part} for part in split_at(thought, cuts)],
            ),
            text_block(*split_at(said, cuts)),
            (
                {"type": "tool_use", "id": "t", "name": "search_code", "input": {}},
                [{"type": "input_json_delta", "partial_json": part} for part in split_at(written, cuts)],
            ),
        ]
        return assembled(reply_events(blocks, "tool_use")).content

    assert reply(one) == reply(other)
    assert [thought, said, TOOL_INPUT] == [
        reply(one)[0]["thinking"],
        reply(one)[1]["text"],
        reply(one)[2]["input"],
    ]


@given(st.permutations([0, 1, 2]))
def test_interleaved_blocks_come_out_by_index(order: list[int]) -> None:
    start = reply_events([], None)[:2]
    begun = [
        {"type": "content_block_start", "index": at, "content_block": {"type": "text", "text": ""}} for at in order
    ]
    said = [
        {"type": "content_block_delta", "index": at, "delta": {"type": "text_delta", "text": str(at)}} for at in order
    ]

    assert assembled([*start, *begun, *said]).text == "012"


json_values = st.sampled_from([None, True, -1, 0, 7, 1.5, "", "x", "end_turn", [], [1], {}, {"type": 3}, {"usage": []}])
kinds = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
)
events_of_any_form = st.lists(
    st.fixed_dictionaries(
        {"type": kinds | st.text(max_size=5) | json_values},
        optional={
            "index": st.integers(0, 2) | json_values,
            "message": json_values,
            "content_block": json_values,
            "delta": st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["text_delta", "input_json_delta", "signature_delta", "citations_delta"])
                    | json_values
                },
                optional={"text": json_values, "partial_json": json_values, "citation": json_values},
            )
            | json_values,
            "usage": st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), json_values) | json_values,
        },
    ),
    max_size=12,
)


@settings(max_examples=100)
@given(events_of_any_form)
def test_events_of_any_form_end_in_a_reply_or_an_unexpected_reply(events: list[dict[str, Any]]) -> None:
    reply = StreamedReply()
    try:
        for event in events:
            reply.add(event)
        json.dumps(reply.content)
        tool_uses_in(reply.content)
    except UnexpectedReply:
        pass
    json.dumps(reply.partial, allow_nan=False).encode()
    assert reply.begun == bool(events)
    assert isinstance(reply.text, str)
    assert reply.usage is None or (reply.usage.input_tokens or 0) >= 0


@pytest.mark.parametrize("kept", range(9))
def test_only_message_stop_completes_a_reply(kept: int) -> None:
    events = reply_events([text_block("a", "b")], "end_turn")

    assert assembled(events[:kept]).complete == (kept == len(events))


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "message_stop"}],
        [*reply_events([], "end_turn"), {"type": "message_delta", "delta": {}}],
        [reply_events([], None)[0]] * 2,
        [reply_events([], None)[0], {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}}],
        [reply_events([], None)[0], *[{"type": "content_block_start", "index": 0, "content_block": {}}] * 2],
    ],
)
def test_events_in_an_impossible_order_are_refused(events: list[Any]) -> None:
    with pytest.raises(UnexpectedReply):
        assembled(events)


@pytest.mark.parametrize("kind", [[], {}, ["text_delta"], None, 3])
def test_a_type_that_is_no_word_is_an_unknown_one(kind: Any) -> None:
    block = ({"type": "text", "text": ""}, [{"type": kind}])
    reply = assembled([{"type": kind}, *reply_events([block], "end_turn")])

    assert reply.complete
    with pytest.raises(UnexpectedReply):
        _ = reply.content


def test_a_reply_that_never_ends_is_not_taken_in_without_end() -> None:
    block = ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "x" * 1_000_000}] * 20)
    with pytest.raises(UnexpectedReply):
        assembled(reply_events([block], "end_turn"))


def test_unknown_events_are_passed_over_and_unknown_deltas_only_forbid_going_on() -> None:
    block = ({"type": "text", "text": ""}, [{"type": "from_the_future"}, {"type": "text_delta", "text": "x"}])
    events = reply_events([block], "end_turn")
    reply = assembled([*events[:2], {"type": "news"}, *events[2:]])

    assert (reply.text, reply.complete) == ("x", True)
    with pytest.raises(UnexpectedReply):
        _ = reply.content


def test_a_tool_call_without_input_keeps_what_its_block_began_with() -> None:
    block = ({"type": "tool_use", "id": "t", "name": "list_files", "input": {}}, [])

    assert tool_uses_in(assembled(reply_events([block], "tool_use")).content)[0].input == {}


@pytest.mark.parametrize("lacking", ["id", "name", "input"])
def test_a_tool_call_that_lacks_a_part_is_refused(lacking: str) -> None:
    start, _ = tool_block("t", "list_files", {})
    less = {key: value for key, value in start.items() if key != lacking}
    content = assembled(reply_events([(less, [])], "tool_use")).content

    with pytest.raises(UnexpectedReply):
        tool_uses_in(content)


def test_what_broke_off_is_told_without_the_tool_call_that_is_not_whole() -> None:
    blocks = [
        text_block("Let me ", "see."),
        tool_block("t1", "list_files", {}),
        tool_block("t2", "list_files", {"a": 1}),
    ]
    events = reply_events(blocks, "tool_use")
    begun = next(at for at, event in enumerate(events) if event.get("index") == 2)

    told = [
        [block["type"] for block in assembled(events[:kept]).partial] for kept in (0, 3, begun, begun + 2, begun + 4)
    ]
    assert told == [[], ["text"], ["text", "tool_use"], ["text", "tool_use"], ["text", "tool_use", "tool_use"]]


def usage_after(start: dict[str, Any], delta: dict[str, Any] | None) -> Usage | None:
    reply = StreamedReply()
    reply.add({"type": "message_start", "message": {"usage": start}})
    if delta is not None:
        reply.add({"type": "message_delta", "delta": {}, "usage": delta})
    return reply.usage


def test_web_searches_are_what_the_provider_told_last() -> None:
    """Like tokens, later figures are totals; what is no count, or absent, changes nothing."""
    reply = StreamedReply()
    told = [reply.web_searches]
    for tools in ({"web_search_requests": 1}, None, {"web_search_requests": "2"}, {"web_search_requests": 3}):
        reply.add({"type": "message_start", "message": {}} if not reply.begun else _usage_delta(tools))
        told.append(reply.web_searches)
    reply.add(_usage_delta({"web_search_requests": 1}))

    assert [*told, reply.web_searches] == [0, 0, 0, 0, 3, 1]


def _usage_delta(tools: object) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1, "server_tool_use": tools}}


def test_output_tokens_are_unknown_until_counted() -> None:
    assert usage_after({"input_tokens": 3, "output_tokens": 1}, None) == Usage(input_tokens=3)
    assert usage_after({"input_tokens": 3, "output_tokens": 1}, {"output_tokens": 0}) == Usage(
        input_tokens=3, output_tokens=0
    )


def test_a_null_at_the_end_does_not_unlearn_what_the_start_told() -> None:
    delta = {"output_tokens": 9, "input_tokens": None, "cache_read_input_tokens": None}
    usage = usage_after({"input_tokens": 3, "cache_read_input_tokens": 4}, delta)

    assert usage == Usage(input_tokens=3, output_tokens=9, cache_read_input_tokens=4)


def test_a_split_that_does_not_add_up_to_the_later_total_is_unknown() -> None:
    start = {
        "cache_creation_input_tokens": 10,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 0},
    }
    usage = usage_after(start, {"cache_creation_input_tokens": 12})

    assert usage == Usage(cache_creation_input_tokens=12)


def test_nothing_reported_is_no_usage_and_zero_is_zero() -> None:
    assert usage_after({}, {}) is None
    assert usage_after({"input_tokens": 0}, None) == Usage(input_tokens=0)


@pytest.mark.parametrize("told", [2**63, 10**30, -1, True, 1.5, "7"])
def test_a_count_that_no_column_holds_is_unknown(told: Any) -> None:
    events = reply_events([text_block("a")], "end_turn", input_tokens=told)

    assert assembled(events).usage == Usage(
        output_tokens=20,
        cache_read_input_tokens=0,
        cache_creation_input_tokens=0,
        cache_creation_5m_input_tokens=0,
        cache_creation_1h_input_tokens=0,
    )


def test_a_reason_and_a_model_that_no_column_holds_are_made_to_fit() -> None:
    events = reply_events([text_block("a")], "end\ud800" + "x" * 200)
    start = {**events[0], "message": {**events[0]["message"], "model": "m\x00" + "x" * 200}}
    reply = assembled([start, *events[1:]])

    assert (reply.stop_reason, reply.model) == ("end\ufffd" + "x" * 116, "m\ufffd" + "x" * 118)
