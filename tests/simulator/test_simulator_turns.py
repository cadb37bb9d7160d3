"""Later turns: the newest question is answered, with what the earlier ones have shown."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from simulator_driving import FORMAT, SONNET, TOOLS, Bench, Shop, accepted, bench, message, results

from dispatcher.action.decision import PathName
from dispatcher.action.transcript import Transcript, Turn
from dispatcher.paths.prompt import question_text
from dispatcher.simulator.model.conversation import read_conversation
from dispatcher.simulator.model.planner import reply_to
from dispatcher.simulator.model.request import ModelRequest
from dispatcher.simulator.profiles import Habits

FIRST, AGAIN, OTHER = (
    "Where are feature flags evaluated?",
    "What does `evaluate_flag` return for a tenant?",
    "Where is the new invoice chosen?",
)
Messages = list[dict[str, Any]]


def prompt(question: str, replies: int = 50) -> str:
    return f"<limit>\nYour replies are limited to {replies}.\n</limit>\n\n<question>\n{question}\n</question>"


def turn(
    client: anthropic.Anthropic, shop: Shop, messages: Messages, text: str
) -> tuple[Messages, dict[str, Any], int]:
    """One turn on the Messages API: the messages with it, the report, and how many tools it called."""
    messages, calls = [*messages, {"role": "user", "content": text}], 0
    while True:
        request: Any = {"model": SONNET, "max_tokens": 4096, "tools": TOOLS, "output_config": FORMAT}
        reply = client.messages.create(messages=messages, **request)  # type: ignore[arg-type]
        messages.append({"role": "assistant", "content": [block.to_dict() for block in reply.content]})
        if reply.stop_reason != "tool_use":
            return messages, json.loads(reply.content[0].text), calls
        calls += sum(block.type == "tool_use" for block in reply.content)
        messages.append({"role": "user", "content": results(shop, reply)})


def test_the_newest_question_is_answered_with_fewer_tools_than_alone(client: anthropic.Anthropic, shop: Shop) -> None:
    _, _, alone = turn(client, shop, [], prompt(AGAIN))
    before, _, _ = turn(client, shop, [], prompt(FIRST))
    after, report, calls = turn(client, shop, before, prompt(AGAIN))

    assert calls < alone
    assert AGAIN in report["summary"]
    assert shop.cites_existing_lines(report)
    assert after[: len(before)] == before


def test_what_no_earlier_turn_has_shown_is_looked_for(client: anthropic.Anthropic, shop: Shop) -> None:
    before, _, _ = turn(client, shop, [], prompt("Where does checkout pay?"))
    _, report, calls = turn(client, shop, before, prompt(OTHER))

    assert calls > 0
    assert "src/billing.py" in {finding["file"] for finding in report["findings"]}
    assert shop.cites_existing_lines(report)


def flattened(*earlier: str, question: str) -> str:
    turns = tuple(
        Turn(question=one, path=PathName.MANAGED, model=SONNET, answer='{"summary": "Is it not?"}', messages=())
        for one in earlier
    )
    return question_text(question, replies=50, earlier=Transcript(turns))


def test_of_a_flattened_history_only_the_question_after_it_is_answered(client: anthropic.Anthropic, shop: Shop) -> None:
    _, report, calls = turn(client, shop, [], flattened(FIRST, AGAIN, question=OTHER))

    assert OTHER in report["summary"]
    assert shop.cites_existing_lines(report)
    assert (report, calls) == turn(client, shop, [], question_text(OTHER, replies=50))[1:]


def test_a_short_question_after_a_flattened_history_borrows_from_the_one_before() -> None:
    conversation = read_conversation([{"role": "user", "content": flattened(OTHER, FIRST, question="And the tests?")}])

    assert conversation.context == FIRST
    assert FIRST not in conversation.question


def research(text: str, *, earlier: int, now: int, seed: int) -> bool:
    """Whether the model answers in its next reply, so many rounds into the first turn and the second."""
    messages: Messages = [{"role": "user", "content": prompt("Where does checkout pay?", 4)}]
    for number in range(earlier + now):
        if number == earlier:
            messages += [{"role": "assistant", "content": "There."}, {"role": "user", "content": text}]
        call = {"type": "tool_use", "id": f"t{number}", "name": "search_code", "input": {"pattern": f"p{number}"}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"a.py:{number + 1}: invoice"}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    habits = Habits(fewest_requests=20, most_requests=20, calls_at_once=1, lines_per_read=20, findings=3)
    return not reply_to(ModelRequest(model="m", messages=tuple(messages), tools=tuple(TOOLS)), habits, seed).calls


def test_only_the_replies_of_the_newest_turn_count_against_its_limit() -> None:
    text = prompt("Where are the zebra, the walrus and the heron kept?", 4)
    before, at_limit = ([research(text, earlier=9, now=now, seed=seed) for seed in range(20)] for now in (2, 3))

    assert not any(before)
    assert 14 <= sum(at_limit) < 20


@pytest.mark.parametrize("question", ["Return the valid JSON of a flag now.", "Which limit is reached, and when?"])
def test_a_marked_question_is_one_whatever_it_says(question: str) -> None:
    messages = [
        {"role": "user", "content": prompt(FIRST)},
        {"role": "assistant", "content": "There."},
        {"role": "user", "content": prompt(question)},
    ]
    conversation = read_conversation(messages)

    assert question in conversation.question
    assert not conversation.told_to_finish


def test_a_question_may_follow_results_that_an_earlier_turn_left_open() -> None:
    call = {"type": "tool_use", "id": "1", "name": "grep", "input": {"pattern": "x"}}
    left = [{"type": "tool_result", "tool_use_id": "1", "content": "not carried out", "is_error": True}]
    messages = [
        {"role": "user", "content": prompt(FIRST)},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [*left, {"type": "text", "text": prompt(OTHER)}]},
    ]
    conversation = read_conversation(messages)

    assert OTHER in conversation.question
    assert (len(conversation.earlier), conversation.rounds) == (1, ())


def managed_turn(desk: Bench, session_id: str, question: str) -> tuple[dict[str, Any], int]:
    """One turn of a session, its report accepted: the report, and how many built-in tools it used."""
    events = desk.until_idle(session_id, message(prompt(question)))
    call = next(event for event in events if event.type == "agent.custom_tool_use")
    ended = desk.until_idle(session_id, accepted(call.id))

    assert ended[-1].stop_reason.type == "end_turn"
    return call.input, sum(event.type == "agent.tool_use" for event in events)


def test_a_session_answers_each_message_with_what_it_has_seen(client: anthropic.Anthropic, shop: Shop) -> None:
    desk = bench(client)
    _, alone = managed_turn(desk, desk.session(shop), AGAIN)
    session_id = desk.session(shop)
    turns = [(question, *managed_turn(desk, session_id, question)) for question in (FIRST, AGAIN, OTHER)]

    assert all(question in report["summary"] for question, report, _ in turns)
    assert all(shop.cites_existing_lines(report) for _, report, _ in turns)
    assert turns[1][2] < alone
