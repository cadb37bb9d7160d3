"""The ways a wrong design ships a bad path: each ships, and ours doesn't. Smaller runs of `scripts/bench`'s."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "bench"))

from ship_designs import DESIGNS, GATE, Design, cells_of, judged, regressions
from ship_rules import most_by_chance, shipped

from dispatcher.verdict.judgement.judge import Outcome

RUNS = 25


@pytest.mark.parametrize("design", DESIGNS, ids=[design.name for design in DESIGNS])
def test_a_wrong_design_ships_a_bad_path_and_ours_does_not(design: Design) -> None:
    wrong, ours = design.simulate(np.random.default_rng(20261122), RUNS)

    assert shipped(wrong) > 0.15
    assert sum(look > 0 for look in ours) <= most_by_chance(RUNS, 0.05)


def test_a_slow_regression_after_a_long_pass_is_nearly_always_a_rollback_and_never_ships() -> None:
    said = [outcome for _, outcome in regressions(np.random.default_rng(20261124), RUNS)]

    assert set(said) <= {Outcome.ROLLBACK, Outcome.HOLD}
    assert said.count(Outcome.ROLLBACK) >= 0.8 * RUNS


def test_a_regression_after_an_early_pass_becomes_a_rollback() -> None:
    """Ten good weeks ship; from then on one in three is slow, and the later of the two crossings stands."""
    rng = np.random.default_rng(20261123)
    slow = [int(k) for k in rng.binomial(20, [0.0] * 10 + [0.33] * 30)]
    outcomes = [
        judged([cells_of(look, 20, k) for look, k in enumerate(slow[:weeks], start=1)], GATE).outcome
        for weeks in (6, 10, 40)
    ]

    assert outcomes == [Outcome.SHIP, Outcome.SHIP, Outcome.ROLLBACK]
