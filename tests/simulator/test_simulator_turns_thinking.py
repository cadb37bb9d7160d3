"""Thinking that comes back: verbatim it is taken, and in any other form it is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from simulator_driving import HAIKU, QUESTION, SONNET, TOOLS, Shop, research, results

from dispatcher.paths.messages.reply import StreamedReply
from dispatcher.simulator import Simulator

Messages = list[dict[str, Any]]
REQUEST: dict[str, Any] = {"model": SONNET, "max_tokens": 4096, "tools": TOOLS}


@pytest.fixture(scope="module")
def thinker(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A simulator whose models show their thinking on the Messages API."""
    path: Path = tmp_path_factory.mktemp("profiles") / "thinker.yml"
    path.write_text("schema: 1\nextends: built-in\ncharacter: {signs_thinking: true}\n")
    with Simulator(simulation(profiles=path)) as simulator:
        yield simulator


@pytest.fixture
def thinking(client_of: Any, thinker: Simulator) -> anthropic.Anthropic:
    return client_of(thinker)


@pytest.fixture
def history(thinking: anthropic.Anthropic, shop: Shop) -> Messages:
    """Two rounds of tool calls, as they were said."""
    messages: Messages = [{"role": "user", "content": f"<question>\n{QUESTION}\n</question>"}]
    for _ in range(2):
        reply = thinking.messages.create(messages=messages, **REQUEST)  # type: ignore[arg-type]
        messages.append({"role": "assistant", "content": [block.to_dict() for block in reply.content]})
        messages.append({"role": "user", "content": results(shop, reply)})
    return messages


def test_a_research_with_its_thinking_replayed_ends_with_a_report(thinking: anthropic.Anthropic, shop: Shop) -> None:
    messages: Messages = [say(QUESTION)]
    replies: list[anthropic.types.Message] = []
    while not replies or replies[-1].stop_reason == "tool_use":
        with thinking.messages.stream(messages=messages, **REQUEST) as stream:  # type: ignore[arg-type]
            replies.append(stream.get_final_message())
        messages.append({"role": "assistant", "content": replies[-1].content})
        messages.append({"role": "user", "content": results(shop, replies[-1])})

    assert len(replies) > 1
    assert replies[-1].stop_reason == "end_turn"
    assert all(reply.content[0].thinking and reply.content[0].signature for reply in replies)


def test_a_streamed_reply_is_put_together_with_its_thinking(thinking: anthropic.Anthropic, history: Messages) -> None:
    whole = thinking.messages.create(messages=history[:1], **REQUEST)  # type: ignore[arg-type]
    streamed = StreamedReply()
    with thinking.messages.create(messages=history[:1], **REQUEST, stream=True) as events:  # type: ignore[arg-type,call-overload]
        for event in events:
            streamed.add(event.model_dump(exclude_unset=True, by_alias=True))

    assert streamed.content == [block.to_dict() for block in whole.content]


def test_thinking_comes_back_verbatim_in_a_later_turn_too(thinking: anthropic.Anthropic, history: Messages) -> None:
    answer = thinking.messages.create(messages=[*history, say("Answer now.")], **REQUEST)  # type: ignore[arg-type]
    told = [*history, say("Answer now."), {"role": "assistant", "content": answer.content}]
    later = thinking.messages.create(messages=[*told, say("Where is the invoice made?")], **REQUEST)  # type: ignore[arg-type]

    assert later.content[0].type == "thinking"


def say(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def edited(messages: Messages) -> None:
    messages[3]["content"][0]["thinking"] += " "


def signed_otherwise(messages: Messages) -> None:
    messages[3]["content"][0]["signature"] = messages[1]["content"][0]["signature"]


def left_out(messages: Messages) -> None:
    del messages[3]["content"][0]


def left_out_long_ago(messages: Messages) -> None:
    del messages[1]["content"][0]


def moved_to_the_end(messages: Messages) -> None:
    messages[3]["content"].append(messages[3]["content"].pop(0))


def swapped(messages: Messages) -> None:
    first, second = messages[1]["content"], messages[3]["content"]
    first[0], second[0] = second[0], first[0]


def said_twice(messages: Messages) -> None:
    messages[3]["content"].insert(0, messages[3]["content"][0])


def in_another_conversation(messages: Messages) -> None:
    messages[0]["content"] = "Where is the invoice made?"


CHANGES: dict[Callable[[Messages], None], str] = {
    edited: "Invalid `signature` in `thinking` block",
    signed_otherwise: "Invalid `signature` in `thinking` block",
    left_out: "Expected `thinking` or `redacted_thinking`, but found",
    left_out_long_ago: "Expected `thinking` or `redacted_thinking`, but found",
    moved_to_the_end: "Expected `thinking` or `redacted_thinking`, but found",
    swapped: "Invalid `signature` in `thinking` block",
    said_twice: "cannot be modified",
    in_another_conversation: "Invalid `signature` in `thinking` block",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_thinking_that_comes_back_changed_is_refused(
    thinking: anthropic.Anthropic, history: Messages, change: Callable[[Messages], None]
) -> None:
    changed = copy.deepcopy(history)
    change(changed)

    assert thinking.messages.create(messages=history, **REQUEST).content  # type: ignore[arg-type]
    with pytest.raises(anthropic.BadRequestError, match=CHANGES[change]):
        thinking.messages.create(messages=changed, **REQUEST)  # type: ignore[arg-type]


def test_another_model_refuses_thinking_that_is_not_its_own(thinking: anthropic.Anthropic, history: Messages) -> None:
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        thinking.messages.create(messages=history, **{**REQUEST, "model": HAIKU})  # type: ignore[arg-type]


def test_a_moved_cache_marker_changes_no_conversation(thinking: anthropic.Anthropic, history: Messages) -> None:
    marked = copy.deepcopy(history)
    text = {"type": "text", "text": marked[0]["content"], "cache_control": {"type": "ephemeral"}}
    marked[0]["content"] = [text]

    assert thinking.messages.create(messages=marked, **REQUEST).content  # type: ignore[arg-type]


def test_switched_off_thinking_is_neither_shown_nor_asked_back(
    thinking: anthropic.Anthropic, history: Messages
) -> None:
    off: dict[str, Any] = {**REQUEST, "thinking": {"type": "disabled"}}
    bare = [
        {**one, "content": [block for block in one["content"] if block["type"] != "thinking"]}
        if one["role"] == "assistant"
        else one
        for one in history
    ]
    reply = thinking.messages.create(messages=bare, **off)  # type: ignore[arg-type]

    assert "thinking" not in {block.type for block in reply.content}


def test_the_built_in_profiles_show_no_thinking(client: anthropic.Anthropic, shop: Shop) -> None:
    replies, _ = research(client, shop)

    assert {block.type for reply in replies for block in reply.content} <= {"text", "tool_use"}
