"""The events of a stream, however its bytes are cut, and what is no event."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic, AsyncStream
from hypothesis import given
from hypothesis import strategies as st
from scripted_provider import reply_events, text_block

from dispatcher.paths.stream_events import ErrorEvent, wire_events

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/messages")
CLIENT = AsyncAnthropic(api_key="k", base_url="http://127.0.0.1")


async def events_of(body: bytes, cuts: Sequence[int] = ()) -> list[Any]:
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]

    async def pieces() -> AsyncIterator[bytes]:
        for begin, end in itertools.pairwise(places):
            yield body[begin:end]

    response = httpx2.Response(200, request=REQUEST, content=pieces())
    stream: AsyncStream[Any] = AsyncStream(cast_to=object, response=response, client=CLIENT)
    return [event async for event in wire_events(stream)]


def framed(events: Sequence[Any], line: str = "\n") -> bytes:
    frames = (
        f"event: {event['type']}{line}data: {json.dumps(event, ensure_ascii=False)}{line}{line}" for event in events
    )
    return "".join(frames).encode()


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)


@given(texts, st.lists(st.integers(0, 2000), max_size=8), st.sampled_from(["\n", "\r\n"]))
async def test_any_cut_of_the_bytes_gives_the_same_events(text: str, cuts: list[int], line: str) -> None:
    """The text may hold any character, also those at which Python splits lines and event streams don't."""
    events = reply_events([text_block(text, text)], "end_turn")
    expected = [event for event in events if event["type"] != "ping"]

    assert await events_of(framed(events, line), cuts) == expected


async def test_keep_alives_comments_and_frames_without_a_name_are_no_events() -> None:
    body = (
        b': hello\n\nevent: ping\ndata: {"type": "ping"}\n\ndata: {"type": "message_stop"}\n\nevent: message_stop\n\n'
    )

    assert await events_of(body) == []


async def test_an_event_that_is_no_object_is_empty() -> None:
    assert await events_of(b"event: news\ndata: [1]\n\nevent: news\ndata: 7\n\n") == [{}, {}]


async def test_a_stream_that_is_cut_in_an_event_ends_before_it() -> None:
    body = framed(reply_events([], "end_turn"))

    assert len(await events_of(body[:-1])) == len(await events_of(body)) - 1


@pytest.mark.parametrize("data", ['{"type": ', "[" * 100_000, "<html>"])
async def test_what_is_no_json_is_broken_json(data: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        await events_of(f"event: message_start\ndata: {data}\n\n".encode())


async def test_an_error_event_is_raised_with_what_it_says() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    with pytest.raises(ErrorEvent) as raised:
        await events_of(framed([*reply_events([], "end_turn")[:1], error]))

    assert raised.value.error == error["error"]


@pytest.mark.parametrize("body", ['"text"', "[]", '{"error": 3}'])
async def test_an_error_event_of_any_form_is_one(body: str) -> None:
    with pytest.raises(ErrorEvent) as raised:
        await events_of(f"event: error\ndata: {body}\n\n".encode())

    assert raised.value.error == {}
