"""A record whose verdict would mean nothing, or something else than its prose says, can't start its clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sample_words import BASELINE_7, SAYS_7, Edit, Edited, Read

from dispatcher.adr.document import Record
from dispatcher.adr.lint import not_judged, problems
from dispatcher.adr.surroundings import Surroundings
from dispatcher.document.tree import Problem


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([("## Sources", "## Where from")], "the section Sources is missing"),
        ([("## Considered Options", "## Choices")], "the section Considered Options is missing"),
        ([("## Risks", "## Worries")], "the section Risks is missing"),
        ([("1.5 × current production", "2 × current production")], "AC-7: says doesn't state the multiplier 1.5"),
        ([("1.5 × current production", "2 × current production")], "AC-7: says states 2, which the block doesn't"),
        ([("value: 28036", "value: 28037")], "AC-7: says doesn't state the baseline's value 28037"),
        ([("value: 28036", "value: 28037")], "AC-7: says doesn't state the limit 42055.5"),
        ([("n: 36", "n: 37")], "AC-7: the sentence under Confirmation doesn't state the baseline's n 37"),
        ([("so 42 054 ms", "so 42 s")], "AC-7: the sentence under Confirmation doesn't state the limit 42054"),
        ([("aggregate: p95", "aggregate: p90")], "AC-7: says states p95, the block p90"),
        ([("says: p95 wall", "says: wall")], "AC-7: says states no percentile, the block p95"),
        ([("- **AC-V** ", "- ")], "AC-V: the section Confirmation has no sentence that starts with **AC-V**"),
        ([("at least 95 % of the dispatches", "most of the dispatches")], "AC-V: says doesn't state the limit 0.95"),
        (
            [("at_most: {times_control: 0.5}", "at_most: {times_control: 0.6}")],
            "AC-6: says doesn't state the multiplier 0.6",
        ),
        ([("feature: agent_research, status", "feature: story, status")], "AC-7: the baseline is of feature story"),
        ([("{script: 1.0}", "{acme: 1.0}")], "AC-7: a published baseline of script is applied to acme"),
        (
            [("{script: 1.0}", "{script: 0.5, acme: 0.5}")],
            "AC-7: a published baseline of script is applied to acme, script",
        ),
        ([(", tenant: script}", "}")], "AC-7: a published baseline of a tenant it doesn't name is applied to script"),
        ([("n: 36", "n: 1")], "AC-7: a latency criterion on a single datapoint"),
        (
            [("settle: 24h", "settle: 5m")],
            "settle is 0:05:00, below a registered variant's deadline of 0:05:00 and the sweeper's",
        ),
        (
            [("{variant: legacy}", "{variant: old}")],
            "control old is not a registered variant; the policies hold legacy,",
        ),
        (
            [("dispatches_per_conversation: 1", "dispatches_per_conversation: 3")],
            "window is 0, so a conversation would end with its first dispatch",
        ),
    ],
)
def test_what_is_refused_is_named(
    edited: Edited, read: Read, around: Surroundings, edits: list[Edit], expected: str
) -> None:
    found = [problem.text for problem in problems(read(edited(*edits)), around)]

    assert any(text.startswith(expected) for text in found), found


def texts(record: Record, around: Surroundings) -> list[str]:
    return [problem.text for problem in problems(record, around)]


def test_a_multiple_of_current_needs_the_measurement_of_current(
    edited: Edited, read: Read, around: Surroundings
) -> None:
    text = edited(
        ("at_most: {times_baseline: 1.5}", "at_most: {value: 42054}"),
        (f"    baseline:\n      {BASELINE_7}", ""),
    )

    expected = "AC-7: says speaks of 'current', but the limit refers to no measurement of it"
    assert expected in texts(read(text), around)


def test_a_spike_beside_production_telemetry_is_refused(sample: str, read: Read, around: Surroundings) -> None:
    criterion = """  - id: AC-8
    says: p90 wall time stays at or below 2 × the spike, 60000 ms over 30 runs, that is 120000 ms
    severity: info
    measure: response_time_ms
    aggregate: p90
    at_most: {times_baseline: 2}
    baseline: {source: spike, n: 30, value: 60000}
"""
    sentence = "- **AC-8** p90 at or below 2 × the spike: 60 000 ms over 30 runs, so 120 s.\n"
    text = sample.replace("criteria:\n", "criteria:\n" + criterion).replace("- **AC-V**", sentence + "- **AC-V**")

    assert texts(read(text), around) == [
        "AC-8: a spike as latency baseline, although this record itself quotes production telemetry"
    ]


@pytest.mark.parametrize(
    ("known", "where"),
    [
        ({"features_with_rows": frozenset({"story"})}, "the log has production rows of story"),
        ({"pinnable_features": frozenset({"story"})}, "a source of policies/sources.yml holds rows of story"),
    ],
)
def test_a_spike_is_refused_wherever_production_rows_are(
    edited: Edited, read: Read, around: Surroundings, known: dict[str, Any], where: str
) -> None:
    spike = "source: spike\n      n: 3\n      value: 28036\n      treat_as: contract\n"
    record = read(edited((BASELINE_7, spike), ("feature: agent_research\ncandidate", "feature: story\ncandidate")))

    assert f"AC-7: a spike as latency baseline, although {where}" in texts(record, replace(around, **known))


@pytest.mark.parametrize(
    "said",
    [
        "p95 at or below 1.5 × 28036 ms over 36 calls: 42054 ms",
        "p95 at or below 1.5x 28,036ms over 36 calls: 42.054s",
        "p95 (at most 5 % above) of variant haiku-4-5 since 2026-04-09: 1.5×28\u202f036 ms, n=36, 42 054 ms, 30 days",
    ],
)
def test_numbers_may_be_written_in_the_ways_people_write_them(
    edited: Edited, read: Read, around: Surroundings, said: str
) -> None:
    assert texts(read(edited((SAYS_7, f"says: '{said}'"))), around) == []


def test_what_has_nothing_to_judge_starts_no_clock(sample: str, edited: Edited, read: Read) -> None:
    head, _, _ = sample.partition("```yaml acceptance")
    unjudged = read(head.replace("status: proposed", "status: proposed\nacceptance: none"))
    rejected = read(edited(("status: proposed", "status: rejected")))

    assert [each.text for each in not_judged(unjudged)] == ["says `acceptance: none`: there is nothing to judge"]
    assert not_judged(rejected) == [Problem(4, "is rejected: only a proposed or accepted record is judged")]


def test_all_refusals_come_at_once_on_their_lines(edited: Edited, read: Read, around: Surroundings) -> None:
    text = edited(("## Risks", "## Worries"), ("settle: 24h", "settle: 5m"), ("{script: 1.0}", "{acme: 1.0}"))

    found = problems(read(text), around)

    assert [text.split("\n")[problem.line - 1].strip() for problem in found] == [
        "---",
        "looks: {cadence: weekly, method: anytime, alpha: 0.05, max_weeks: 52, settle: 5m}",
        "baseline:",
    ]


def test_a_target_of_what_has_no_rows_needs_a_data_set(edited: Edited, read: Read, around: Surroundings) -> None:
    own = "source: own-target\n"
    edits = [
        ("at_most: {times_baseline: 1.5}", "at_most: {value: 42054}"),
        ("feature: agent_research\ncandidate", "feature: hand_to_claude\ncandidate"),
    ]
    without = read(edited((BASELINE_7, own), *edits))
    headline = read(edited((BASELINE_7, own + "      dataset: eval\n      prompts: 1\n      runs: 9\n"), *edits))
    tried = read(edited((BASELINE_7, own + "      dataset: eval\n      prompts: 6\n      runs: 5\n"), *edits))

    assert any("its target has to be pre-registered on a data set" in each for each in texts(without, around))
    assert any("a headline and no distribution" in each for each in texts(headline, around))
    assert not any("data set" in each or "headline" in each for each in texts(tried, around))
    assert not any("data set" in each for each in texts(without, replace(around, log_was_read=False)))
