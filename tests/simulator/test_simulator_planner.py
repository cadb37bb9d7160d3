"""The simulated model: what it reads out of tools, and that its citations exist."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_driving import SCHEMA, TOOLS

from dispatcher.simulator.model.conversation import read_conversation, replies_allowed
from dispatcher.simulator.model.planner import reply_to
from dispatcher.simulator.model.question import asked, terms_of
from dispatcher.simulator.model.report import Report
from dispatcher.simulator.model.request import ModelRequest, Reply
from dispatcher.simulator.model.sightings import listed_paths, match_lines, numbered_lines
from dispatcher.simulator.model.toolbox import toolbox_of
from dispatcher.simulator.profiles import Habits

HABITS = Habits(fewest_requests=3, most_requests=6, calls_at_once=2, lines_per_read=20, findings=3)
THOROUGH = Habits(fewest_requests=20, most_requests=20, calls_at_once=2, lines_per_read=20, findings=3)

QUESTIONS = {
    "Where are feature flags evaluated?": "feature flag evalu",
    "What does `evaluate_flag` return?": "evaluate_flag return",
    "How is ResearchAction validated in dispatcher/action.py?": "researchaction dispatcher/action.py valid",
    "Which class handles retries?": "class handl retr",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_searched_by_its_own_words(question: str) -> None:
    assert list(terms_of(question).everything) == QUESTIONS[question].split()


@pytest.mark.parametrize(
    "prompt",
    [
        "<repository>\nx\n</repository>\n<question>\nWhere is it?\n</question>",
        "You research code.\n\nQuestion: Where is it?\n\nAnswer in JSON.",
        "## Question\nWhere is it?\n\n## Rules\nCite lines.",
        "You research code. Where is it?",
    ],
)
def test_the_question_is_found_inside_a_prompt(prompt: str) -> None:
    assert asked(prompt) == "Where is it?"


def test_a_short_follow_up_borrows_from_the_question_before() -> None:
    assert "flag" in terms_of("And the tests?", "Where are flags evaluated?").everything


MATCHES = {
    "src/a.py:12: x = 1": [("src/a.py", 12, "x = 1")],
    "src/a.py:12:    x = 1": [("src/a.py", 12, "x = 1")],
    "./a.py:1:{a: 1}": [("a.py", 1, "{a: 1}")],
    "src/a.py\n12: x = 1\n14\ty = 2": [("src/a.py", 12, "x = 1"), ("src/a.py", 14, "y = 2")],
    "(no line matches)": [],
    "a b.py:3:x": [("a b.py", 3, "x")],
    "": [],
}


@pytest.mark.parametrize("text", MATCHES)
def test_matches_are_read_in_the_forms_that_searches_print(text: str) -> None:
    assert [tuple(line) for line in match_lines(text)] == MATCHES[text]


NUMBERED = {
    "12\tx = 1\n13\t\n14\ty": [(12, "x = 1"), (13, ""), (14, "y")],
    "  7: def f():\n  8:     pass": [(7, "def f():"), (8, "pass")],
    "7 | a\n8 | b\n(cut here)": [(7, "a"), (8, "b")],
    "plain\nlines": [(5, "plain"), (6, "lines")],
}


@pytest.mark.parametrize("text", NUMBERED)
def test_lines_of_a_file_are_read_with_their_numbers(text: str) -> None:
    assert [(line.number, line.text) for line in numbered_lines("a", text, 5)] == NUMBERED[text]


def test_a_listing_is_paths_and_nothing_else() -> None:
    listing = "src/a.py\n./b.py\nsrc/\nNo files found\n(only the first 2 files are shown)\nMakefile\ndocs/a b.md"

    assert list(listed_paths(listing)) == ["src/a.py", "b.py", "Makefile", "docs/a b.md"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"path": {}, "start_line": {}, "end_line": {}}, {"path": "a", "start_line": 5, "end_line": 9}),
        ({"file_path": {}, "view_range": {}}, {"file_path": "a", "view_range": [5, 9]}),
        ({"file": {}, "offset": {}, "limit": {}}, {"file": "a", "offset": 5, "limit": 5}),
        ({"filename": {}}, {"filename": "a"}),
    ],
)
def test_a_read_fits_the_tools_own_parameters(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    tool = {"name": "read_file", "input_schema": {"type": "object", "properties": schema}}
    call = toolbox_of([tool]).reading("a", 5, 9)

    assert call is not None
    assert call.input == expected


@pytest.mark.parametrize("parameter", ["pattern", "query", "regex", "text", "needle"])
def test_a_search_fits_the_tools_own_parameter(parameter: str) -> None:
    schema = {
        "type": "object",
        "properties": {parameter: {}, "max": {"type": "integer"}},
        "required": [parameter, "max"],
    }
    call = toolbox_of([{"name": "grep", "input_schema": schema}]).searching("x")

    assert call is not None
    assert call.input == {parameter: "x", "max": 0}


def test_a_report_takes_the_names_and_types_of_another_schema() -> None:
    report = Report("S", ({"claim": "c", "file": "f", "line": 3, "evidence": "e"},))
    item = {
        "type": "object",
        "properties": {"path": {}, "line_number": {"type": "string"}, "quote": {}, "sure": {"type": "boolean"}},
    }
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string"}, "citations": {"type": "array", "items": item}},
    }

    assert report.in_form_of(schema) == {
        "answer": "S",
        "citations": [{"path": "f", "line_number": "3", "quote": "e", "sure": False}],
    }


def test_a_new_question_starts_a_new_turn_and_keeps_what_was_seen() -> None:
    messages = [
        {"role": "user", "content": "Where is a?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "grep", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "a:1:x"}]},
        {"role": "assistant", "content": "There."},
        {"role": "user", "content": "And where is b?"},
    ]
    conversation = read_conversation(messages)

    assert (conversation.question, conversation.rounds) == ("And where is b?", ())
    assert [exchange.result for exchange in conversation.earlier] == ["a:1:x"]


@pytest.mark.parametrize(
    ("text", "finishes"),
    [
        ("The limit of replies is reached, so submit your answer now.", True),
        ("Return the result as JSON that fits the schema.", True),
        ("Where is the answer now?", False),
        ("How is the schema validated?", False),
        ("Where are limits configured?", False),
    ],
)
def test_an_order_to_finish_is_told_from_a_question(text: str, finishes: bool) -> None:
    messages = [{"role": "user", "content": "Where is a?"}, {"role": "user", "content": text}]

    assert read_conversation(messages).told_to_finish is finishes


WORD = st.sampled_from(
    ["flag", "flags", "evaluate", "tenant", "x = 1", "def flag():", "…", "", "\x0c", "flag: 1", "7\tflag"]
)
FILES = st.dictionaries(
    st.sampled_from(["src/flags.py", "a b.py", "docs/flags.md", "tests/test_flags.py", "Makefile"]),
    st.lists(st.lists(WORD, max_size=4).map(" ".join), max_size=40),
    max_size=5,
)


def carried_out(files: dict[str, list[str]], name: str, arguments: dict[str, Any]) -> str:
    if name == "read_file":
        first = arguments["start_line"]
        shown = files[arguments["path"]][first - 1 : arguments["end_line"]]
        return "\n".join(f"{number}\t{line}" for number, line in enumerate(shown, first))
    if name == "list_files":
        return "\n".join(files)
    found = (
        f"{path}:{number}: {line}"
        for path, lines in files.items()
        for number, line in enumerate(lines, 1)
        if re.search(arguments["pattern"], line)
    )
    return "\n".join(found)


def run(files: dict[str, list[str]], habits: Habits, seed: int, question: str) -> tuple[int, Reply, ModelRequest]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    for requests in range(1, 60):
        request = ModelRequest(model="m", messages=tuple(messages), tools=tuple(TOOLS), output_schema=SCHEMA)
        reply = reply_to(request, habits, seed)
        if not reply.calls:
            return requests, reply, request
        ids = [f"{requests}-{index}" for index in range(len(reply.calls))]
        calls = [
            {"type": "tool_use", "id": i, "name": c.name, "input": c.input}
            for i, c in zip(ids, reply.calls, strict=True)
        ]
        outputs = [carried_out(files, call.name, call.input) for call in reply.calls]
        results = [{"type": "tool_result", "tool_use_id": i, "content": o} for i, o in zip(ids, outputs, strict=True)]
        messages += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    raise AssertionError("the model never answered")


@settings(max_examples=60)
@given(
    FILES,
    st.integers(0, 5),
    st.sampled_from([HABITS, THOROUGH]),
    st.sampled_from([*QUESTIONS, "Where is zorblax?", "?"]),
)
def test_every_citation_is_a_line_of_a_file(
    files: dict[str, list[str]], seed: int, habits: Habits, question: str
) -> None:
    _, reply, request = run(files, habits, seed, question)
    report = json.loads(reply.text)

    for finding in report["findings"]:
        assert files[finding["file"]][finding["line"] - 1].strip() == finding["evidence"]
        assert finding["evidence"]
    if any(line.strip() for lines in files.values() for line in lines):
        assert report["findings"]
    assert reply_to(request, habits, seed) == reply


@settings(max_examples=30)
@given(FILES, st.integers(0, 5))
def test_no_call_is_made_twice_and_the_run_ends(files: dict[str, list[str]], seed: int) -> None:
    requests, _, request = run(files, THOROUGH, seed, "Where are feature flags evaluated?")
    calls = [exchange.call for exchange in read_conversation(request.messages).exchanges]

    assert requests <= THOROUGH.most_requests
    assert all(calls.count(call) == 1 for call in calls)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("Your replies are limited to 8, the one with the answer included.", 8),
        ("You have at most 12 requests.", 12),
        ("Read at most 3 files. Where are feature flags evaluated?", None),
        ("", None),
    ],
)
def test_a_limit_on_replies_is_read_out_of_the_prompt(text: str, allowed: int | None) -> None:
    assert replies_allowed(text) == allowed


def test_most_runs_heed_the_limit_and_some_lose_count() -> None:
    files = {
        f"src/flags_{number}.py": ["def flag(tenant):", "    return evaluate(tenant)"] * 30 for number in range(40)
    }
    prompt = "Your replies are limited to 8, the one with the answer included.\n\nQuestion: Where is flag evaluated?"
    replies = [run(files, THOROUGH, seed, prompt)[0] for seed in range(40)]

    assert set(replies) == {8, THOROUGH.most_requests}
    assert 28 <= replies.count(8) <= 39


def test_a_line_that_only_repeats_the_question_is_no_answer() -> None:
    question = "Where are feature flags evaluated?"
    files = {"questions.py": [f'QUESTIONS = ["{question}"]'], "flags.py": ["def evaluated(flag):", "    return flag"]}
    _, reply, _ = run(files, HABITS, 0, question)

    assert {finding["file"] for finding in json.loads(reply.text)["findings"]} == {"flags.py"}
