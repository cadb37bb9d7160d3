"""A record whose verdict would mean nothing, or something else than its prose says, can't start its clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from dispatcher.adr.document import Record
from dispatcher.adr.lint import refusals

Edited = Callable[..., str]
Read = Callable[[str | bytes], Record]
Edit = tuple[str, str]

DEADLINE = dt.timedelta(minutes=10)
SAYS_7 = "says: p95 wall time stays at or below 1.5 × current production, 28036 ms over 36 calls, that is 42054 ms"
PRODUCTION_BASELINE = """source: production-telemetry
      published: true
      where: {feature: agent_research, status: success, tenant: script}
      window: [2026-04-09, 2026-05-09]
      n: 36
      value: 28036
      treat_as: contract
"""
PROSE_7 = "published production telemetry: 28 036 ms\n  over 36 calls from 2026-04-09 to 2026-05-09, so 42 054 ms"


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([("## Sources", "## Where from")], "the section Sources is missing"),
        ([("## Considered Options", "## Choices")], "the section Considered Options is missing"),
        ([("## Risks", "## Worries")], "the section Risks is missing"),
        ([("status: proposed", "status: rejected")], "is rejected: only a proposed or accepted record is judged"),
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
        ([("settle: 24h", "settle: 5m")], "settle is 0:05:00, below a registered variant's deadline of 0:10:00"),
    ],
)
def test_what_is_refused_is_named(edited: Edited, read: Read, edits: list[Edit], expected: str) -> None:
    found = refusals(read(edited(*edits)), DEADLINE)

    assert any(problem.startswith(expected) for problem in found), found


def test_a_multiple_of_current_needs_the_measurement_of_current(edited: Edited, read: Read) -> None:
    text = edited(
        ("at_most: {times_baseline: 1.5}", "at_most: {value: 42054}"),
        (f"    baseline:\n      {PRODUCTION_BASELINE}", ""),
    )

    expected = "AC-7: says speaks of 'current', but the limit refers to no measurement of it"
    assert expected in refusals(read(text), DEADLINE)


def test_the_spike_as_baseline_is_refused_as_a_single_datapoint(edited: Edited, read: Read) -> None:
    text = edited(
        (PRODUCTION_BASELINE, "source: spike\n      n: 1\n      value: 483000\n      treat_as: contract\n"),
        (SAYS_7, "says: p95 wall time stays at or below 1.5 × the spike, 483000 ms over 1 call, that is 724500 ms"),
        (PROSE_7, "483 000 ms over 1 call, so 724 500 ms"),
    )

    record = read(text)

    assert record.acceptance is not None
    assert record.acceptance.criteria[1].limit == 724500
    assert refusals(record, DEADLINE) == [
        "AC-7: a latency criterion on a single datapoint: one run says nothing about a distribution"
    ]


def test_a_spike_beside_production_telemetry_is_refused(sample: str, read: Read) -> None:
    criterion = """  - id: AC-8
    says: p90 wall time stays at or below 2 × the spike, 483000 ms over 3 runs, that is 966000 ms
    severity: info
    measure: response_time_ms
    aggregate: p90
    at_most: {times_baseline: 2}
    baseline: {source: spike, n: 3, value: 483000}
"""
    sentence = "- **AC-8** p90 at or below 2 × the spike: 483 000 ms over 3 runs, so 966 s.\n"
    text = sample.replace("criteria:\n", "criteria:\n" + criterion).replace("- **AC-V**", sentence + "- **AC-V**")

    assert refusals(read(text), DEADLINE) == [
        "AC-8: a spike as latency baseline, although this record itself quotes production telemetry"
    ]


@pytest.mark.parametrize(
    "said",
    [
        "p95 at or below 1.5 × 28036 ms over 36 calls: 42054 ms",
        "p95 at or below 1.5x 28,036ms over 36 calls: 42.054s",
        "p95 (at most 5 % above) of variant haiku-4-5 since 2026-04-09: 1.5×28\u202f036 ms, n=36, 42 054 ms, 30 days",
    ],
)
def test_numbers_may_be_written_in_the_ways_people_write_them(edited: Edited, read: Read, said: str) -> None:
    assert refusals(read(edited((SAYS_7, f"says: '{said}'"))), DEADLINE) == []


def test_a_record_that_no_telemetry_judges_is_refused(sample: str, read: Read) -> None:
    head, _, _ = sample.partition("```yaml acceptance")
    record = read(head.replace("status: proposed", "status: proposed\nacceptance: none"))

    assert refusals(record, DEADLINE) == ["says `acceptance: none`: there is nothing to judge"]


def test_all_refusals_come_at_once(edited: Edited, read: Read) -> None:
    text = edited(("## Sources", "## Where from"), ("settle: 24h", "settle: 5m"), ("{script: 1.0}", "{acme: 1.0}"))

    assert len(refusals(read(text), DEADLINE)) == 3
