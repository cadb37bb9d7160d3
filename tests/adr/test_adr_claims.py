"""What a record's text claims must be shown: figures by a query, hypotheses by their name, questions by being open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.adr.document import Record
from dispatcher.adr.lint import problems
from dispatcher.adr.surroundings import Surroundings

Lint = Callable[[str], list[str]]

SEED = Path(__file__).parents[3] / "shared" / "seeds" / "open-design-stability-spec.txt"
HEAD = """---
id: KD-0650
title: A record
status: proposed
date: 2026-05-09
deciders: [nobody yet]
acceptance: none
---

# A record

## Context

{context}

## Considered Options

1. Do it.

## Risks

- None known.

## Sources

- The log: `SELECT 1`
"""
TABLE = "| calls | wall |\n|---|---|\n| 36 calls | 18 703 |\n| 36 calls | 26 340 |\n"


@pytest.fixture
def lint(read: Callable[[str | bytes], Record], around: Surroundings) -> Lint:
    """The problems of a record with this text under Context."""
    return lambda context: [str(each) for each in problems(read(HEAD.format(context=context)), around)]


def test_a_table_of_figures_names_its_query(lint: Lint) -> None:
    found = lint(TABLE)

    assert len(found) == 1
    assert found[0].startswith("line 14: a table without its reproduction")


@pytest.mark.parametrize(
    "shown",
    [
        "`scripts/bench/managed_cap`, 48 questions:\n\n" + TABLE,
        TABLE + "\n```sql\nSELECT response_time_ms FROM ai_outbound_logs\n```\n",
        TABLE + "\nThe figures are in [published.yml](published.yml).\n",
        TABLE + "\nThe query stands under Sources.\n",
        "| option | why |\n|---|---|\n| one | cheap |\n| two | quick |\n",
    ],
)
def test_a_query_a_script_a_data_file_or_no_figures_will_do(lint: Lint, shown: str) -> None:
    assert lint(shown) == []


def test_a_figure_names_its_query_too(lint: Lint) -> None:
    assert [text for text in lint("![wall times](wall.png)") if "a figure without its reproduction" in text]


@pytest.mark.parametrize("said", ["The p95 was 28 036 ms.", "The median was 19 s."])
def test_a_percentile_names_its_n(lint: Lint, said: str) -> None:
    assert lint(said) == ["line 14: a percentile without its n: state how many calls or runs it was read from"]
    assert lint(said[:-1] + " over 36 calls.") == []
    assert lint(said[:-1] + ", n = 36.") == []


@pytest.mark.parametrize(
    ("said", "labelled"),
    [
        ("The managed path is 3 × faster.", "The managed path is 3 × faster (unverified)."),
        ("The managed path is 3 × faster.", "In the spike the managed path was 3 × faster."),
        ("It will probably take 40 s.", "Hypothesis: it will probably take 40 s."),
        ("This should halve the 19 s.", "By a linear estimate this should halve the 19 s."),
        ("We expect 20 % less.", "We expect 20 % less, an assumption."),
    ],
)
def test_a_hypothesis_is_called_one(lint: Lint, said: str, labelled: str) -> None:
    assert len(lint(said)) == 1
    assert lint(labelled) == []


def test_words_without_a_quantity_are_no_hypothesis(lint: Lint) -> None:
    assert lint("AC-6 is likely to pass, AC-7 is not. It will probably rain.") == []


QUESTION = "What exact signal should be the reliable CLI ready marker for each runtime?"
CONTRACT = """One auditable marker per runtime family says when the CLI is ready: the first JSON line from `claude`, the
first well-formed message over ACP."""


def asked(question: str) -> str:
    return f"{CONTRACT}\n\n## Open questions\n\n- {question}"


def test_an_open_question_that_the_record_answers_is_named_with_the_answer(lint: Lint) -> None:
    found = lint(asked(QUESTION))

    assert len(found) == 1
    assert found[0].startswith("line 19: '- What exact signal")
    assert "is listed as open, and line 14 answers it" in found[0]


@pytest.mark.parametrize(
    "question",
    [
        "Does any adapter still need a reason for what can't be observed in practice?",
        f"{QUESTION} Still open: the plain family.",
        "Which tenants come next?",
    ],
)
def test_a_question_that_is_open_stays(lint: Lint, question: str) -> None:
    assert lint(asked(question)) == []


def test_the_contradiction_that_a_reviewer_found_in_a_real_specification_is_found(lint: Lint) -> None:
    if not SEED.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{SEED} is missing")
        pytest.skip("the source document is not beside this checkout")
    lines = SEED.read_text().splitlines()
    contract = next(line for line in lines if line.startswith("| 1. **Phase 1"))[2:].rstrip(" |")
    question = next(line for line in lines if line.startswith("| - What exact signal should be"))[2:].rstrip(" |")

    found = lint(f"{contract}\n\n## Open questions\n\n{question}")

    assert [text for text in found if "is listed as open" in text], (contract, question)
