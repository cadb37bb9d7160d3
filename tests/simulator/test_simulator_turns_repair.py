"""A model that answers in an invalid form first, and in a valid one once it is told what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from pydantic import ValidationError
from simulator_driving import FORMAT, QUESTION, SCHEMA, SONNET, TOOLS, Shop, accepted, bench, message

from dispatcher.action.report import ResearchReport
from dispatcher.errors import InvalidSimulation
from dispatcher.simulator import Simulator
from dispatcher.simulator.model.planner import reply_to
from dispatcher.simulator.model.request import ModelRequest
from dispatcher.simulator.profiles import Character, Habits, Profiles

WRONG = "The report is not of the required form:\n- findings.0.line: is 0?\nSend the whole report once more."


def profiles(path: Path, one_in: int) -> Path:
    path.write_text(f"schema: 1\nextends: built-in\ncharacter: {{invalid_first_one_in: {one_in}}}\n")
    return path


@pytest.fixture(scope="module")
def clumsy(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A simulator whose models all fail at first."""
    path = tmp_path_factory.mktemp("profiles") / "clumsy.yml"
    with Simulator(simulation(profiles=profiles(path, 1))) as simulator:
        yield simulator


def is_valid(report: Any) -> bool:
    try:
        ResearchReport.model_validate_json(json.dumps(report))
    except ValidationError:
        return False
    return True


def test_on_the_messages_api_the_first_report_fails_and_the_mended_one_holds(
    client_of: Any, clumsy: Simulator, shop: Shop
) -> None:
    client: anthropic.Anthropic = client_of(clumsy)
    messages: list[Any] = [{"role": "user", "content": f"<question>\n{QUESTION}\n</question>"}]
    reports = []
    while len(reports) < 2:
        request: Any = {"model": SONNET, "max_tokens": 4096, "tools": TOOLS, "output_config": FORMAT}
        reply = client.messages.create(messages=messages, **request)
        messages.append({"role": "assistant", "content": reply.content})
        if reply.stop_reason == "tool_use":
            blocks = [block for block in reply.content if block.type == "tool_use"]
            content: Any = [
                {"type": "tool_result", "tool_use_id": one.id, "content": shop.call(one.name, one.input)}
                for one in blocks
            ]
        else:
            reports.append(json.loads(reply.content[0].text))
            content = WRONG
        messages.append({"role": "user", "content": content})

    assert [is_valid(report) for report in reports] == [False, True]
    assert shop.cites_existing_lines(reports[1])
    assert [one["file"] for one in reports[0]["findings"]] == [one["file"] for one in reports[1]["findings"]]


def test_in_a_session_the_refused_submission_is_mended_in_the_next_request(
    client_of: Any, clumsy: Simulator, shop: Shop
) -> None:
    desk = bench(client_of(clumsy))
    session_id = desk.session(shop)
    events = desk.until_idle(session_id, message())
    first = next(event for event in events if event.type == "agent.custom_tool_use")
    again = desk.until_idle(session_id, accepted(first.id, "findings: Field required", is_error=True))
    second = next(event for event in again if event.type == "agent.custom_tool_use")

    assert (is_valid(first.input), is_valid(second.input)) == (False, True)
    assert [event.type for event in again].count("span.model_request_start") == 1
    assert shop.cites_existing_lines(second.input)


def test_one_question_in_so_many_fails_first_and_none_by_default() -> None:
    tools = ({"name": "submit_result", "input_schema": SCHEMA},)
    habits = Habits(fewest_requests=1, most_requests=1, calls_at_once=1, lines_per_read=20, findings=3)

    def failing(character: Character) -> int:
        asked = [({"role": "user", "content": f"Where is flag_{number}?"},) for number in range(60)]
        replies = [reply_to(ModelRequest(model="m", messages=one, tools=tools), habits, 0, character) for one in asked]
        return sum(set(reply.calls[0].input) != {"summary", "findings"} for reply in replies)

    assert 10 <= failing(Character(invalid_first_one_in=3)) <= 30
    assert failing(Character()) == 0


def test_a_profile_file_takes_from_the_built_in_one_what_it_leaves_out(tmp_path: Path) -> None:
    loaded = Profiles.load(profiles(tmp_path / "some.yml", 3))

    assert (loaded.models, loaded.character.invalid_first_one_in) == (Profiles.load().models, 3)
    (tmp_path / "other.yml").write_text("schema: 1\nextends: others\n")
    with pytest.raises(InvalidSimulation, match="extends"):
        Profiles.load(tmp_path / "other.yml")
