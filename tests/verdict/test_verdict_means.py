"""Means judged from cells made by hand: what may cross, what can't alarm, and the figures beside it."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from verdict_worlds import COST, DAY, P95, START, block, record

from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin
from dispatcher.verdict.epoch import Epoch
from dispatcher.verdict.judgement.finding import Finding, Reason, State
from dispatcher.verdict.judgement.judge import Outcome, Verdict, judge, outcome_of
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Arm, Cell, Counted, Measurement, Valued
from dispatcher.verdict.report.document import as_document
from dispatcher.verdict.report.prose import as_text
from dispatcher.verdict.sums import Sums

CENT, DOLLAR = 10_000_000, 1_000_000_000
MEAN_GUARD = COST | {"severity": "guard"}
AT_MOST_A_CENT = MEAN_GUARD | {"at_most": {"value": 0.01}, "baseline": {"source": "own-target"}}


def cell(arm: Arm, cost: int | None, clusters: int = 1, *, look: int = 1, share: float | None = 0.5) -> Cell:
    """Conversations of one dispatch each that cost the same."""
    valued = Valued(Sums(), clusters)
    if cost is not None:
        total = cost * clusters
        valued = Valued(Sums(clusters, clusters, clusters, total, total, cost * total))
    return Cell(
        look=look,
        tenant="script",
        share=share,
        arm=arm,
        clusters=clusters,
        dispatches=clusters,
        counted={"AC-7": Counted({(1, 0, 0): clusters})},
        valued={"AC-6": valued},
    )


def varied(arm: Arm, cost: int, clusters: int, **changed: Any) -> list[Cell]:
    """Half a tenth dearer, half a tenth cheaper."""
    return [
        cell(arm, cost * 9 // 10, clusters // 2, **changed),
        cell(arm, cost * 11 // 10, clusters - clusters // 2, **changed),
    ]


def judged(acceptance: Acceptance, cells: list[Cell], *, registered: bool = True) -> Verdict:
    weeks = max((each.look for each in cells if each.look is not None), default=1)
    measurement = Measurement(cells=tuple(cells), excluded={}, distributions={}, sql="", distribution_sql=None)
    start = START if registered else None
    looks = Looks(start=start, as_of=START + 7 * weeks * DAY, window=0 * DAY, settle=DAY, max_weeks=52)
    epoch = Epoch(number=1, start=START, candidate_hash="b", record_hash=acceptance.hash) if registered else None
    return judge(record(acceptance), acceptance, Origin.PRODUCTION, epoch, looks, measurement)


def cost_of(verdict: Verdict) -> Finding:
    return next(finding for finding in verdict.findings if finding.criterion.id == "AC-6")


ENOUGH = [cell(Arm.CANDIDATE, DOLLAR, 100), *varied(Arm.CONTROL, DOLLAR, 100)]


@pytest.mark.parametrize(
    ("guard", "cells"),
    [
        (AT_MOST_A_CENT, [cell(Arm.CANDIDATE, DOLLAR, 100), cell(Arm.CONTROL, DOLLAR, 100)]),
        (MEAN_GUARD, [*varied(Arm.CANDIDATE, CENT, 100, share=0.9), cell(Arm.CONTROL, CENT, share=0.9)]),
        (MEAN_GUARD, [*varied(Arm.CANDIDATE, CENT, 90, share=0.98), *varied(Arm.CONTROL, CENT, 90, share=0.02)]),
    ],
    ids=["costs that never vary", "one control", "no share in common"],
)
def test_a_guard_on_a_mean_that_could_not_alarm_stands_in_the_way(guard: dict[str, Any], cells: list[Cell]) -> None:
    verdict = judged(block(P95, guard), cells)

    assert verdict.findings[0].state is State.PASS
    assert (verdict.outcome, verdict.reasons) == (Outcome.HOLD, (Reason.THIN_DATA,))


def test_a_guard_on_a_mean_that_could_have_alarmed_and_has_not_lets_it_ship() -> None:
    cells = [*varied(Arm.CANDIDATE, CENT, 100), *varied(Arm.CONTROL, 2 * CENT, 100)]

    assert judged(block(P95, MEAN_GUARD), cells).outcome is Outcome.SHIP


def test_only_conversations_that_are_compared_count_towards_the_fewest() -> None:
    compared = [*varied(Arm.CANDIDATE, CENT, 10), *varied(Arm.CONTROL, 10 * CENT, 10)]
    alone = [*varied(Arm.CANDIDATE, CENT, 60, share=0.9), *varied(Arm.CONTROL, 10 * CENT, 60, share=0.1)]
    finding = cost_of(judged(block(COST), compared + alone))

    assert (finding.state, finding.reasons) == (State.INCONCLUSIVE, (Reason.THIN_DATA,))
    assert finding.forecast is not None
    assert finding.forecast.more == 40


def test_a_heavy_tenant_with_few_conversations_cannot_be_spoken_for_by_a_light_one_with_many() -> None:
    """Nine tenths of the weight rest on four conversations, so the mean does, whatever the other tenant's hundreds."""
    heavy, light = ("heavy", 4), ("light", 400)
    cells = [
        dataclasses.replace(each, tenant=tenant)
        for tenant, clusters in (heavy, light)
        for arm, cost in ((Arm.CANDIDATE, CENT), (Arm.CONTROL, 10 * CENT))
        for each in varied(arm, cost, clusters)
    ]
    by_weight = {
        weight: cost_of(judged(block(COST, tenants={"heavy": weight, "light": 1 - weight}), cells)).state
        for weight in (Decimal("0.9"), Decimal("0.01"))
    }

    assert by_weight == {Decimal("0.9"): State.INCONCLUSIVE, Decimal("0.01"): State.PASS}


def test_a_dear_tenant_with_few_conversations_cannot_be_spoken_for_by_a_cheap_one_with_many() -> None:
    """A tenth of the weight at thirty times the cost is most of the mean, and of what varies in it."""
    cells = [
        dataclasses.replace(each, tenant=tenant)
        for tenant, clusters, times in (("dear", 6, 30), ("cheap", 400, 1))
        for arm, cost in ((Arm.CANDIDATE, CENT), (Arm.CONTROL, 10 * CENT))
        for each in varied(arm, cost * times, clusters)
    ]
    finding = cost_of(judged(block(COST, tenants={"dear": 0.1, "cheap": 0.9}), cells))

    assert (finding.state, finding.reasons) == (State.INCONCLUSIVE, (Reason.THIN_DATA,))


def test_a_crossing_counts_only_where_few_values_were_unknown_at_that_look() -> None:
    first = [*varied(Arm.CANDIDATE, CENT, 60), cell(Arm.CANDIDATE, None, 20), *varied(Arm.CONTROL, 10 * CENT, 60)]
    later = [*varied(Arm.CANDIDATE, 8 * CENT, 1000, look=2), *varied(Arm.CONTROL, 10 * CENT, 1000, look=2)]
    finding = cost_of(judged(block(COST | {"at_most": {"times_control": 0.77}}), first + later))

    assert (finding.state, finding.reasons) == (State.INCONCLUSIVE, (Reason.NEAR_MARGIN,))


def test_too_many_unknown_values_in_the_end_undo_an_earlier_crossing() -> None:
    first = [*varied(Arm.CANDIDATE, CENT, 60), *varied(Arm.CONTROL, 10 * CENT, 60)]
    finding = cost_of(judged(block(COST), [*first, cell(Arm.CANDIDATE, None, 20, look=2)]))

    assert (finding.state, finding.reasons) == (State.INCONCLUSIVE, (Reason.UNKNOWN_SHARE,))


def test_the_limit_and_the_figures_are_weighted_as_the_judgement_is() -> None:
    """Pooled, the candidate would look cheaper than the control, of which it is the dearer in every stratum."""
    cells = [
        *varied(Arm.CANDIDATE, 2 * CENT, 900, share=0.9),
        *varied(Arm.CONTROL, CENT, 100, share=0.9),
        *varied(Arm.CANDIDATE, 20 * CENT, 100, share=0.1),
        *varied(Arm.CONTROL, 10 * CENT, 900, share=0.1),
    ]
    finding = cost_of(judged(block(COST | {"at_most": {"times_control": 1.0}}), cells))
    figures = finding.entered

    assert finding.state is State.FAIL
    assert (figures[Arm.CANDIDATE].figure, figures[Arm.CONTROL].figure) == (Fraction(11, 100), Fraction(11, 200))
    assert finding.limit == Fraction(11, 200)
    assert finding.looks[-1].difference == pytest.approx(float(Fraction(11, 200)))


def test_costs_that_never_vary_are_told_from_too_few_conversations() -> None:
    verdict = judged(block(COST), [cell(Arm.CANDIDATE, CENT, 100), cell(Arm.CONTROL, 10 * CENT, 100)])
    look = as_document(verdict)["findings"][0]["looks"][-1]

    assert "the values don't vary, so it has no interval" in " ".join(as_text(verdict).split())
    assert (look["difference"], look["half_width_pass"], look["half_width_fail"]) == (-0.04, None, None)


def test_a_record_that_is_neither_registered_nor_judgeable_says_both() -> None:
    concurrent = P95 | {"at_most": {"times_control": 1.5}, "baseline": {"source": "concurrent-control"}}
    verdict = judged(block(concurrent), ENOUGH, registered=False)

    assert (verdict.outcome, verdict.reasons) == (Outcome.HOLD, (Reason.NOT_REGISTERED, Reason.NOT_JUDGEABLE))


def test_nothing_ships_without_a_pass_of_every_gate() -> None:
    passed = judged(block(P95), ENOUGH).findings[0]
    undecided = dataclasses.replace(passed, state=State.INCONCLUSIVE)

    assert outcome_of([passed], set(), set()) is Outcome.SHIP
    assert outcome_of([passed, undecided], set(), set()) is Outcome.HOLD
    assert outcome_of([], set(), set()) is Outcome.HOLD
