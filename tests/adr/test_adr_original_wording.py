"""The source document's own criterion, and its spike, are refused with the reason that it found out too late."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from sample_words import BASELINE_7, PROSE_7, SAYS_7, Edited, ProblemsOf, Read

from dispatcher.adr.lint import problems
from dispatcher.adr.surroundings import Surroundings

SEED = Path(__file__).parents[3] / "shared" / "seeds" / "kendo-telemetry-correction.txt"
ELSEWHERE = (
    "against production telemetry (KD-0650: 28036 ms) the same words mean 42054 ms, and 724500 ms is 17.2 × that"
)


@pytest.fixture(scope="module")
def seed() -> str:
    if not SEED.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{SEED} is missing")
        pytest.skip("the source document is not beside this checkout")
    return SEED.read_text()


@pytest.fixture(scope="module")
def original(seed: str) -> str:
    """The words of AC #7 as the plan had them."""
    match = re.search(r'AC #7 says "(p95 [^"]+)"', seed)
    assert match is not None
    return match[1]


def with_original(edited: Edited, original: str, baseline: str, limit: str) -> str:
    return edited(
        (SAYS_7, f"says: '{original}'"),
        (PROSE_7, original),
        (f"    baseline:\n      {BASELINE_7}", baseline),
        ("at_most: {times_baseline: 1.5}", limit),
    )


def test_the_original_wording_names_no_measurement(edited: Edited, original: str, problems_of: ProblemsOf) -> None:
    found = problems_of(with_original(edited, original, "", "at_most: {times_baseline: 1.5}"))

    assert len(found) == 1
    assert "times_baseline is a multiple of something measured: name its baseline, and its source" in found[0]


def test_with_the_number_it_was_written_against_it_still_names_none(
    edited: Edited, original: str, read: Read, around: Surroundings
) -> None:
    record = read(with_original(edited, original, "", "at_most: {value: 724500}"))

    assert "AC-7: says speaks of 'current', but the limit refers to no measurement of it" in [
        problem.text for problem in problems(record, around)
    ]


@pytest.mark.parametrize("n", [1, 3])
def test_pinned_against_the_spike_it_is_vacuous(
    edited: Edited, original: str, seed: str, read: Read, around: Surroundings, n: int
) -> None:
    spike = re.search(r"Wall time \| ([\d ]+) ms", seed)
    assert spike is not None
    value = int(spike[1].replace(" ", ""))
    baseline = f"    baseline: {{source: spike, n: {n}, value: {value}, treat_as: contract}}\n"
    record = read(with_original(edited, original, baseline, "at_most: {times_baseline: 1.5}"))

    found = [problem.text for problem in problems(record, around) if problem.text.startswith("AC-7")]

    assert {
        "AC-7: is vacuous: no success can take 724500 ms, since the deadline of managed-haiku-4-5-cap8 is 180000 ms",
        f"AC-7: is vacuous: {ELSEWHERE}",
        "AC-7: says speaks of a multiple of 'current', and its baseline is a spike: name what is measured",
        "AC-7: a spike as latency baseline, although KD-0650 quotes production telemetry of agent_research",
    } <= set(found)
    assert any("single datapoint" in text for text in found) == (n == 1)
    assert "AC-7: says doesn't state the baseline's value 483000" in found


def test_against_the_published_telemetry_it_is_accepted(sample: str, read: Read, around: Surroundings) -> None:
    assert problems(read(sample), around) == []
