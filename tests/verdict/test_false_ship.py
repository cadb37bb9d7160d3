"""A path at its limit, looked at every week: how often it ships, and how soon one that is better does.

Smaller runs of the tables of `scripts/bench/verdict_tables`, with fixed seeds. "At most alpha" is held against the
number of runs that a chance of alpha leaves behind but once in a thousand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "bench"))

from ship_rates import FastRates, rates_first
from ship_rules import (
    AS_JUDGED,
    UNDIVIDED,
    CostCase,
    Rule,
    cluster_pass,
    exact_pass,
    mean_first,
    most_by_chance,
    naive_pass,
    our_fail,
    our_pass,
    shipped,
    welch_first,
)
from ship_samples import grid_firsts
from ship_worlds import (
    Arrivals,
    Draw,
    calls_by,
    conversations,
    costs,
    counts,
    lognormal,
    share_above,
    sums_of,
    weibull,
)

ALPHA, SEED = 0.05, 20261121
BOTH = pytest.mark.parametrize("rule", [UNDIVIDED, AS_JUDGED], ids=["undivided", "as judged"])


def within_alpha(firsts: object, runs: int) -> bool:
    return int((np.asarray(firsts) > 0).sum()) <= most_by_chance(runs, ALPHA)


@BOTH
@pytest.mark.parametrize("month", [36, 500, 10_000])
def test_a_percentile_at_a_number_ships_at_most_alpha_of_the_time(month: int, rule: Rule) -> None:
    sizes = calls_by(month, 26)
    k = counts(np.random.default_rng(SEED), 4000, sizes, share_above(1.5))

    assert within_alpha(our_pass(k, sizes, rule), 4000)
    assert within_alpha(our_fail(k, sizes, rule), 4000)
    assert shipped(naive_pass(k, sizes)) > 0.8
    assert shipped(exact_pass(k, sizes, ALPHA)) > 0.08


@pytest.mark.parametrize(
    ("month", "ratio", "least", "week"),
    [(36, 1.0, 0.999, 9), (36, 1.2, 0.99, 9), (36, 1.35, 0.62, 9), (500, 1.35, 0.999, 2), (500, 1.45, 0.88, 13),
     (10_000, 1.45, 0.999, 1)],
)  # fmt: skip
def test_a_better_path_ships_as_soon_as_published(month: int, ratio: float, least: float, week: int) -> None:
    """Undivided alpha and no floor, as in the published tables; what both cost is in the next test."""
    sizes = calls_by(month, 26)
    found = our_pass(counts(np.random.default_rng(SEED), 2000, sizes, share_above(ratio)), sizes, UNDIVIDED)

    assert shipped(found) >= least
    assert np.median(found[found > 0]) <= week


def test_dividing_alpha_over_epochs_and_the_floor_cost_two_weeks_at_36_a_month() -> None:
    sizes = calls_by(36, 26)
    k = counts(np.random.default_rng(SEED), 2000, sizes, share_above(1.0))
    weeks = [np.median(our_pass(k, sizes, rule)) for rule in (UNDIVIDED, AS_JUDGED)]

    assert weeks == [9, 11]


@pytest.mark.parametrize(("rho", "size"), [(0.0, 5), (0.6, 20), (0.9, 5)])
def test_conversations_at_their_limit_ship_at_most_alpha_of_the_time(rho: float, size: int) -> None:
    rng, ends, runs = np.random.default_rng(SEED), calls_by(100, 26), 120
    found = [cluster_pass(conversations(rng, ends[-1], size, rho, 0.05), size, ends, UNDIVIDED) for _ in range(runs)]

    assert within_alpha(found, runs)


def sampled(draw: Draw, ratio: float, month: float, weeks: int, pinned: int, runs: int) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(SEED)
    both = calls_by(month, weeks)
    seen = [(n, pinned) for n in both] if pinned else [(n - n // 2, n // 2) for n in both]
    return [
        grid_firsts(Arrivals(draw(rng, seen[-1][0]) * ratio, draw(rng, seen[-1][1]), seen)) for _ in range(runs)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("draw", "month", "weeks", "pinned"),
    [(weibull, 36, 26, 36), (weibull, 500, 10, 0), (lognormal, 500, 10, 0)],
    ids=["a pinned sample", "the control of the same weeks", "a heavy tail"],
)
def test_a_percentile_at_the_limit_of_a_sample_ships_at_most_alpha_of_the_time(
    draw: Draw, month: float, weeks: int, pinned: int
) -> None:
    runs = 30
    found = sampled(draw, 1.5, month, weeks, pinned, runs)

    assert within_alpha([passed for passed, _, _ in found], runs)
    assert within_alpha([failed for _, _, failed in found], runs)


def test_beside_a_pinned_sample_of_36_a_path_as_fast_ships_in_twelve_weeks_as_published() -> None:
    found = [passed for passed, _, _ in sampled(weibull, 1.0, 36, 26, 36, 15)]

    assert min(found) > 0
    assert np.median(found) <= 12


def test_a_pinned_sample_of_36_never_rolls_back_a_path_twice_as_slow() -> None:
    assert [failed for _, _, failed in sampled(weibull, 2.0, 36, 26, 36, 8)] == [0] * 8


@pytest.mark.parametrize("sigma", [0.6, 1.2])
def test_a_mean_cost_at_its_limit_ships_at_most_alpha_of_the_time(sigma: float) -> None:
    rng, runs, ends = np.random.default_rng(SEED), 80, [n // 2 for n in calls_by(500, 26)]
    case, ours, weekly = CostCase(t_star=float(ends[-1])), [], []
    for _ in range(runs):
        arms = costs(rng, ends[-1], 0.5, sigma), costs(rng, ends[-1], 1.0, sigma)
        weeks = [
            (sums_of(arms[0][a:b]), sums_of(arms[1][a:b])) for a, b in zip([0, *ends], ends, strict=False)
        ]  # fmt: skip
        ours.append(mean_first(weeks, case, UNDIVIDED))
        weekly.append(welch_first(weeks, case, ALPHA))

    assert within_alpha(ours, runs)
    assert shipped(weekly) > 2 * ALPHA


@pytest.mark.parametrize("month", [36, 500])
def test_a_rate_at_its_limit_beside_the_control_ships_at_most_alpha_of_the_time(month: int) -> None:
    """One percentage point fewer valid reports than the control's 97 %."""
    rng, runs, sizes = np.random.default_rng(SEED), 60, [n // 2 for n in calls_by(month, 26)]
    k = [counts(rng, runs, sizes, share) for share in (0.04, 0.03)]

    assert within_alpha(list(rates_first(k, sizes, 0.01, UNDIVIDED)), runs)


@pytest.mark.parametrize("given", [(8, 0, 8, 0), (100, 3, 100, 2), (5000, 150, 4800, 160), (20_000, 600, 20_000, 620)])
def test_the_quick_form_of_a_rate_in_these_runs_is_the_verdicts_own(given: tuple[int, int, int, int]) -> None:
    fast = FastRates(0.01)

    assert fast.log_e_pass(*given) == pytest.approx(fast.exact(*given), abs=1e-8)
