"""Shares judged from counts made by hand: against a number, a sample, the control; and what may hide the truth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from verdict_worlds import DAY, P95, START, VALID, block, record

from dispatcher.adr.criterion import Measure
from dispatcher.adr.document import Acceptance
from dispatcher.audit.record import Origin
from dispatcher.verdict.epoch import Epoch
from dispatcher.verdict.evidence.e_process import MEAN_LOOKS_TO_ALARM
from dispatcher.verdict.evidence.grid import GridCounts, GridRow, Side, bucket_of, grid_rows
from dispatcher.verdict.judgement.finding import Reason, State
from dispatcher.verdict.judgement.judge import Outcome, Verdict, invalidated, judge
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Arm, Cell, Counted, Distribution, Measurement

CONCURRENT = P95 | {"at_most": {"times_control": 1.5}, "baseline": {"source": "concurrent-control"}}
SAMPLED = P95 | {
    "baseline": P95["baseline"]
    | {"published": False, "from": "log", "treat_as": "sample", "ranks": {"file": "AC-7.csv", "sha256": "0" * 64}}
}
RATE = VALID | {"severity": "gate", "at_least": {"times_control": 0.9}, "baseline": {"source": "concurrent-control"}}
BY_TENANT: dict[str, Any] = {"assignment": {"kind": "tenant_flag"}}
HALVES = {"script": 0.5, "acme": 0.5}


def cell(look: int, n: int, above: int, name: str = "AC-7", arm: Arm = Arm.CANDIDATE, **changed: Any) -> Cell:
    """Single calls, so many above the limit."""
    counted = {name: Counted({(1, 0, 0): n - above, (1, 1, 1): above})}
    made: dict[str, Any] = {"tenant": "script", "share": 0.5, "clusters": n, "dispatches": n, "counted": counted}
    return Cell(look=look, arm=arm, **made | changed)


def judged(acceptance: Acceptance, cells: Iterable[Cell], weeks: int = 1, **measured: Any) -> Verdict:
    seen = list(cells)
    if all(each.arm is Arm.CANDIDATE for each in seen):
        seen += [dataclasses.replace(each, arm=Arm.CONTROL) for each in seen]
    given: dict[str, Any] = {"excluded": {}, "distributions": {}, "sql": "", "distribution_sql": None} | measured
    measurement = Measurement(cells=tuple(seen), **given)
    looks = Looks(
        start=START, as_of=START + 7 * weeks * DAY, window=0 * DAY, settle=DAY, max_weeks=acceptance.looks.max_weeks
    )
    epoch = Epoch(number=1, start=START, candidate_hash="b", record_hash=acceptance.hash)
    return judge(record(acceptance), acceptance, Origin.PRODUCTION, epoch, looks, measurement)


def times(arm: Arm, values: Iterable[int], look: int = 1, tenant: str = "") -> list[GridRow]:
    """Rows of single calls; the candidate's times are divided by 1.5 first."""
    scale = 1.5 if arm is Arm.CANDIDATE else 1
    buckets = [[bucket_of(-int(-value // scale))] for value in values]
    return [row for side in Side for row in grid_rows(look, arm, side, buckets, tenant)]


def around(p95: int, count: int) -> list[int]:
    """Times spread evenly around a median, of which one in twenty lies above so many milliseconds."""
    return [round(p95 * (0.4 + 0.6 * (n + 0.5) / count / 0.95)) for n in range(count)]


def grids(candidate: list[int], control: list[int]) -> Mapping[str, GridCounts]:
    return {"AC-7": GridCounts(tuple(times(Arm.CANDIDATE, candidate) + times(Arm.CONTROL, control)))}


def in_arms(candidate: int, control: int, **changed: Any) -> list[Cell]:
    """Cells whose own counts say nothing."""
    return [cell(1, candidate, 0, **changed), cell(1, control, 0, arm=Arm.CONTROL, **changed)]


@pytest.mark.parametrize(
    ("candidate", "outcome", "reasons"),
    [
        (around(20_000, 600), Outcome.SHIP, []),
        (around(60_000, 600), Outcome.ROLLBACK, []),
        (around(30_000, 600), Outcome.HOLD, [Reason.NEAR_MARGIN]),
        (around(20_000, 60), Outcome.HOLD, [Reason.THIN_DATA]),
    ],
    ids=["as fast", "three times slower", "at the limit", "too few"],
)
def test_a_percentile_beside_the_control_is_judged_by_the_bound(
    candidate: list[int], outcome: Outcome, reasons: list[Reason]
) -> None:
    verdict = judged(
        block(CONCURRENT), in_arms(len(candidate), len(candidate)), grids=grids(candidate, around(20_000, 600))
    )  # fmt: skip

    assert (verdict.outcome, [*verdict.reasons]) == (outcome, reasons)


def test_its_looks_count_what_is_above_the_multiple_of_the_controls_percentile_so_far() -> None:
    look = judged(
        block(CONCURRENT), in_arms(600, 600), grids=grids(around(60_000, 600), around(20_000, 600))
    ).findings[0].looks[0]  # fmt: skip

    assert (look.n, look.clusters) == (600, 600)
    assert look.k == sum(value > 30_000 for value in around(60_000, 600))


@pytest.mark.parametrize("ended", ["slow", "failed"])
def test_a_pass_whose_own_percentile_lies_beyond_the_limit_by_now_is_an_alarm(ended: str) -> None:
    """One in twelve is too few for a detector; where those fail, the p95 is no number, and beyond every limit."""
    failed = 1 if ended == "failed" else 0
    cells = [cell(1, 90, 0), *(cell(week, 12, 1, failed=failed) for week in range(2, 15))]
    all_of_them = {20_000: 233} | ({90_000: 13} if ended == "slow" else {})
    values = Distribution(all_of_them, without=13 * failed)
    measured = {(Measure.RESPONSE_TIME_MS, True, Arm.CANDIDATE): values}
    finding = judged(block(P95), cells, weeks=14, distributions=measured).findings[0]

    assert (finding.state, finding.reasons) == (State.PASS, (Reason.LATE_ALARM,))
    assert max(look.log_detector or 0 for look in finding.looks) < math.log(MEAN_LOOKS_TO_ALARM)


def test_a_pinned_sample_lets_a_fast_candidate_ship_and_can_never_roll_one_back() -> None:
    sample = Distribution({18_000 + 300 * n: 1 for n in range(36)})
    verdicts = [
        judged(block(SAMPLED), [cell(1, 300, 0)], grids={"AC-7": GridCounts(tuple(times(Arm.CANDIDATE, seen)), sample)})
        for seen in ([20_000] * 300, [900_000] * 300)
    ]

    assert [verdict.outcome for verdict in verdicts] == [Outcome.SHIP, Outcome.HOLD]


def test_without_its_counts_a_percentile_beside_the_control_cannot_be_judged() -> None:
    assert judged(block(CONCURRENT), in_arms(600, 600)).reasons == (Reason.NOT_JUDGEABLE,)


def test_arms_drawn_at_two_shares_are_not_compared_by_one_process() -> None:
    cells = in_arms(600, 600) + in_arms(1, 1, share=0.9)
    verdict = judged(block(CONCURRENT), cells, grids=grids(around(20_000, 600), around(20_000, 600)))

    assert Reason.ASSIGNMENT_NOT_COMPARABLE in verdict.reasons


def test_a_tenant_that_is_slower_than_its_own_control_alarms_whatever_the_others_do() -> None:
    rows = [
        *times(Arm.CANDIDATE, around(10_000, 900), tenant="script"),
        *times(Arm.CONTROL, around(20_000, 900), tenant="script"),
        *times(Arm.CANDIDATE, around(25_000, 60), tenant="acme"),
        *times(Arm.CONTROL, around(5_000, 300), tenant="acme"),
    ]
    verdict = judged(
        block(CONCURRENT, tenants=HALVES), in_arms(960, 1200), grids={"AC-7": GridCounts(tuple(rows))}
    )  # fmt: skip

    assert verdict.findings[0].tenants == ("acme",)
    assert verdict.outcome is not Outcome.SHIP


@pytest.mark.parametrize(
    ("above", "control", "state"),
    [(60, 60, State.PASS), (900, 60, State.FAIL), (260, 60, State.INCONCLUSIVE)],
    ids=["as good", "far worse", "near the limit"],
)
def test_a_rate_beside_the_control_is_judged_from_the_cells_of_both_arms(
    above: int, control: int, state: State
) -> None:
    """Valid at least 0.9 × as often: of 97 % that is 87.3 %."""
    cells = [cell(1, 2000, above, "AC-V"), cell(1, 2000, control, "AC-V", Arm.CONTROL)]
    finding = judged(block(RATE), cells).findings[0]

    assert finding.state is state
    assert finding.looks[0].k == above


def test_what_is_not_known_is_against_the_claim_in_either_arm() -> None:
    """An unknown report of the candidate is invalid where a pass is to be shown, one of the control isn't."""
    unknown = {"AC-V": Counted({(1, 0, 0): 1940, (1, 1, 0): 60})}
    known = {"AC-V": Counted({(1, 0, 0): 1940, (1, 1, 1): 60})}

    def log_e(candidate: dict[str, Counted], control: dict[str, Counted]) -> tuple[float | None, float | None]:
        cells = [cell(1, 2000, 0, counted=candidate), cell(1, 2000, 0, counted=control, arm=Arm.CONTROL)]
        look = judged(block(RATE), cells).findings[0].looks[0]
        return look.log_e_pass, look.log_e_fail

    clear = log_e(known, known)
    assert log_e(unknown, known)[0] == clear[0]
    assert log_e(unknown, known)[1] < clear[1]  # type: ignore[operator]
    assert log_e(known, unknown)[0] < clear[0]  # type: ignore[operator]
    assert log_e(known, unknown)[1] == clear[1]


def test_what_breaks_the_limit_long_after_a_pass_holds_the_ship_and_then_rolls_it_back() -> None:
    good = [cell(look, 20, 0) for look in range(1, 41)]
    bad = [cell(look, 20, 3) for look in range(41, 61)]
    verdicts = {
        weeks: judged(block(P95, looks=LONG), [each for each in good + bad if (each.look or 0) <= weeks], weeks)
        for weeks in (40, 48, 60)
    }

    assert [(verdict.outcome, [*verdict.reasons]) for verdict in verdicts.values()] == [
        (Outcome.SHIP, []), (Outcome.HOLD, [Reason.LATE_ALARM]), (Outcome.HOLD, [Reason.LATE_ALARM]),
    ]  # fmt: skip
    assert verdicts[48].findings[0].state is State.PASS
    assert [look.log_detector is None for look in verdicts[40].findings[0].looks] == [True] * 5 + [False] * 35


LONG = {"cadence": "weekly", "method": "anytime", "alpha": 0.05, "max_weeks": 80, "settle": "24h"}


def test_a_fail_needs_no_alarm_any_more() -> None:
    cells = [cell(1, 84, 0), *(cell(look, 60, 20) for look in range(2, 6))]
    finding = judged(block(P95), cells, weeks=5).findings[0]

    assert (finding.state, finding.reasons) == (State.FAIL, ())


def test_the_mix_of_tenants_may_not_decide_where_nobody_drew_them() -> None:
    """Acme has half of the weight and a tenth of the calls; by weight the limit is broken, by calls it is kept."""
    cells = [cell(1, 600, 2), cell(1, 60, 6, tenant="acme")]
    drawn, set_by_tenant = (
        judged(block(P95, tenants=HALVES, **assignment), cells).findings[0] for assignment in ({}, BY_TENANT)
    )

    assert drawn.state is State.PASS
    assert (set_by_tenant.state, set_by_tenant.reasons) == (
        State.INCONCLUSIVE, (Reason.ASSIGNMENT_NOT_COMPARABLE,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("drift", "state"), [(1.0, State.FAIL), (1.3, State.INCONCLUSIVE)], ids=["the candidate's", "everybody's"]
)
def test_a_fail_is_not_the_candidates_where_those_who_stayed_became_slower_too(drift: float, state: State) -> None:
    stayed = [round(value * drift) for value in around(30_000, 900)]
    before = Distribution({value: around(30_000, 900).count(value) for value in set(around(30_000, 900))})
    rows = [row for side in Side for row in grid_rows(1, Arm.CANDIDATE, side, [[bucket_of(v)] for v in stayed])]
    finding = judged(
        block(P95, **BY_TENANT), [cell(1, 200, 40)], drift={"AC-7": {"stayed": GridCounts(tuple(rows), before)}}
    ).findings[0]  # fmt: skip

    assert finding.state is state
    assert (Reason.ASSIGNMENT_NOT_COMPARABLE in finding.reasons) == (state is State.INCONCLUSIVE)


def test_what_cannot_be_decided_by_the_last_look_is_said_so() -> None:
    """Three exceedances of sixty after four weeks of fifteen: a pass takes 183 more, and ten looks are left."""
    cells = [cell(look, 15, int(look < 4)) for look in range(1, 5)]
    looks = LONG | {"max_weeks": 14}
    finding = judged(block(P95, looks=looks), cells, weeks=4).findings[0]

    assert Reason.UNDECIDABLE_AT_TRAFFIC in finding.reasons
    assert Reason.UNDECIDABLE_AT_TRAFFIC not in judged(block(P95), cells, weeks=4).reasons


def test_the_forecast_beside_a_control_is_of_more_like_those_so_far() -> None:
    seen = grids(around(20_000, 60), around(20_000, 60))
    forecast = judged(block(CONCURRENT), in_arms(60, 60), grids=seen).findings[0].forecast

    assert forecast is not None
    assert forecast.alike
    grown = grids(around(20_000, 60 * (1 + forecast.weeks)), around(20_000, 60 * (1 + forecast.weeks)))
    enough = 60 + forecast.more
    assert judged(block(CONCURRENT), in_arms(enough, enough), grids=grown).outcome is Outcome.SHIP
    assert forecast.more == 60 * forecast.weeks


def test_a_gap_in_the_log_is_invalid() -> None:
    assert judged(block(P95), [cell(1, 100, 0)], gaps=3).reasons == (Reason.LOG_GAP,)


def test_what_is_found_of_the_past_or_of_a_baseline_invalidates_whatever_was_said() -> None:
    verdict = judged(block(P95), [cell(1, 100, 0)])
    found = invalidated(verdict, [Reason.HISTORY_CHANGED, Reason.BASELINE_NOT_REPRODUCIBLE])

    assert verdict.outcome is Outcome.SHIP
    assert (found.outcome, found.reasons) == (
        Outcome.INVALID, (Reason.BASELINE_NOT_REPRODUCIBLE, Reason.HISTORY_CHANGED),
    )  # fmt: skip
    assert invalidated(verdict, []) is verdict
    assert invalidated(dataclasses.replace(verdict, epoch=None), [Reason.HISTORY_CHANGED]).outcome is Outcome.SHIP


def test_what_a_criterion_is_not_about_is_no_data_for_it() -> None:
    """A measure of later turns: a hundred first turns are none of them, and ten later ones are few."""
    hits = VALID | {
        "id": "AC-H", "severity": "gate", "measure": "cache_hit", "says": "95 % of later turns read from the cache",
    }  # fmt: skip
    first_turns = cell(1, 100, 0, counted={"AC-H": Counted({})})
    with_later = cell(1, 100, 0, counted={"AC-H": Counted({(1, 0, 0): 10})})

    assert [judged(block(hits), [each]).reasons for each in (first_turns, with_later)] == [
        (Reason.NO_DATA,), (Reason.THIN_DATA,),
    ]  # fmt: skip
