"""The turns of a conversation on the messages path: replayed verbatim where that can be, else told as text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from messages_world import SEARCH, Ran, run, transcript
from scripted_provider import REPORT, answering, calling, reply_events, streamed, text_block, tool_block

from dispatcher.action.decision import PathName
from dispatcher.action.observation import Status
from dispatcher.action.transcript import Transcript, TranscriptForm
from dispatcher.paths.path import PastSession, Replay, Resume
from dispatcher.paths.repository.checkout import Checkout

THINKING = ({"type": "thinking", "thinking": "", "signature": ""}, [{"type": "signature_delta", "signature": "c2ln"}])
THOUGHTFUL = streamed(reply_events([THINKING, tool_block("toolu_1", "list_files", {})], "tool_use"))
SESSION = PastSession("sesn_1", "agent_1", 1, "claude-haiku-4-5", None, None, None, None)


async def first_turn(checkout: Checkout, **job: Any) -> Ran:
    return await run(checkout, [THOUGHTFUL, SEARCH, answering()], question="Where is the limit?", **job)


async def test_what_was_said_in_a_turn_is_whole_from_the_question_to_the_report(checkout: Checkout) -> None:
    first = await first_turn(checkout)

    said = [(message["role"], [block["type"] for block in message["content"]]) for message in first.seen.work]
    assert said == [
        ("user", ["text"]),
        ("assistant", ["thinking", "tool_use"]),
        ("user", ["tool_result"]),
        ("assistant", ["tool_use"]),
        ("user", ["tool_result"]),
        ("assistant", ["text"]),
    ]
    assert "Where is the limit?" in first.seen.work[0]["content"][0]["text"]
    assert json.loads(first.seen.work[-1]["content"][0]["text"]) == REPORT
    assert first.seen.transcript_form is TranscriptForm.NATIVE


@pytest.mark.parametrize("resumes", [False, True])
async def test_a_later_turn_replays_the_earlier_ones_verbatim_and_asks_at_the_end(
    checkout: Checkout, *, resumes: bool
) -> None:
    first = await first_turn(checkout)
    earlier = transcript(first)
    seed = Resume(SESSION, earlier) if resumes else Replay(earlier)
    second = await run(checkout, [SEARCH, answering()], question="And why?", seed=seed)

    asked = second.requests[0]["messages"]
    assert [*first.requests[2]["messages"], first.seen.work[-1]] == asked[:-1]
    assert asked[-1]["role"] == "user"
    assert asked[-1]["content"][0]["text"].endswith("<question>\nAnd why?\n</question>")
    assert (first.requests[0]["tools"], first.requests[0]["system"]) == (
        second.requests[0]["tools"],
        second.requests[0]["system"],
    )
    assert second.seen.transcript_form is TranscriptForm.NATIVE


async def test_a_later_turn_hands_on_its_own_messages_alone_and_a_third_replays_both(checkout: Checkout) -> None:
    first = await first_turn(checkout)
    second = await run(checkout, [SEARCH, answering()], question="And why?", seed=Replay(transcript(first)))
    third = await run(checkout, [answering()], question="Since when?", seed=Replay(transcript(first, second)))

    assert second.seen.work == (*second.requests[1]["messages"][-3:], second.seen.work[-1])
    assert third.requests[0]["messages"][:-1] == [*first.seen.work, *second.seen.work]


def elsewhere(earlier: Transcript, **change: Any) -> Transcript:
    return Transcript(tuple(replace(turn, **change) for turn in earlier.turns))


@pytest.mark.parametrize("change", [{"model": "claude-haiku-4-5"}, {"path": PathName.MANAGED}])
async def test_turns_of_another_model_or_path_are_told_as_text_and_said_to_be(
    checkout: Checkout, change: dict[str, Any]
) -> None:
    first = await first_turn(checkout)
    seed = Replay(elsewhere(transcript(first), **change))
    second = await run(checkout, [SEARCH, answering()], question="And why?", seed=seed)

    (asked,) = second.requests[0]["messages"]
    told = asked["content"][0]["text"]
    for part in ("Where is the limit?", "search_code", "LIMIT = 3", REPORT["summary"]):
        assert str(part) in told
    assert told.startswith("<earlier_turns>\n<turn>\n<asked>\nWhere is the limit?\n</asked>")
    assert told.endswith("<question>\nAnd why?\n</question>")
    assert second.outcome.status is Status.SUCCESS
    assert second.seen.transcript_form is TranscriptForm.FLATTENED


async def test_a_cut_off_turn_tells_what_was_said_up_to_there(checkout: Checkout) -> None:
    events = reply_events([text_block("The limit ", "is"), tool_block("toolu_2", "list_files", {})], "tool_use")
    cut = streamed(events[:5], ending="cut")
    ran = await run(checkout, [SEARCH, cut])

    assert [message["role"] for message in ran.seen.work] == ["user", "assistant", "user", "assistant"]
    assert ran.seen.work[-1]["content"] == [{"type": "text", "text": "The limit is"}]


@pytest.mark.parametrize("stop_reason", ["refusal", "max_tokens", "something_new"])
async def test_a_reply_that_is_no_answer_is_told_too(checkout: Checkout, stop_reason: str) -> None:
    ran = await run(checkout, [answering("I won't.", stop_reason=stop_reason)])

    assert [block["text"] for block in ran.seen.work[-1]["content"]] == ["I won't."]


async def test_an_empty_text_is_not_sent_back(checkout: Checkout) -> None:
    """The API writes one now and then, and refuses it."""
    blocks = [text_block(""), tool_block("toolu_1", "list_files", {})]
    ran = await run(checkout, [streamed(reply_events(blocks, "tool_use")), answering()])

    assert [block["type"] for block in ran.requests[1]["messages"][1]["content"]] == ["tool_use"]


async def test_the_newest_question_and_the_newest_results_of_the_turn_before_are_marked(checkout: Checkout) -> None:
    first = await first_turn(checkout, prompt_caching=True)
    seed = Replay(transcript(first))
    second = await run(checkout, [SEARCH, answering()], question="And why?", seed=seed, prompt_caching=True)

    def marked(request: dict[str, Any]) -> list[int]:
        messages = request["messages"]
        return [n for n, message in enumerate(messages) if any("cache_control" in b for b in message["content"])]

    assert marked(first.requests[-1]) == [2, 4]
    assert list(map(marked, second.requests)) == [[4, 6], [6, 8]]
    assert not [block for message in second.seen.work for block in message["content"] if "cache_control" in block]


async def test_tools_of_an_earlier_turn_do_not_count_towards_this_ones_cap(checkout: Checkout) -> None:
    first = await run(checkout, [calling(*[(f"t{n}", "list_files", {}) for n in range(3)]), answering()])
    second = await run(checkout, [SEARCH, answering()], seed=Replay(transcript(first)), caps={"tool_calls": 2})

    assert (second.seen.tool_calls, second.outcome.ended_by.value) == (1, "completed")
