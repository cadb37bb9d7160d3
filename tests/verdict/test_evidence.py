"""The e-process: its published values, its form, and what it promises."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.verdict.evidence.e_process import (
    FAIL_GRID,
    PASS_GRID,
    Histogram,
    clean_clusters_needed,
    epoch_alpha,
    fail_reaches,
    log_balance,
    log_e_fail,
    log_e_pass,
)

ALPHA, P0 = 0.05, 0.05
FIRST_EPOCH = epoch_alpha(ALPHA, 1)


def singles(n: int, k: int) -> dict[tuple[int, int], int]:
    return {(1, 0): n - k, (1, 1): k}


@pytest.mark.parametrize(
    ("alpha", "needed"), [(ALPHA, [74, 152, 191, 228, 263, 297]), (FIRST_EPOCH, [84, 165, 205, 243, 279, 313])]
)
def test_the_first_pass_at_k_exceedances_needs_as_many_calls_as_published(alpha: float, needed: list[int]) -> None:
    for k, n in enumerate(needed):
        assert log_e_pass(singles(n, k), P0) >= -math.log(alpha) > log_e_pass(singles(n - 1, k), P0)


@pytest.mark.parametrize(("n", "k"), [(8, 4), (16, 5), (36, 7), (59, 10), (100, 13), (200, 21), (500, 42)])
def test_a_fail_needs_as_many_exceedances_as_published(n: int, k: int) -> None:
    assert log_e_fail(singles(n, k), P0) >= math.log(20) > log_e_fail(singles(n, k - 1), P0)


@given(st.integers(0, 400), st.integers(0, 40), st.sampled_from([0.01, 0.05, 0.1, 0.5]))
def test_for_single_calls_it_is_the_mixture_of_likelihood_ratios(kept: int, k: int, p0: float) -> None:
    """The closed form of the mixture is what the betting form must equal."""
    n = kept + k
    terms = []
    for times, weight in PASS_GRID:
        p = p0 * times
        above = k * math.log(p / p0) if p else (0.0 if k == 0 else -math.inf)
        terms.append(math.log(weight) + above + (n - k) * math.log((1 - p) / (1 - p0)))
    expected = max(terms) + math.log(sum(math.exp(term - max(terms)) for term in terms))

    assert log_e_pass(singles(n, k), p0) == pytest.approx(expected, abs=1e-9)


def test_the_weights_of_both_grids_are_those_of_a_mixture() -> None:
    assert math.fsum(weight for _, weight in PASS_GRID) == pytest.approx(1)
    assert math.fsum(weight for _, weight in FAIL_GRID) == pytest.approx(1)


CLUSTERS = st.dictionaries(
    st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size))),
    st.integers(1, 300),
    max_size=8,
)


@given(CLUSTERS, st.randoms(use_true_random=False))
def test_the_order_of_the_clusters_changes_no_bit(clusters: dict[tuple[int, int], int], random: object) -> None:
    shuffled = list(clusters.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert log_e_pass(dict(shuffled), P0) == log_e_pass(clusters, P0)
    assert log_e_fail(dict(shuffled), P0) == log_e_fail(clusters, P0)


@given(CLUSTERS)
def test_clusters_with_the_same_share_are_the_same_evidence_whatever_their_size(
    clusters: dict[tuple[int, int], int],
) -> None:
    doubled: dict[tuple[int, int], int] = {(2 * size, 2 * above): count for (size, above), count in clusters.items()}

    assert log_e_pass(doubled, P0) == pytest.approx(log_e_pass(clusters, P0), abs=1e-9)


@given(CLUSTERS, st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size))))
def test_one_exceedance_more_lowers_the_pass_side_and_raises_the_fail_side(
    clusters: dict[tuple[int, int], int], cluster: tuple[int, int]
) -> None:
    size, above = cluster
    better = clusters | {(size, above - 1): clusters.get((size, above - 1), 0) + 1}
    worse = clusters | {cluster: clusters.get(cluster, 0) + 1}

    assert log_e_pass(worse, P0) < log_e_pass(better, P0)
    assert log_e_fail(worse, P0) > log_e_fail(better, P0)


@given(CLUSTERS, st.sampled_from([0.01, 0.05, 0.5, 0.95]), st.sampled_from([0.5, 0.05, 1e-5]))
def test_whether_a_fail_is_reached_is_what_the_process_itself_says(
    clusters: dict[tuple[int, int], int], p0: float, alpha: float
) -> None:
    assert fail_reaches(clusters, p0, alpha) == (log_e_fail(clusters, p0) >= -math.log(alpha))


def test_evidence_of_any_amount_of_data_is_a_finite_number() -> None:
    for clusters in ({(1, 1): 10**7}, {(1, 0): 10**7}, {(1, 0): 10**7, (1, 1): 5 * 10**5}):
        assert math.isfinite(log_e_pass(clusters, P0))
        assert math.isfinite(log_e_fail(clusters, 0.6))


def test_no_cluster_is_no_evidence() -> None:
    assert log_e_pass({}, P0) == pytest.approx(0)
    assert log_e_fail({}, P0) == pytest.approx(0)


@pytest.mark.parametrize("clusters", [{(0, 0): 1}, {(1, 2): 1}, {(1, 0): -1}])
def test_clusters_that_cannot_be_are_refused(clusters: dict[tuple[int, int], int]) -> None:
    with pytest.raises(ValueError, match="can't be"):
        log_e_pass(clusters, P0)


def test_all_epochs_together_spend_alpha() -> None:
    assert sum(epoch_alpha(ALPHA, epoch) for epoch in range(1, 20_000)) == pytest.approx(ALPHA, rel=1e-4)


@pytest.mark.parametrize(
    ("clusters", "more"), [({}, 74), (singles(36, 0), 38), (singles(74, 0), 0), (singles(82, 2), 109)]
)
def test_the_forecast_is_the_smallest_number_of_clean_calls_that_decides(
    clusters: dict[tuple[int, int], int], more: int
) -> None:
    assert clean_clusters_needed(clusters, P0, ALPHA) == more


def test_the_forecast_never_promises_a_pass_below_the_fewest_clusters() -> None:
    assert clean_clusters_needed({}, 0.5, ALPHA, at_least=20) == 20


def test_a_balanced_draw_is_no_evidence_and_a_broken_one_is() -> None:
    assert log_balance([(0.67, 670, 330)]) < 0
    assert log_balance([(0.67, 500, 500)]) > math.log(1000)


@cache
def reached(side: Callable[[Histogram, float], float], n: int, k: int) -> bool:
    return side(singles(n, k), P0) >= -math.log(ALPHA)


def reached_at_any_look(side: Callable[[Histogram, float], float], weekly: np.ndarray, calls: int) -> bool:
    """Whether single calls, so many a week with so many above, ever decide."""
    return any(reached(side, calls * week, int(k)) for week, k in enumerate(np.cumsum(weekly), start=1))


def test_a_path_at_its_limit_ships_at_most_alpha_of_the_time_although_people_look_every_week() -> None:
    """36 calls a month for half a year, exactly 5 % of them above: 2.4 % in the published simulation."""
    runs = np.random.default_rng(20260601).binomial(8, P0, size=(2000, 26))
    passed = sum(reached_at_any_look(log_e_pass, weekly, 8) for weekly in runs)
    failed = sum(reached_at_any_look(log_e_fail, weekly, 8) for weekly in runs)

    assert 0 < passed / len(runs) <= ALPHA
    assert failed / len(runs) <= ALPHA


def test_conversations_whose_calls_fail_together_ship_at_most_alpha_of_the_time() -> None:
    """Shares within a conversation scatter widely around 5 %; counted call by call, that ships far more often."""
    rng = np.random.default_rng(20260602)
    size, a_week = 5, 12
    runs = rng.binomial(size, rng.beta(0.02, 0.38, size=(400, 12, a_week)))

    def share(side: Callable[[Histogram, float], float]) -> float:
        return sum(ever_reached(side, run, size) for run in runs) / len(runs)

    by_call = sum(reached_at_any_look(log_e_pass, run.sum(axis=1), a_week * size) for run in runs) / len(runs)
    assert share(log_e_pass) <= ALPHA
    assert share(log_e_fail) <= ALPHA
    assert by_call > 2 * ALPHA


def ever_reached(side: Callable[[Histogram, float], float], run: np.ndarray, size: int) -> bool:
    """Whether clusters, a row of them each week, ever decide."""
    clusters: Counter[tuple[int, int]] = Counter()
    for week in run:
        clusters += Counter((size, int(above)) for above in week)
        if side(clusters, P0) >= -math.log(ALPHA):
            return True
    return False
