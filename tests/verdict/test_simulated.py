"""Comparisons with a control have the chances of the published simulations (verdict-statistics B.9-2, B.9-5, B.9-6)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from dispatcher.verdict.chances.simulated import SEED, MeansCase, PercentilesCase, mean_chances, percentile_chances
from dispatcher.verdict.chances.simulated_rates import RatesCase, rate_chances
from dispatcher.verdict.evidence.rates import Beside


def sizes(per_month: float, weeks: int) -> list[int]:
    return [math.floor(per_month * 12 / 52 * week + 1e-9) for week in range(1, weeks + 1)]


def weibull(rng: Generator, count: int) -> Any:
    return rng.weibull(3.616, count)


@pytest.mark.parametrize(
    ("sigma", "per_month", "weeks", "mean", "shipped"),
    [
        (0.6, 36, 52, 0.35, 1.0), (0.6, 36, 52, 0.45, 0.23), (0.6, 36, 52, 0.5, 0.010), (0.6, 36, 52, 0.55, 0.0),
        (0.6, 500, 26, 0.45, 0.95), (0.6, 500, 26, 0.5, 0.018), (1.2, 36, 52, 0.35, 0.37), (1.2, 500, 26, 0.45, 0.22),
    ],
)  # fmt: skip
def test_the_table_of_mean_costs(sigma: float, per_month: int, weeks: int, mean: float, shipped: float) -> None:
    arm = sizes(per_month / 2, weeks)
    case = MeansCase(
        candidate=arm, control=arm, mean=mean, ratio=0.5, sigma=sigma, to_pass=0.05, to_fail=0.05, t_star=arm[-1]
    )

    assert shipped == pytest.approx(mean_chances(case, 1500).to_pass, abs=0.04)


@pytest.mark.parametrize(
    ("ratio", "least", "rolled_back"), [(1.0, 0.98, 0), (1.2, 0.85, 0), (1.5, 0, 0), (2.0, 0, 0.97)]
)
def test_the_table_of_a_concurrent_percentile(ratio: float, least: float, rolled_back: float) -> None:
    arm = sizes(18, 52)
    case = PercentilesCase(
        candidate=arm,
        control=arm,
        sample=weibull,
        times=ratio,
        ratio=1.5,
        p0=0.05,
        to_pass=0.05,
        to_fail=0.05,
        fewest=0,
    )

    found = percentile_chances(case, 300)

    assert least <= found.to_pass <= (1 if ratio < 1.5 else 0.05)
    assert rolled_back <= found.to_fail


def test_a_pinned_sample_of_36_can_carry_a_pass_and_never_a_fail() -> None:
    def found(ratio: float) -> tuple[float, float]:
        case = PercentilesCase(
            candidate=sizes(36, 52), control=[36] * 52, sample=weibull, times=ratio, ratio=1.5, p0=0.05, to_pass=0.05,
            to_fail=0.05, fewest=0,
        )  # fmt: skip
        result = percentile_chances(case, 300)
        return result.to_pass, result.to_fail

    assert found(1.0)[0] >= 0.95
    assert found(2.0) == (0, 0)


ONE_POINT = 0.96 / 0.97


def allowed(bad: float) -> float:
    """The bad share that a candidate may have which must be good in 96 of the control's 97 %."""
    return 1 - ONE_POINT * (1 - bad)


@pytest.mark.parametrize(
    ("per_month", "weeks", "drop", "shipped"),
    [(36, 52, 0.0, 0.020), (36, 52, 0.01, 0.007), (36, 52, 0.04, 0.0), (500, 26, 0.0, 0.047), (500, 26, 0.02, 0.0)],
)
def test_the_table_of_not_worse_than_one_point(per_month: int, weeks: int, drop: float, shipped: float) -> None:
    arm = sizes(per_month / 2, weeks)
    case = RatesCase(
        candidate=arm, control=arm, bad=(0.03 + drop, 0.03), allowed=allowed, to_pass=0.05, to_fail=0.05, fewest=0
    )

    assert shipped == pytest.approx(rate_chances(case, 100).to_pass, abs=0.06)


def test_a_rate_is_simulated_by_the_evidence_it_is_judged_by() -> None:
    """One run of one look passes just where the verdict's own bound does."""
    for bad, control in ((0.0, 0.2), (0.02, 0.2), (0.3, 0.1)):
        case = RatesCase(
            candidate=[200], control=[200], bad=(bad, control), allowed=allowed, to_pass=0.05, to_fail=0.05, fewest=0
        )
        rng = np.random.default_rng(SEED)
        k, m = int(rng.binomial(200, bad, 1)[0]), int(rng.binomial(200, control, 1)[0])
        sides = Beside([{(1, 0): 200 - k, (1, 1): k}], [{(1, 0): 200 - m, (1, 1): m}], allowed)

        found = rate_chances(case, 1)

        assert found.to_pass == float(sides.log_e_pass()[0] >= math.log(20))
        assert found.to_fail == float(sides.log_e_fail()[0] >= math.log(20))


def test_the_same_question_has_the_same_answer() -> None:
    arm = sizes(100, 20)
    case = MeansCase(candidate=arm, control=arm, mean=0.4, ratio=0.5, sigma=1.0, to_pass=0.05, to_fail=0.05, t_star=200)

    assert mean_chances(case, 300) == mean_chances(case, 300)


def test_very_many_values_are_drawn_by_their_limit_law() -> None:
    """Above some millions of values a week only their sums are drawn; the chances hardly change."""
    few, many = sizes(12_000, 8), sizes(120_000, 8)

    def shipped(arm: list[int], mean: float) -> float:
        case = MeansCase(
            candidate=arm, control=arm, mean=mean, ratio=0.5, sigma=0.6, to_pass=0.05, to_fail=None, t_star=arm[-1]
        )
        return mean_chances(case, 300).to_pass

    assert shipped(few, 0.48) >= 0.99
    assert shipped(many, 0.495) >= 0.99
    assert shipped(many, 0.5) <= 0.05
