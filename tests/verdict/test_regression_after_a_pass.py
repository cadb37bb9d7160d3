"""What was good and becomes bad after an early pass: each kind of claim is watched, held, and rolled back at last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from test_shares_judged import CONCURRENT, RATE, SAMPLED, cell, judged
from verdict_worlds import COST, P95, block

from dispatcher.verdict.evidence.e_process import MEAN_LOOKS_TO_ALARM
from dispatcher.verdict.evidence.grid import GridCounts, GridRow, Side, bucket_of, grid_rows
from dispatcher.verdict.judgement.finding import Finding, State
from dispatcher.verdict.judgement.judge import Outcome, Verdict
from dispatcher.verdict.measured import Arm, Cell, Distribution, Valued
from dispatcher.verdict.sums import Sums

WEEKS, GOOD, CALLS = 40, 12, 100
RUNS = 5
Draw = np.random.Generator
Rising = Callable[[int], float]


def times_worse(factor: float) -> Rising:
    return lambda week: 1.0 if week <= GOOD else factor


def weibull(rng: Draw, count: int, factor: float = 1.0) -> list[int]:
    return [int(value) for value in factor * 20_698 * rng.weibull(3.616, count)]


def gridded(look: int, arm: Arm, values: Iterable[int]) -> list[GridRow]:
    scale = 1.5 if arm is Arm.CANDIDATE else 1
    buckets = [[bucket_of(-int(-value // scale))] for value in values]
    return [row for side in Side for row in grid_rows(look, arm, side, buckets)]


def by_number(rng: Draw, worse: Rising) -> Verdict:
    cells = [cell(week, CALLS, int(rng.binomial(CALLS, 0.01 * worse(week)))) for week in range(1, WEEKS + 1)]
    return judged(block(P95), cells, weeks=WEEKS)


def by_control(rng: Draw, worse: Rising) -> Verdict:
    rows = []
    for week in range(1, WEEKS + 1):
        rows += gridded(week, Arm.CANDIDATE, weibull(rng, CALLS, worse(week)))
        rows += gridded(week, Arm.CONTROL, weibull(rng, CALLS))
    return judged(block(CONCURRENT), both_arms("AC-7"), weeks=WEEKS, grids={"AC-7": GridCounts(tuple(rows))})


def by_sample(rng: Draw, worse: Rising) -> Verdict:
    sample: dict[int, int] = {}
    for value in weibull(rng, 2000):
        sample[value] = sample.get(value, 0) + 1
    rows = [
        row
        for week in range(1, WEEKS + 1)
        for row in gridded(week, Arm.CANDIDATE, weibull(rng, CALLS, worse(week)))
    ]  # fmt: skip
    grids = {"AC-7": GridCounts(tuple(rows), Distribution(sample))}
    return judged(block(SAMPLED), [cell(week, CALLS, 0) for week in range(1, WEEKS + 1)], weeks=WEEKS, grids=grids)


def by_rate(rng: Draw, worse: Rising) -> Verdict:
    cells = []
    for week in range(1, WEEKS + 1):
        cells.append(cell(week, CALLS, int(rng.binomial(CALLS, 0.02 * worse(week))), name="AC-V"))
        cells.append(cell(week, CALLS, int(rng.binomial(CALLS, 0.02)), name="AC-V", arm=Arm.CONTROL))
    return judged(block(RATE), cells, weeks=WEEKS)


def by_mean(rng: Draw, worse: Rising) -> Verdict:
    cells = []
    for week in range(1, WEEKS + 1):
        for arm, mean in ((Arm.CANDIDATE, 0.2 * worse(week)), (Arm.CONTROL, 1.0)):
            values = [int(1e8 * mean * value) for value in rng.lognormal(-0.18, 0.6, CALLS)]
            sums = Sums(CALLS, CALLS, CALLS, sum(values), sum(values), sum(value**2 for value in values))
            cells.append(cell(week, CALLS, 0, name="AC-6", arm=arm, valued={"AC-6": Valued(sums)}))
    return judged(block(COST), cells, weeks=WEEKS)


def both_arms(name: str) -> list[Cell]:
    arms = (Arm.CANDIDATE, Arm.CONTROL)
    return [cell(week, CALLS, 0, name=name, arm=arm) for week in range(1, WEEKS + 1) for arm in arms]


KINDS: dict[str, tuple[Callable[[Draw, Rising], Verdict], float]] = {
    "a number": (by_number, 12.0),
    "the control's percentile": (by_control, 2.2),
    "a pinned sample": (by_sample, 2.2),
    "the control's rate": (by_rate, 15.0),
    "the control's mean": (by_mean, 5.0),
}


def first(finding: Finding, reached: Iterable[bool]) -> int | None:
    return next((week for week, yes in enumerate(reached, start=1) if yes), None)


def alarmed(finding: Finding) -> int | None:
    alarm = math.log(MEAN_LOOKS_TO_ALARM)
    return first(finding, (look.log_detector is not None and look.log_detector >= alarm for look in finding.looks))


@pytest.mark.parametrize("kind", KINDS)
def test_a_regression_after_an_early_pass_is_alarmed_and_then_rolled_back(kind: str) -> None:
    judge_one, factor = KINDS[kind]
    rng = np.random.default_rng(20261121)
    for _ in range(RUNS):
        verdict = judge_one(rng, times_worse(factor))
        finding = verdict.findings[0]
        watched_from = first(finding, (look.log_detector is not None for look in finding.looks))
        alarm = alarmed(finding)

        assert (finding.state, verdict.outcome) == (State.FAIL, Outcome.ROLLBACK)
        assert watched_from is not None
        assert watched_from <= GOOD + 1
        assert alarm is not None
        assert GOOD < alarm <= GOOD + 8


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_changes_no_detector_alarms(kind: str) -> None:
    judge_one, _ = KINDS[kind]
    rng = np.random.default_rng(20261122)
    for _ in range(RUNS):
        verdict = judge_one(rng, times_worse(1.0))

        assert verdict.outcome is Outcome.SHIP
        assert alarmed(verdict.findings[0]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_between_the_alarm_and_the_evidence_the_verdict_is_hold(kind: str) -> None:
    """The detector forgets what was good before, and the evidence of all weeks doesn't: it is earlier."""
    judge_one, factor = KINDS[kind]
    finding = judge_one(np.random.default_rng(20261123), times_worse(factor)).findings[0]
    failed = first(
        finding,
        (
            look.log_e_fail >= -math.log(finding.levels.to_fail)
            if look.log_e_fail is not None
            else look.half_width_fail is not None and (look.difference or 0) > look.half_width_fail
            for look in finding.looks
        ),
    )
    alarm = alarmed(finding)

    assert alarm is not None
    assert failed is not None
    assert alarm <= failed
