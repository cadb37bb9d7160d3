"""The A/B's record: what it counts, how certain it is, and that nothing unknown is taken for a figure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from ab_record import (  # noqa: E402 - a script's module, found by the line above
    Share,
    Turn,
    answered,
    figures_from,
    nearest_rank,
    newcombe,
    overlaps_between,
    overlaps_within,
    soundly_cited,
    table,
)


def turn(**given: Any) -> Turn:
    usual: dict[str, Any] = {
        "conversation": 0,
        "run": 0,
        "turn": 1,
        "valid": True,
        "cited": frozenset({"a.py"}),
        "citations": 2,
        "existing": 2,
        "first_call_input": 100,
        "first_call_written": 0,
        "cost_nanousd": 10**7,
        "wall_ms": 1000,
    }
    return Turn(**{**usual, **given})


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """The worked example of Newcombe (1998): 56/70 against 48/80."""
    low, high = newcombe(Share(48, 80), Share(56, 70))

    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_a_share_without_failures_is_still_uncertain() -> None:
    low, high = Share(10, 10).interval

    assert (round(low, 4), high) == (0.7225, 1.0)


def test_a_conversation_is_answered_where_every_turn_of_it_is() -> None:
    turns = [
        turn(run=0, turn=1),
        turn(run=0, turn=2),
        turn(run=1, turn=1),
        turn(run=1, turn=2, valid=False),
        turn(run=2, turn=1, valid=False),
        turn(conversation=1),
    ]

    assert answered(turns, {0: 2, 1: 1}) == Share(2, 4)


def test_a_report_is_soundly_cited_where_every_citation_exists() -> None:
    turns = [turn(), turn(existing=1), turn(valid=False, citations=0, existing=0)]

    assert soundly_cited(turns) == Share(1, 2)


def test_overlap_is_measured_between_the_arms_and_within_one() -> None:
    before = [turn(run=0, cited=frozenset("ab")), turn(run=1, cited=frozenset("ab"))]
    after = [turn(run=0, cited=frozenset("bc")), turn(run=1, valid=False), turn(turn=2, cited=frozenset("z"))]

    assert overlaps_between(before, after) == [1 / 3, 1 / 3]
    assert overlaps_within(before) == [1.0]
    assert overlaps_within(after) == []


@pytest.mark.parametrize(("percent", "expected"), [(50, 20), (95, 40), (1, 10), (100, 40)])
def test_percentiles_are_nearest_rank(percent: int, expected: int) -> None:
    assert nearest_rank([40, 10, 30, 20], percent) == expected


def said(*findings: tuple[str, int, str], **given: Any) -> dict[str, Any]:
    return {
        "status": "success",
        "output_valid": 1,
        "findings": [{"file": file, "line": line, "evidence": evidence} for file, line, evidence in findings],
        "first_call_input_tokens": 5,
        "first_call_cache_creation_input_tokens": None,
        "cost_nanousd": None,
        "wall_ms": 7,
        **given,
    }


def test_a_citation_exists_where_its_line_holds_the_quoted_text() -> None:
    files = {"a.py": ["one", "  two = 2"]}
    findings = [("a.py", 2, "two = 2"), ("a.py", 1, "two = 2"), ("a.py", 3, ""), ("b.py", 1, "x"), ("a.py", 0, "one")]

    found = figures_from({"number": 3, "run": 1, "turn": 2}, said(*findings), lambda name: files.get(name, []))

    assert (found.citations, found.existing, found.cited) == (5, 1, frozenset({"a.py", "b.py"}))
    assert (found.conversation, found.run, found.turn, found.cost_nanousd) == (3, 1, 2, None)


@pytest.mark.parametrize("ending", [{"status": "error", "output_valid": None}, {"output_valid": 0}])
def test_an_answer_that_failed_is_not_valid(ending: dict[str, Any]) -> None:
    assert not figures_from({"number": 0, "run": 0, "turn": 1}, said(**ending), lambda _: []).valid


def test_the_table_counts_what_is_unknown_and_makes_no_figure_of_it() -> None:
    before = [turn(first_call_written=900), turn(run=1, cost_nanousd=None, wall_ms=3000)]
    after = [turn(first_call_input=50, first_call_written=None, cost_nanousd=None, valid=False)]

    rows = {row.split(" | ")[0].strip("| "): row for row in table(before, after, {0: 1}).splitlines()}

    assert rows["conversations answered validly"].endswith(
        "| 2/2 = 100.0% [34.2%, 100.0%] | 0/1 = 0.0% [0.0%, 79.3%] | -100.0% [-100.0%, +3.1%] |"
    )
    assert rows["reports whose every citation exists"].endswith("| 2/2 | 0/0 | no data |")
    assert rows["uncached input of the first request, turn 1, median tokens"].endswith("| 100 | 50 | × 0.50 |")
    assert rows["input that no cache held (uncached and written) of the first request, turn 1, median tokens"].endswith(
        "| 550 | no data (1 unknown) |  |"
    )
    assert rows["cost of a turn, mean US dollars"].endswith("| 0.01000 (1 unknown) | no data (1 unknown) |  |")
    assert rows["wall time of a turn, p95, ms"].endswith("| 3,000 | 1,000 | × 0.33 |")


QUESTIONS = """\
schema: 1
tenant: script
repository: {path: ., github_url: "https://github.com/example/checkout"}
conversations:
  - - Where is the total computed?
"""


def run_ab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC", "DISPATCHER"))
    }
    command = [sys.executable, str(ROOT / "scripts" / "ab.py"), str(folder / "questions.yml"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "questions.yml").write_text(QUESTIONS)
    (tmp_path / "total.py").write_text("def total(lines):\n    return sum(lines)\n")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "1"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_two_variants_are_compared_end_to_end_and_the_title_says_that_it_is_simulated(folder: Path) -> None:
    done = run_ab(
        folder, "legacy", "legacy-cached", "--runs", "1", "--time-scale", "0", "--output", str(folder / "r.md")
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("## A/B of legacy and legacy-cached (SIMULATED)\n")
    assert "| conversations answered validly | 1/1 = 100.0%" in done.stdout
    assert (folder / "r.md").read_text() == done.stdout.removesuffix("\n")


def test_an_arm_that_is_routed_elsewhere_ends_the_comparison(folder: Path) -> None:
    (folder / "questions.yml").write_text(QUESTIONS.replace(', github_url: "https://github.com/example/checkout"', ""))

    done = run_ab(folder, "legacy", "managed-sonnet-4-6", "--runs", "1", "--time-scale", "0")

    assert done.returncode == 1
    assert "the arm managed-sonnet-4-6 was routed to legacy, reason repository_not_mountable" in done.stderr


def test_a_question_set_is_read_strictly(folder: Path) -> None:
    (folder / "questions.yml").write_text("schema: 1\ntenant: a b\nquestions: []\n")

    done = run_ab(folder, "legacy", "legacy")

    assert done.returncode == 1
    assert done.stderr.count("\n  - ") == 4
