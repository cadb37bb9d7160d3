"""The detector that watches after a pass: how it is computed, how rarely it cries, and how soon it sees a jump."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from dispatcher.verdict.evidence.e_process import FAIL_GRID, MEAN_LOOKS_TO_ALARM, log_detectors, log_e_fail

P0 = 0.05
ALARM = math.log(MEAN_LOOKS_TO_ALARM)


def weeks(above: Sequence[int], calls: int) -> list[dict[tuple[int, int], int]]:
    return [{(1, 0): calls - int(k), (1, 1): int(k)} for k in above]


def test_it_is_the_sum_over_all_beginnings_of_what_came_since() -> None:
    """S_j ← (S_j + 1) Π is Σ over the beginnings of the wealth since then."""
    seen = weeks([0, 3, 1, 5], 20)
    beginnings = [
        sum(each.get((1, 0), 0) for each in seen[start:]) and log_e_fail(
            {(1, k): sum(each[1, k] for each in seen[start:]) for k in (0, 1)}, P0
        )
        for start in range(4)
    ]  # fmt: skip

    assert list(log_detectors(seen, P0))[-1] == pytest.approx(math.log(sum(map(math.exp, beginnings))))


def test_without_any_look_it_says_nothing_and_its_weights_are_those_of_the_fail_side() -> None:
    assert list(log_detectors([], P0)) == []
    assert next(log_detectors([{}], P0)) == pytest.approx(math.log(sum(weight for _, weight in FAIL_GRID)))


def test_while_the_limit_is_kept_it_hardly_ever_alarms() -> None:
    """An alarm every 520 looks on average, or later: in half a year at the limit 5 in 100 records at most."""
    runs = np.random.default_rng(20260611).binomial(20, P0, (300, 26))
    alarms = sum(max(log_detectors(weeks(run, 20), P0)) >= ALARM for run in runs)

    assert alarms / 300 <= 0.06


def test_a_jump_is_seen_long_before_the_evidence_of_all_weeks_turns() -> None:
    """Two good years and then 15 % above: weeks, where the cumulative evidence takes months."""
    rng = np.random.default_rng(20260612)
    seen = weeks([*rng.binomial(20, 0.01, 104), *rng.binomial(20, 0.15, 52)], 20)
    alarmed = next(i for i, s in enumerate(log_detectors(seen, P0)) if s >= ALARM) - 104
    total = np.cumsum([each[1, 1] for each in seen])
    turned = next(
        week
        for week in range(1, 157)
        if log_e_fail({(1, 0): 20 * week - int(total[week - 1]), (1, 1): int(total[week - 1])}, P0) >= math.log(20)
        or week == 156
    )

    assert 0 < alarmed <= 8
    assert turned - 104 > 4 * alarmed
