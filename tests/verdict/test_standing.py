"""Crossings that contradict each other, and a whole record judged again and again where nothing differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from verdict_worlds import COST, DAY, P95, START, block, record

from dispatcher.audit.record import Origin
from dispatcher.verdict.epoch import Epoch
from dispatcher.verdict.judgement.finding import Reason, State
from dispatcher.verdict.judgement.judge import Outcome, judge
from dispatcher.verdict.judgement.standing import Standing, standing_of
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Arm, Cell, Counted, Measurement, Valued
from dispatcher.verdict.sums import Sums

NEAR = frozenset({Reason.NEAR_MARGIN})


@pytest.mark.parametrize(
    ("passed", "failed", "expected"),
    [
        ([], [], Standing(State.INCONCLUSIVE)),
        ([0, 0, 0], [0, 0, 0], Standing(State.INCONCLUSIVE)),
        ([0, 1, 0], [0, 0, 0], Standing(State.PASS)),
        ([0, 0, 0], [0, 1, 0], Standing(State.FAIL, failed_once=True)),
        ([1, 0, 0], [0, 0, 1], Standing(State.FAIL, failed_once=True)),
        ([0, 0, 1], [1, 0, 0], Standing(State.INCONCLUSIVE, NEAR, failed_once=True)),
        ([0, 1, 1], [0, 1, 0], Standing(State.INCONCLUSIVE, NEAR, failed_once=True)),
    ],
    ids=["no look", "nothing crossed", "a pass stays", "a fail stays", "fail after pass", "pass after fail", "both"],
)
def test_the_later_of_two_crossings_stands_and_a_pass_after_a_fail_is_neither(
    passed: list[int], failed: list[int], expected: Standing
) -> None:
    assert standing_of([*map(bool, passed)], [*map(bool, failed)]) == expected


SAME = block(
    P95 | {"at_most": {"value": 20_000}, "baseline": {"source": "own-target"}},
    COST | {"at_most": {"times_control": 1.0}},
    traffic={"dispatches_per_month": 80, "dispatches_per_conversation": 1},
    assignment={"kind": "sticky_share", "by": "conversation", "share": 0.5},
)


def both_alike(rng: np.random.Generator, look: int) -> list[Cell]:
    """One week in which both arms draw from the same costs and the same times, of which 5 % lie above the limit."""
    cells = []
    for arm in (Arm.CANDIDATE, Arm.CONTROL):
        for cost, above in zip(rng.lognormal(14, 0.6, size=9).astype(int), rng.random(9) < 0.05, strict=True):
            counted = {"AC-7": Counted({(1, int(above), int(above)): 1})}
            valued = {"AC-6": Valued(Sums(1, 1, 1, int(cost), int(cost), int(cost) ** 2))}
            stratum: dict[str, Any] = {"look": look, "tenant": "script", "share": 0.5, "arm": arm}
            cells.append(Cell(**stratum, clusters=1, dispatches=1, counted=counted, valued=valued))
    return cells


def outcome_of(rng: np.random.Generator) -> Outcome:
    weeks = 26
    cells = tuple(cell for look in range(1, weeks + 1) for cell in both_alike(rng, look))
    measurement = Measurement(cells=cells, excluded={}, distributions={}, sql="", distribution_sql=None)
    looks = Looks(start=START, as_of=START + 7 * weeks * DAY, window=0 * DAY, settle=DAY, max_weeks=52)
    epoch = Epoch(number=1, start=START, candidate_hash="b", record_hash=SAME.hash)
    return judge(record(SAME), SAME, Origin.PRODUCTION, epoch, looks, measurement).outcome


def test_a_control_held_against_itself_at_the_limit_hardly_ever_ships_or_rolls_back() -> None:
    """A/A: half a year of weekly looks at two arms that are the same."""
    rng = np.random.default_rng(20260604)
    outcomes = [outcome_of(rng) for _ in range(150)]

    assert outcomes.count(Outcome.SHIP) / len(outcomes) <= 0.05
    assert outcomes.count(Outcome.ROLLBACK) / len(outcomes) <= 0.1
    assert outcomes.count(Outcome.HOLD) / len(outcomes) >= 0.9
