"""Replies that contradict themselves, or hold what nobody can go on with: never a success, never a crash."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from messages_world import run
from paths_world import make_job, make_observer
from pydantic import SecretStr
from scripted_provider import (
    REPORT,
    Answer,
    answering,
    calling,
    provider,
    refused,
    reply_events,
    streamed,
    text_block,
    tool_block,
)

from dispatcher.action.observation import ErrorType, Status, UsageQuality
from dispatcher.paths.claude import Claude
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.repository.checkout import Checkout

TEXT = json.dumps(REPORT)
SEARCH = tool_block("toolu_1", "search_code", {"pattern": "LIMIT"})
KEY = "tok_9aZ8yX7wV6uT5sR4qP3oN2m"


def without(kind: str, events: list[Any]) -> list[Any]:
    return [event for event in events if event["type"] != kind]


def moved(events: list[Any], kind: str, place: int) -> list[Any]:
    rest = without(kind, events)
    return [*rest[:place], *(event for event in events if event["type"] == kind), *rest[place:]]


WHOLE = reply_events([text_block(TEXT)], "end_turn")
REFUSED = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 20}}
AFTERWARDS = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " "}}
CONTRADICTIONS = {
    "a tool call beside the end of the turn": reply_events([text_block(TEXT), SEARCH], "end_turn"),
    "a tool call beside a pause": reply_events([SEARCH], "pause_turn"),
    "a block without its end": without("content_block_stop", WHOLE),
    "a block that goes on after its end": [*WHOLE[:-2], AFTERWARDS, *WHOLE[-2:]],
    "text after the reason to stop": moved(WHOLE, "message_delta", 1),
    "a block that is missing": [
        event for event in reply_events([text_block("not: "), text_block(TEXT)], "end_turn") if event.get("index") != 0
    ],
    "two reasons to stop": [*WHOLE[:-2], REFUSED, *WHOLE[-2:]],
}


@pytest.mark.parametrize("events", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
async def test_a_reply_that_contradicts_itself_is_no_success_and_is_not_gone_on_with(
    checkout: Checkout, events: list[Any]
) -> None:
    ran = await run(checkout, [streamed(events), answering()])

    assert (ran.outcome.status, ran.outcome.error_type) == (Status.ERROR, ErrorType.UNEXPECTED_REPLY)
    assert (len(ran.requests), ran.seen.tool_calls) == (1, 0)


@pytest.mark.parametrize(
    "usage",
    [
        {"cache_read_input_tokens": None},
        {"cache_creation_input_tokens": None},
        {"cache_creation_input_tokens": 500, "cache_creation": None},
        {"input_tokens": -5},
        {"input_tokens": 2**40},
    ],
)
async def test_usage_without_a_price_is_not_called_reported(checkout: Checkout, usage: dict[str, Any]) -> None:
    ran = await run(checkout, [streamed(reply_events([text_block(TEXT)], "end_turn", **usage))])

    assert (ran.outcome.status, ran.seen.cost_nanousd) == (Status.SUCCESS, None)
    assert ran.seen.usage_quality == UsageQuality.PARTIAL


async def test_two_tool_calls_with_one_id_are_not_run(checkout: Checkout) -> None:
    twice = ("toolu_1", "search_code", {"pattern": "LIMIT"})
    ran = await run(checkout, [calling(twice, twice), answering()])

    assert ran.outcome.error_type == ErrorType.UNEXPECTED_REPLY
    assert ran.seen.tool_calls == 0


@pytest.mark.parametrize("depth", [150, *range(950, 1000, 5), 5000])
async def test_a_tool_input_nested_too_deep_to_be_sent_back_is_an_unexpected_reply(
    checkout: Checkout, depth: int
) -> None:
    start, _ = tool_block("toolu_1", "search_code", {})
    written = '{"pattern": ' + "[" * depth + "]" * depth + "}"
    block = (start, [{"type": "input_json_delta", "partial_json": written}])
    ran = await run(checkout, [streamed(reply_events([block], "tool_use")), answering()])

    assert ran.outcome.error_type == ErrorType.UNEXPECTED_REPLY


@pytest.mark.parametrize(("place", "status"), [(1, Status.ERROR), (len(WHOLE), Status.SUCCESS)])
async def test_a_number_of_too_many_digits_is_broken_json(checkout: Checkout, place: int, status: Status) -> None:
    body = streamed(WHOLE[:place]).body + b'event: news\ndata: {"type": "news", "n": ' + b"1" * 5000 + b"}\n\n"
    ran = await run(checkout, [Answer(body + streamed(WHOLE[place:]).body)])

    assert ran.outcome.status == status
    assert ran.outcome.error_type == (ErrorType.UNEXPECTED_REPLY if status == Status.ERROR else None)


async def test_an_error_is_one_under_whatever_name_its_event_came(checkout: Checkout) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
    named = streamed([error]).body.replace(b"event: error", b"event: message")
    ran = await run(checkout, [Answer(streamed(WHOLE[:3]).body + named + streamed(WHOLE[3:]).body)])

    assert (ran.outcome.status, ran.outcome.error_type) == (Status.ERROR, ErrorType.OVERLOADED)


CODED = base64.b64encode(f"user:{KEY}".encode()).decode()
ECHOES = {
    "stop reason": ([answering(stop_reason=KEY)], {}),
    "model": ([streamed([{**WHOLE[0], "message": {**WHOLE[0]["message"], "model": f"m-{KEY}"}}, *WHOLE[1:]])], {}),
    "request id": ([answering()], {"request-id": f"req-{KEY}"}),
    "kind of delta": ([streamed(reply_events([({"type": "text", "text": ""}, [{"type": KEY}])], "end_turn"))], {}),
    **{
        f"message with {echo}": ([refused(401, "authentication_error", message=f"the key {echo} is wrong")], {})
        for echo in (KEY, KEY[:20], KEY[5:], KEY.upper(), f"{KEY[:14]}\n{KEY[14:]}", KEY.encode().hex(), CODED)
    },
}


@pytest.mark.parametrize(("script", "headers"), ECHOES.values(), ids=ECHOES.keys())
async def test_a_key_that_the_provider_echoes_is_kept_nowhere(
    checkout: Checkout, script: list[Answer], headers: dict[str, str]
) -> None:
    observer = make_observer()
    async with provider(script, headers) as scripted:
        claude = Claude(api_key=SecretStr(KEY), base_url=scripted.base_url, simulated=False)
        outcome = await MessagesPath(claude).run(make_job(checkout), observer)
    kept = repr((outcome, observer.observed())).lower()

    assert "[secret]" in kept
    # The first 8 characters of the last form are those of the name before the key.
    for form in (KEY, KEY.encode().hex(), CODED[8:].rstrip("=")):
        assert not [at for at in range(len(form) - 11) if form[at : at + 12].lower() in kept]
