"""A limit that nothing could break, or by which nothing could ship, starts no clock."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sample_words import BASELINE_7, PROSE_7, SAYS_7, Edit, Edited, ProblemsOf, Read

from dispatcher.adr.document import Record
from dispatcher.adr.lint import problems
from dispatcher.adr.measure import Measure
from dispatcher.adr.surroundings import Surroundings
from dispatcher.cli import run
from dispatcher.cli.adr_rooms import caps_of
from dispatcher.routing.policy import Policies

POLICIES = Path(__file__).parents[2] / "policies"

FAR = (
    "AC-7: is vacuous: 150000 ms is 5.4 × what production takes (KD-0650: 28036 ms): state at most 3 × that, or "
    "times_baseline with that baseline, so that the sentence says how much slower it may get"
)
CAPPED = (
    "AC-6: is vacuous: no attempt may take 1 USD, since the cap of managed-haiku-4-5-cap8 is 1: state what one within "
    "its cap could miss"
)
GUARDED = "    severity: guard\n    measure: output_valid"


def texts(record: Record, around: Surroundings) -> list[str]:
    return [problem.text for problem in problems(record, around)]


def absolute(milliseconds: int, aggregate: str = "p95") -> list[Edit]:
    """AC-7 as a number of its own."""
    said = f"{aggregate} wall time stays at or below {milliseconds} ms"
    return [
        (SAYS_7, f"says: {said}"), (PROSE_7, said), ("aggregate: p95", f"aggregate: {aggregate}"),
        ("at_most: {times_baseline: 1.5}", f"at_most: {{value: {milliseconds}}}"), (BASELINE_7, "source: own-target\n"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (60_000, []),
        (84_108, []),
        (150_000, [FAR]),
    ],
)  # fmt: skip
def test_a_number_far_beyond_production_is_stated_as_the_multiple_it_is(
    edited: Edited, read: Read, around: Surroundings, milliseconds: int, expected: list[str]
) -> None:
    assert texts(read(edited(*absolute(milliseconds))), around) == expected


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [
        ("0.99", []),
        ("1", [CAPPED]),
    ],
)
def test_a_limit_at_the_candidates_own_cap_is_one_that_nothing_breaks(
    edited: Edited, read: Read, around: Surroundings, dollars: str, expected: list[str]
) -> None:
    capped = replace(around, caps={(Measure.COST, "managed-haiku-4-5-cap8"): Decimal(1)})
    text = edited(
        ("at most 0.5 × that of the control in the same weeks", f"at most {dollars} USD"),
        ("at_most: {times_control: 0.5}", f"at_most: {{value: {dollars}}}"),
        ("expected: {times_control: 0.2}", "expected: {value: 0.05}"),
        ("baseline: {source: concurrent-control}", "baseline: {source: own-target}"),
    )

    assert texts(read(text), capped) == expected


def test_the_caps_are_those_of_the_policies() -> None:
    caps = caps_of(Policies.load(POLICIES))

    assert caps[Measure.COST, "managed-haiku-4-5-cap8"] == 1
    assert caps[Measure.ITERATIONS, "managed-haiku-4-5-cap8"] == 8


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (162_000, []),
        (179_999, ["AC-7: is vacuous: hardly a success can take 179999 ms, since"]),
        (180_000, ["AC-7: is vacuous: no success can take 180000 ms, since"]),
    ],
)
def test_a_limit_at_the_deadline_is_broken_by_failures_only(
    edited: Edited, read: Read, around: Surroundings, milliseconds: int, expected: list[str]
) -> None:
    """Also where no record quotes what production takes."""
    found = texts(read(edited(*absolute(milliseconds))), replace(around, records={}))

    assert [text.split(" the deadline")[0] for text in found if "vacuous" in text] == expected


def test_a_percentile_below_the_median_lets_most_dispatches_through(
    edited: Edited, read: Read, around: Surroundings
) -> None:
    low, median = read(edited(*absolute(60_000, "p1"))), read(edited(*absolute(60_000, "p50")))

    assert texts(low, around) == [
        (
            "AC-7: is vacuous: a limit of the p1 holds with 99 % of the dispatches above it: state p50 or "
            "a higher percentile"
        )
    ]
    assert texts(median, around) == []


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (
            [("95 %", "0.01 %"), ("value: 0.95", "value: 0.0001")],
            [("AC-V: is vacuous: it holds with 99.99 % of the dispatches on the wrong side: state at least 0.5 or a "
             "stricter limit")],
        ),
        ([("95 %", "50 %"), ("value: 0.95", "value: 0.5")], []),
        (
            [("0.5 ×", "1000 ×"), ("times_control: 0.5", "times_control: 1000")],
            ["AC-6: is vacuous: 1000 × is a limit that no path would break: state a multiple of at most 10"],
        ),
        ([("0.5 ×", "10 ×"), ("times_control: 0.5", "times_control: 10")], []),
    ],
)  # fmt: skip
def test_a_limit_that_no_path_would_break_is_refused(
    edited: Edited, read: Read, around: Surroundings, edits: list[Edit], expected: list[str]
) -> None:
    assert texts(read(edited(*edits)), around) == expected


@pytest.mark.parametrize("other", ["info", "guard"])
def test_a_record_without_a_gate_could_never_ship(edited: Edited, read: Read, around: Surroundings, other: str) -> None:
    record = read(edited(("severity: gate", f"severity: {other}")))

    assert texts(record, around) == [
        (
            "has no gate, so no evidence whatever could lead to SHIP: give the criterion that decides `severity: "
            "gate`, or say `acceptance: none`"
        )
    ]
    assert problems(record, around)[0].line == record.places.of("criteria")


def test_a_mean_alone_would_ship_what_fails_at_once_and_costs_nothing(
    edited: Edited, read: Read, around: Surroundings
) -> None:
    shown = edited((GUARDED, GUARDED.replace("guard", "info")))

    assert texts(read(shown), around) == [
        (
            "AC-6: a candidate that fails at once has a low mean of cost and would ship: add a gate or a guard on "
            "output_valid or product_failure"
        )
    ]
    assert texts(read(shown.replace("measure: cost\n", "measure: cost_per_valid_success\n")), around) == []


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (("alpha: 0.05", "alpha: 0.499999"), "looks.alpha: input should be less than or equal to 0.1"),
        (("max_unknown_share: 0.02", "max_unknown_share: 0.99"), "max_unknown_share: input should be less than"),
    ],
)  # fmt: skip
def test_what_may_go_wrong_or_be_unknown_has_a_bound(
    edited: Edited, problems_of: ProblemsOf, edit: Edit, sentence: str
) -> None:
    found = problems_of(edited(edit))

    assert len(found) == 1
    assert sentence in found[0]


def test_a_production_figure_is_quoted_or_pinned(edited: Edited, read: Read, around: Surroundings) -> None:
    unpublished = read(edited(("      published: true\n", "")))

    assert texts(unpublished, around) == [
        (
            "AC-7: a production figure that nobody can check: name a source of policies/sources.yml in from, and run "
            "`adr pin`; or state published: true, where it is quoted from what stands under Sources"
        )
    ]


def test_a_theory_is_no_baseline_where_production_rows_are(edited: Edited, read: Read, around: Surroundings) -> None:
    theory = edited(
        (BASELINE_7, "source: theoretical\n      n: 36\n      value: 28036\n"),
        ("current production", "the theory"), ("current, where current", "it, which"),
    )  # fmt: skip

    assert texts(read(theory), around) == [
        "AC-7: a theory as latency baseline, although KD-0650 quotes production telemetry of agent_research"
    ]


@pytest.mark.parametrize(("n", "refused"), [(2, True), (19, True), (20, False)])
def test_a_percentile_of_too_few_is_their_largest(
    edited: Edited, read: Read, around: Surroundings, n: int, *, refused: bool
) -> None:
    record = read(edited(("n: 36", f"n: {n}"), ("36 calls", f"{n} calls")))

    sentence = f"AC-7: the p95 of {n} is nothing but their largest: it takes 20 or more, or a lower percentile"
    assert texts(record, around) == ([sentence] if refused else [])


def test_the_times_of_failures_are_no_latency_baseline(edited: Edited, read: Read, around: Surroundings) -> None:
    failures = read(edited(("status: success, tenant", "status: error, tenant")))
    everything = read(edited(("status: success, tenant", "tenant")))

    assert texts(failures, around) == [
        (
            "AC-7: its rows are filtered on status error: how long those took says nothing about an answer's time: "
            "state status: success, or none"
        )
    ]
    assert texts(everything, around) == []


def test_nothing_is_measured_or_decided_on_a_day_to_come(edited: Edited, read: Read, around: Surroundings) -> None:
    around = replace(around, today=dt.date(2026, 5, 9))
    ahead = read(
        edited(("[2026-04-09, 2026-05-09]", "[2026-04-09, 2026-05-10]"), ("date: 2026-05-09", "date: 9999-12-31"))
    )

    assert texts(read(edited()), around) == []
    assert texts(ahead, around) == [
        "date is 9999-12-31, and nowhere is it later than 2026-05-09 yet: state the day it was decided",
        (
            "AC-7: its window ends on 2026-05-10, and nowhere is it later than 2026-05-09 yet: state days that are "
            "over, whose rows can have been measured"
        ),
    ]


def test_the_command_line_knows_what_day_it_is(house: Path, edited: Edited, capsys: pytest.CaptureFixture[str]) -> None:
    """A window of the far future is refused on whatever day this runs."""
    (record,) = (house / "adrs").glob("KD-0650-*.md")
    record.write_text(edited(("[2026-04-09, 2026-05-09]", "[9998-04-09, 9998-05-09]")))

    assert run(["adr", "lint", "KD-0650"]) == 2
    assert "AC-7: its window ends on 9998-05-09, and nowhere is it later than" in capsys.readouterr().out
