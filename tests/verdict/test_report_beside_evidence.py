"""What a report says beside the evidence: what is watched since a pass, what can't be, and what would decide then."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_regression_after_a_pass import KINDS, times_worse
from test_shares_judged import CONCURRENT, RATE, SAMPLED, around, cell, grids, in_arms, judged, times
from verdict_worlds import P95, block

from dispatcher.verdict.evidence.grid import GridCounts
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measured import Arm, Counted, Distribution
from dispatcher.verdict.report.prose import as_text


def told(verdict: Verdict) -> str:
    return as_text(verdict).replace("\n  ", " ")


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind_that_passed_it_is_said_what_came_since(kind: str) -> None:
    text = told(KINDS[kind][0](np.random.default_rng(11), times_worse(1.0)))

    assert "- what came since its pass: " in text
    assert " of the 520 that alarm; the evidence against it goes on counting all weeks" in text
    assert "not watched" not in text


def test_a_pass_at_the_last_look_has_nothing_to_watch_yet() -> None:
    assert "what came since" not in told(judged(block(P95), [cell(1, 100, 0)]))


@pytest.mark.parametrize(("rows", "said"), [(36, True), (135, True), (300, False)])
def test_a_sample_that_can_never_carry_a_fail_is_named(rows: int, said: bool) -> None:
    sample = Distribution({18_000 + 30 * n: 1 for n in range(rows)})
    seen = GridCounts(tuple(times(Arm.CANDIDATE, [20_000] * 300)), sample)
    text = told(judged(block(SAMPLED), [cell(1, 300, 0)], grids={"AC-7": seen}))

    assert (f"- not watched: {rows} pinned rows can carry a pass and no fail" in text) is said


def test_where_too_much_is_unknown_no_number_of_conversations_would_decide() -> None:
    counted = {"AC-7": Counted({(1, 0, 0): 100}, unknown=30)}
    text = told(judged(block(P95), [cell(1, 100, 0, counted=counted)]))

    assert "would decide: fewer unknown values: 30 of 100 are unknown in the worse arm, and 2" in text
    assert "more conversation" not in text


def test_beside_a_control_more_of_the_same_is_what_would_not_decide() -> None:
    """At the limit it takes another candidate; a million clean ones of one arm aren't the question."""
    at_the_limit = grids(around(30_000, 200), around(20_000, 200))
    verdict = judged(block(CONCURRENT), in_arms(200, 200), weeks=6, grids=at_the_limit)

    assert Reason.UNDECIDABLE_AT_TRAFFIC in verdict.reasons
    assert "more of the same wouldn't by the last look" in told(verdict)
    assert "million" not in told(verdict)


@pytest.mark.parametrize("criterion", [CONCURRENT, RATE], ids=["a percentile", "a rate"])
def test_without_a_row_of_the_control_nobody_knows_what_is_out_of_reach(criterion: dict[str, object]) -> None:
    name = str(criterion["id"])
    seen = {"AC-7": GridCounts(tuple(times(Arm.CANDIDATE, around(20_000, 200))))} if name == "AC-7" else {}
    cells = [cell(1, 200, 0, name=name), cell(9, 0, 0, name=name, arm=Arm.CONTROL, dispatches=0)]
    verdict = judged(block(criterion), cells, weeks=6, grids=seen)

    assert Reason.UNDECIDABLE_AT_TRAFFIC not in verdict.reasons


def test_an_arm_without_any_row_is_not_waited_for() -> None:
    """There being no data says that no look could take any in."""
    waiting = dataclasses.replace(cell(1, 30, 0, arm=Arm.CONTROL), look=None)
    verdict = judged(block(CONCURRENT), [waiting], grids={"AC-7": GridCounts(())})

    assert Reason.NO_DATA in verdict.reasons
    assert Reason.NEEDS_TIME not in verdict.reasons


def test_an_alarm_of_the_only_tenant_is_no_news() -> None:
    assert "alarm for" not in told(judged(block(P95), [cell(1, 200, 60)]))
