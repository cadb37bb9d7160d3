"""The Messages API over real HTTP, driven by the official Python SDK."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pydantic
import pytest
from simulator_driving import FORMAT, SCHEMA, SONNET, SUBMIT, TOOLS, Shop, research, results

from dispatcher.simulator import Simulator

HEADERS = {"authorization": "Bearer key-1", "anthropic-version": "2026-10-21"}
ASK = [{"role": "user", "content": "Where are feature flags evaluated?"}]


def test_a_streamed_tool_loop_ends_with_citations_that_exist(client: anthropic.Anthropic, shop: Shop) -> None:
    replies, report = research(client, shop)

    assert 3 <= len(replies) <= 8
    assert [reply.stop_reason for reply in replies[:-1]] == ["tool_use"] * (len(replies) - 1)
    assert replies[-1].stop_reason == "end_turn"
    assert shop.cites_existing_lines(report)
    assert any(finding["file"] == "src/flags.py" for finding in report["findings"])


def test_a_question_without_an_answer_is_answered_honestly(client: anthropic.Anthropic, shop: Shop) -> None:
    _, report = research(client, shop, "Where is the zorblax frobnicated?")

    assert report["summary"].startswith("Nothing was found")
    assert len(report["findings"]) == 1
    assert shop.cites_existing_lines(report)


def test_the_same_request_has_the_same_reply(client: anthropic.Anthropic, shop: Shop) -> None:
    first, second = research(client, shop), research(client, shop)

    assert [reply.content for reply in first[0]] == [reply.content for reply in second[0]]
    assert first[0][0].id != second[0][0].id


def test_another_seed_works_differently(simulation: Any, client_of: Any, shop: Shop) -> None:
    lengths = set()
    for seed in range(4):
        with Simulator(simulation(seed=seed)) as simulator:
            lengths.add(len(research(client_of(simulator), shop)[0]))

    assert len(lengths) > 1


def test_questions_differ_in_the_length_of_their_runs(client: anthropic.Anthropic, shop: Shop) -> None:
    questions = ["What does invoice return?", "Who calls evaluate_flag?", "What is tested of flags by default?"]
    lengths = {len(research(client, shop, question)[0]) for question in questions}

    assert len(lengths) > 1


@pytest.mark.parametrize("options", [{"tools": []}, {"tools": TOOLS, "tool_choice": {"type": "none"}}])
def test_without_tools_it_answers_at_once_from_what_it_has(
    client: anthropic.Anthropic, shop: Shop, options: dict[str, Any]
) -> None:
    first = client.messages.create(model=SONNET, max_tokens=900, messages=ASK, tools=TOOLS)  # type: ignore[arg-type]
    history = [*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": results(shop, first)}]
    reply = client.messages.create(model=SONNET, max_tokens=900, messages=history, output_config=FORMAT, **options)

    assert reply.stop_reason == "end_turn"
    assert shop.cites_existing_lines(json.loads(reply.content[0].text))


def test_told_to_answer_now_it_does(client: anthropic.Anthropic, shop: Shop) -> None:
    first = client.messages.create(model=SONNET, max_tokens=900, messages=ASK, tools=TOOLS)  # type: ignore[arg-type]
    now = [*results(shop, first), {"type": "text", "text": "The limit is reached, answer now."}]
    history = [*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": now}]
    reply = client.messages.create(model=SONNET, max_tokens=900, messages=history, output_config=FORMAT, tools=TOOLS)

    assert reply.stop_reason == "end_turn"


def test_a_forced_tool_is_called(client: anthropic.Anthropic) -> None:
    submit = {**SUBMIT, "type": "custom"}
    reply = client.messages.create(
        model=SONNET,
        max_tokens=900,
        messages=ASK,
        tools=[*TOOLS, submit],
        tool_choice={"type": "tool", "name": "list_files"},
    )

    assert [block.name for block in reply.content if block.type == "tool_use"] == ["list_files"]


def test_parallel_calls_can_be_switched_off(client: anthropic.Anthropic, shop: Shop) -> None:
    replies, _ = research(client, shop, tool_choice={"type": "auto", "disable_parallel_tool_use": True})

    assert all(len([b for b in reply.content if b.type == "tool_use"]) == 1 for reply in replies[:-1])


def test_prompts_without_a_format_are_answered_in_prose(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model=SONNET, max_tokens=900, messages=ASK)

    assert reply.content[0].text.startswith("Nothing was found")


def test_the_token_limit_cuts_the_reply(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model=SONNET, max_tokens=5, messages=ASK)

    assert reply.stop_reason == "max_tokens"
    assert reply.usage.output_tokens == 5
    assert len(reply.content[0].text.encode()) <= 20


def test_a_limit_of_zero_warms_the_cache_and_says_nothing(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model=SONNET, max_tokens=0, messages=ASK)

    assert (reply.stop_reason, reply.content, reply.usage.output_tokens) == ("max_tokens", [], 0)


def test_a_stop_sequence_ends_the_reply(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model=SONNET, max_tokens=900, messages=ASK, stop_sequences=["found"])

    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", "found")
    assert reply.content[0].text == "Nothing was "


def test_the_helper_for_structured_output_parses_the_answer(client: anthropic.Anthropic, shop: Shop) -> None:
    class Answer(pydantic.BaseModel):
        summary: str

    parsed = client.messages.parse(model=SONNET, max_tokens=900, messages=ASK, output_format=Answer)

    assert parsed.parsed_output.summary.startswith("Nothing was found")


def test_tokens_can_be_counted(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=SONNET, messages=ASK, tools=TOOLS)  # type: ignore[arg-type]
    reply = client.messages.create(model=SONNET, max_tokens=9, messages=ASK, tools=TOOLS)  # type: ignore[arg-type]

    assert counted.input_tokens == reply.usage.input_tokens


def frames_of(simulator: Simulator, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    """The raw frames of a streamed request: each name with its data."""
    sent = {"model": SONNET, "max_tokens": 900, "messages": ASK, "stream": True, **body}
    text = httpx2.post(f"{simulator.base_url}/v1/messages", json=sent, headers=HEADERS).text
    parts = [part.split("\n") for part in text.split("\n\n") if part]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


def test_every_frame_is_named_by_its_type_and_comes_in_order(shared: Simulator) -> None:
    frames = frames_of(shared)
    names = [name for name, _ in frames]

    assert names == [data["type"] for _, data in frames]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert names.count("content_block_delta") > 3


def test_the_split_of_cache_writes_is_told_once_and_the_rest_is_cumulative(shared: Simulator) -> None:
    frames = dict(frames_of(shared))
    start, delta = frames["message_start"]["message"]["usage"], frames["message_delta"]["usage"]

    assert start["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    assert start["output_tokens"] == 1
    assert "cache_creation" not in delta
    assert delta["output_tokens"] > 1
    assert delta["input_tokens"] == start["input_tokens"]


def test_streamed_and_whole_replies_are_the_same(client: anthropic.Anthropic) -> None:
    request: dict[str, Any] = {"model": SONNET, "max_tokens": 900, "messages": ASK, "tools": TOOLS}
    whole = client.messages.create(**request)
    with client.messages.stream(**request) as stream:
        streamed = stream.get_final_message()

    assert [block.to_dict(exclude_unset=True) for block in streamed.content] == [b.to_dict() for b in whole.content]
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_every_response_says_that_it_is_simulated_and_carries_its_id(shared: Simulator) -> None:
    url = shared.base_url
    responses = [
        httpx2.get(f"{url}/simulator"),
        httpx2.get(f"{url}/nowhere", headers=HEADERS),
        httpx2.post(f"{url}/v1/messages", json={}),
        httpx2.post(f"{url}/v1/messages", json={}, headers=HEADERS),
    ]

    assert [one.status_code for one in responses] == [200, 404, 401, 400]
    assert {one.headers["x-simulator"] for one in responses} == {"dispatcher"}
    assert {one.headers["x-simulator-time-scale"] for one in responses} == {"0"}
    assert len({one.headers["request-id"] for one in responses}) == 4


def test_errors_have_the_body_of_the_api(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="claude-nobody", max_tokens=9, messages=ASK)

    body: Any = caught.value.body
    assert (caught.value.type, caught.value.api_message) == ("not_found_error", "model: claude-nobody")
    assert body["request_id"] == caught.value.request_id


def test_both_forms_of_a_credential_are_taken(shared: Simulator) -> None:
    body = {"model": SONNET, "max_tokens": 9, "messages": ASK}
    old = {"x-api-key": "key-1", "anthropic-version": "2023-06-01"}

    for headers in (HEADERS, old):
        assert httpx2.post(f"{shared.base_url}/v1/messages?beta=true", json=body, headers=headers).status_code == 200


def test_a_schema_with_references_is_filled(client: anthropic.Anthropic) -> None:
    schema = {**SCHEMA, "$defs": {"F": SCHEMA["properties"]["findings"]["items"]}}  # type: ignore[index]
    schema["properties"] = {
        **SCHEMA["properties"],  # type: ignore[dict-item]
        "findings": {"type": "array", "items": {"$ref": "#/$defs/F"}},
        "confidence": {"type": "string", "enum": ["low", "high"]},
    }
    form: Any = {"format": {"type": "json_schema", "schema": schema}}
    reply = client.messages.create(model=SONNET, max_tokens=900, messages=ASK, output_config=form)

    assert json.loads(reply.content[0].text)["confidence"] == "low"
