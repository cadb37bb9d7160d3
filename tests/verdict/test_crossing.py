"""The chances computed before there are data are those of the published simulations (verdict-statistics B.9)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from dispatcher.verdict.chances.crossing import Chances, chances, lines, naive_line

P0 = 0.05
SHAPE = 3.616
"""Of the Weibull distribution in the tables."""
HALF_A_POINT = 0.005


def sizes(per_month: float, weeks: int) -> list[int]:
    return [math.floor(per_month * 12 / 52 * week + 1e-9) for week in range(1, weeks + 1)]


def share(ratio: float) -> float:
    """The share above 1.5 × the control's p95 of a candidate whose p95 is `ratio` times it."""
    return float(P0 ** ((1.5 / ratio) ** SHAPE))


def e_process(per_month: float, weeks: int, ratio: float) -> Chances:
    return chances(sizes(per_month, weeks), share(ratio), *lines(P0, 0.05, 0.05, 0))


@pytest.mark.parametrize(
    ("per_month", "weeks", "ratio", "shipped", "week", "rolled_back"),
    [
        (36, 26, 1.0, 1.0, 9, 0), (36, 26, 1.2, 0.999, 9, 0), (36, 26, 1.35, 0.655, 9, 0),
        (36, 26, 1.45, 0.099, 9, 0.001), (36, 26, 1.5, 0.024, 9, 0.01), (36, 26, 1.6, 0.001, None, 0.46),
        (36, 26, 1.75, 0, None, 1), (36, 26, 2, 0, None, 1), (36, 52, 1.35, 0.971, 19, 0),
        (36, 52, 1.5, 0.027, None, 0.011), (500, 26, 1.2, 1, 1, 0), (500, 26, 1.35, 1, 2, 0),
        (500, 26, 1.45, 0.91, 12, 0), (500, 26, 1.5, 0.012, None, 0.009), (500, 26, 1.6, 0, None, 1),
        (10_000, 26, 1.45, 1, 1, 0), (10_000, 26, 1.5, 0.003, None, 0.004), (10_000, 26, 1.6, 0, None, 1),
    ],
)  # fmt: skip
def test_the_table_of_contract_thresholds(
    per_month: int, weeks: int, ratio: float, shipped: float, week: int | None, rolled_back: float
) -> None:
    found = e_process(per_month, weeks, ratio)

    assert shipped == pytest.approx(found.to_pass, abs=2 * HALF_A_POINT)
    assert rolled_back == pytest.approx(found.to_fail, abs=2 * HALF_A_POINT)
    assert week is None or week == found.median_week


@pytest.mark.parametrize(
    ("per_month", "weeks", "ratio", "shipped"),
    [(36, 26, 1.5, 0.918), (36, 26, 1.6, 0.579), (36, 52, 1.5, 0.943), (500, 26, 1.5, 0.895), (10_000, 26, 1.5, 0.897)],
)
def test_the_naive_check_ships_what_the_table_says(per_month: int, weeks: int, ratio: float, shipped: float) -> None:
    found = chances(sizes(per_month, weeks), share(ratio), *naive_line(P0))

    assert shipped == pytest.approx(found.to_pass, abs=0.015)


def test_at_the_limit_a_pass_is_never_likelier_than_alpha() -> None:
    for per_month in (36, 500, 10_000):
        assert e_process(per_month, 104, 1.5).to_pass <= 0.05


def test_the_recursion_agrees_with_simulation() -> None:
    counted = sizes(40, 30)
    most_to_pass, fewest_to_fail = lines(0.1, 0.05, 0.025, 20)
    rng = np.random.default_rng(7)
    runs = 20_000
    alive, above, seen = np.ones(runs, dtype=bool), np.zeros(runs, dtype=np.int64), 0
    passed = failed = 0
    for size in counted:
        above += rng.binomial(size - seen, 0.08, runs)
        seen = size
        crossing = alive & (above <= most_to_pass(size))
        breaking = alive & (above >= fewest_to_fail(size)) & ~crossing
        passed, failed = passed + int(crossing.sum()), failed + int(breaking.sum())
        alive &= ~(crossing | breaking)

    found = chances(counted, 0.08, most_to_pass, fewest_to_fail)

    assert passed / runs == pytest.approx(found.to_pass, abs=0.012)
    assert failed / runs == pytest.approx(found.to_fail, abs=0.012)


@settings(max_examples=60)
@given(st.integers(1, 3000), st.floats(0.001, 0.999))
def test_one_look_is_the_binomial_distribution(n: int, p: float) -> None:
    most = n // 20
    found = chances([n], p, lambda _n: most, lambda n: n + 1)

    assert binom.cdf(most, n, p) == pytest.approx(found.to_pass, abs=1e-9)


@pytest.mark.parametrize(("p", "passes"), [(0.0, 1.0), (1.0, 0.0)])
def test_what_is_certain_is_certain(p: float, passes: float) -> None:
    assert passes == chances([10, 100], p, *lines(P0, 0.05, 0.05, 0)).to_pass


def test_the_lines_are_the_published_counts() -> None:
    most_to_pass, fewest_to_fail = lines(P0, 0.05, 0.05, 0)

    assert [most_to_pass(n) for n in (73, 74, 152, 191, 228, 263, 297)] == [-1, 0, 1, 2, 3, 4, 5]
    assert [fewest_to_fail(n) for n in (8, 16, 36, 59, 100, 200, 500)] == [4, 5, 7, 10, 13, 21, 42]


def test_no_cluster_decides_nothing() -> None:
    found = chances([0, 0, 0], 0.01, *lines(P0, 0.05, 0.05, 0))

    assert (found.to_pass, found.to_fail, found.median_week) == (0.0, 0.0, None)
