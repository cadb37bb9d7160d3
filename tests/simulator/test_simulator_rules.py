"""What the Messages API refuses, and with which status."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import pytest
from simulator_driving import SONNET, TOOLS

from dispatcher.simulator import Simulator

ASK = {"role": "user", "content": "Where?"}
TOOL = TOOLS[0]
CALL = {"type": "tool_use", "id": "toolu_1", "name": "search_code", "input": {}}
CALLED = {"role": "assistant", "content": [CALL]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
ANSWERED = {"role": "user", "content": [RESULT]}
FIVE_MINUTES, ONE_HOUR = ({"cache_control": {"type": "ephemeral", "ttl": ttl}} for ttl in ("5m", "1h"))
HEADERS = {"authorization": "Bearer key-1", "anthropic-version": "2026-10-21"}


def text(value: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no max_tokens": ({"max_tokens": None}, "max_tokens: Field required"),
    "max_tokens is text": ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
    "max_tokens is negative": ({"max_tokens": -1}, "greater than or equal to 0"),
    "max_tokens above the model's": ({"max_tokens": 64_001}, "64001 > 64000"),
    "no model": ({"model": None}, "model: Field required"),
    "no messages": ({"messages": None}, "messages: Field required"),
    "messages is text": ({"messages": "Where?"}, "valid list"),
    "empty messages": ({"messages": []}, "at least one message"),
    "unknown field": ({"output_format": {}}, "output_format: Extra inputs are not permitted"),
    "temperature": ({"temperature": 1}, "temperature: this parameter was removed"),
    "top_p": ({"top_p": 1}, "top_p: this parameter was removed"),
    "top_k": ({"top_k": 1}, "top_k: this parameter was removed"),
    "assistant first": ({"messages": [{"role": "assistant", "content": "Hm"}, ASK]}, "first message must use"),
    "unknown role": ({"messages": [{"role": "tool", "content": "x"}]}, "'user' or 'assistant'"),
    "empty content": ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
    "no content": ({"messages": [{"role": "user"}]}, "content: Field required"),
    "empty text": ({"messages": [user(text(""))]}, "text content blocks must be non-empty"),
    "unknown block": ({"messages": [user({"type": "video"})]}, "`video` blocks are not permitted in user"),
    "tool_use of the user": ({"messages": [user(CALL)]}, "`tool_use` blocks are not permitted in user"),
    "citations of the user": ({"messages": [user(text(citations=[{}]))]}, "cited text blocks"),
    "document of the assistant": (
        {"messages": [ASK, {"role": "assistant", "content": [{"type": "document"}]}, ASK]},
        "document blocks are not permitted in assistant",
    ),
    "prefill": ({"messages": [ASK, {"role": "assistant", "content": "It"}]}, "assistant message prefill"),
    "empty system text": ({"system": [text("")]}, "system: text content blocks must be non-empty"),
    "call without a result": (
        {"messages": [ASK, CALLED, ASK]},
        "without `tool_result` blocks immediately after: toolu_1",
    ),
    "call at the end": ({"messages": [ASK, CALLED]}, "toolu_1"),
    "text before the result": ({"messages": [ASK, CALLED, user(text(), RESULT)]}, "immediately after: toolu_1"),
    "result without a call": ({"messages": [ASK, ANSWERED]}, "unexpected `tool_use_id`"),
    "result of an older call": ({"messages": [ASK, CALLED, ANSWERED, ANSWERED]}, "unexpected `tool_use_id`"),
    "two results of one call": ({"messages": [ASK, CALLED, user(RESULT, RESULT)]}, "must have a single result"),
    "a call's id twice": ({"messages": [ASK, CALLED, ANSWERED, CALLED, ANSWERED]}, "ids must be unique"),
    "result without an id": ({"messages": [user({"type": "tool_result"})]}, "tool_use_id: Field required"),
    "a tool's name": ({"tools": [{**TOOL, "name": "search code"}]}, "should match pattern"),
    "a tool twice": ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
    "a tool without a schema": ({"tools": [{"name": "x"}]}, "input_schema: Field required"),
    "a tool's schema": ({"tools": [{"name": "x", "input_schema": {"type": "array"}}]}, "Input should be 'object'"),
    "a strict tool": ({"tools": [{**TOOL, "strict": True}]}, "'additionalProperties' must be explicitly set"),
    "tool_choice without tools": ({"tool_choice": {"type": "auto"}}, "while providing tools"),
    "unknown tool_choice": ({"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice.type"),
    "tool_choice of no tool": ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "'x' not found"),
    "forced tool on Opus 5.5": (
        {"model": "claude-opus-5-5", "tools": [TOOL], "tool_choice": {"type": "any"}},
        "not supported on claude-opus-5-5",
    ),
    "forced tool while thinking": (
        {
            "tools": [TOOL],
            "tool_choice": {"type": "any"},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "max_tokens": 2000,
        },
        "Thinking may not be enabled",
    ),
    "thinking on 4.7": (
        {"model": "claude-opus-4-7", "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
        "not supported on claude-opus-4-7",
    ),
    "no thinking on Opus 5.5": ({"model": "claude-opus-5-5", "thinking": {"type": "disabled"}}, "cannot be disabled"),
    "small thinking budget": ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "equal to 1024"),
    "thinking budget above max_tokens": (
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        "must be greater than `thinking.budget_tokens`",
    ),
    "five markers": ({"system": [text(**FIVE_MINUTES) for _ in range(5)]}, "maximum of 4 blocks with cache_control"),
    "four markers and the automatic one": (
        {"system": [text(**FIVE_MINUTES) for _ in range(4)], **FIVE_MINUTES},
        "leave no room",
    ),
    "one hour after five minutes": (
        {"tools": [{**TOOL, **FIVE_MINUTES}], "system": [text(**ONE_HOUR)]},
        "must not come after a ttl='5m'",
    ),
    "automatic hour after five minutes": ({"system": [text(**FIVE_MINUTES)], **ONE_HOUR}, "must not come after"),
    "automatic marker on another ttl": ({"messages": [user(text(**ONE_HOUR))], **FIVE_MINUTES}, "another ttl"),
    "unknown ttl": ({"system": [text(cache_control={"type": "ephemeral", "ttl": "1d"})]}, "ephemeral.ttl"),
    "unknown marker": ({"system": [text(cache_control={"type": "forever"})]}, "should be 'ephemeral'"),
    "open schema": (
        form({"type": "object", "properties": {}}),
        "'additionalProperties' must be explicitly set to false",
    ),
    "open schema inside": (form(closed(x={"type": "array", "items": {"type": "object"}})), "properties.x.items"),
    "constraint": (form(closed(x={"type": "integer", "minimum": 1})), "'minimum' is not supported"),
    "minItems": (form(closed(x={"type": "array", "items": {"type": "string"}, "minItems": 2})), "'minItems' values"),
    "recursion": (
        form({**closed(x={"$ref": "#/$defs/A"}), "$defs": {"A": closed(a={"$ref": "#/$defs/A"})}}),
        "recursive schemas",
    ),
    "dangling reference": (form(closed(x={"$ref": "#/$defs/A"})), "can't be resolved"),
    "unknown format": ({"output_config": {"format": {"type": "json"}}}, "should be 'json_schema'"),
    "unknown effort": ({"output_config": {"effort": "huge"}}, "output_config.effort"),
    "service tier": ({"service_tier": "priority"}, "'auto' or 'standard_only'"),
    "blank stop sequence": ({"stop_sequences": [" "]}, "non-whitespace"),
}

ACCEPTED: dict[str, dict[str, Any]] = {
    "prefill on 4.5": {"model": "claude-haiku-4-5", "messages": [ASK, {"role": "assistant", "content": "It"}]},
    "a dated alias": {"model": "claude-haiku-4-5-20251001"},
    "four markers": {"system": [text(**ONE_HOUR), text(**ONE_HOUR), text(**FIVE_MINUTES), text(**FIVE_MINUTES)]},
    "automatic marker on the same ttl": {"messages": [user(text(**FIVE_MINUTES))], **FIVE_MINUTES},
    "text after results": {"messages": [ASK, CALLED, user(RESULT, text("Answer now."))]},
    "two users in a row": {"messages": [ASK, ASK]},
    "forced tool on 4.6": {"tools": [TOOL], "tool_choice": {"type": "any"}},
    "a closed schema": form(closed(x={"type": "array", "items": {"type": "string"}, "minItems": 1})),
}


def post(simulator: Simulator, body: dict[str, Any], **headers: str) -> httpx2.Response:
    base = {"model": SONNET, "max_tokens": 50, "messages": [ASK]}
    sent = {name: value for name, value in {**base, **body}.items() if value is not None}
    return httpx2.post(f"{simulator.base_url}/v1/messages", json=sent, headers={**HEADERS, **headers})


@pytest.fixture(scope="module")
def wire() -> Any:
    with httpx2.Client(headers=HEADERS, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("rule", REFUSED)
def test_the_api_refuses(rule: str, shared: Simulator, wire: httpx2.Client) -> None:
    change, expected = REFUSED[rule]
    base = {"model": SONNET, "max_tokens": 50, "messages": [ASK]}
    sent = {name: value for name, value in {**base, **change}.items() if value is not None}
    response = wire.post(f"{shared.base_url}/v1/messages", json=sent)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert expected in response.json()["error"]["message"]


@pytest.mark.parametrize("rule", ACCEPTED)
def test_the_api_accepts(rule: str, shared: Simulator, wire: httpx2.Client) -> None:
    base = {"model": SONNET, "max_tokens": 50, "messages": [ASK]}
    response = wire.post(f"{shared.base_url}/v1/messages", json={**base, **ACCEPTED[rule]})

    assert response.status_code == 200, response.text


def test_sampling_parameters_are_still_taken_by_the_older_version(shared: Simulator) -> None:
    assert post(shared, {"temperature": 1}, **{"anthropic-version": "2023-06-01"}).status_code == 200


@pytest.mark.parametrize("version", ["2030-01-01", ""])
def test_an_unknown_version_is_refused(shared: Simulator, version: str) -> None:
    assert post(shared, {}, **{"anthropic-version": version}).status_code == 400


def test_a_missing_version_is_refused(shared: Simulator) -> None:
    response = httpx2.post(f"{shared.base_url}/v1/messages", json={}, headers={"x-api-key": "k"})

    assert response.json()["error"]["message"] == "anthropic-version: header is required"


@pytest.mark.parametrize("raw", ["{", "[]", "null", '{"max_tokens": NaN}', '{"model": "\\ud800"}'])
def test_a_body_that_is_no_object_is_refused(shared: Simulator, raw: str) -> None:
    response = httpx2.post(f"{shared.base_url}/v1/messages", content=raw, headers=HEADERS)

    assert response.status_code == 400


def test_the_sdk_raises_what_it_should(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="at least one message"):
        client.messages.create(model=SONNET, max_tokens=9, messages=[])
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="claude-0", max_tokens=9, messages=[{"role": "user", "content": "x"}])


def test_a_missing_credential_is_401(shared: Simulator) -> None:
    response = httpx2.post(f"{shared.base_url}/v1/messages", json={})

    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
