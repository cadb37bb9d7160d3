"""The difference of means: its sums, its width, and what it promises for clustered costs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.verdict.evidence.contrast import Contrast, Stratum, contrast
from dispatcher.verdict.sums import Sums

T_STAR = 200.0


def sums_of(clusters: list[list[int]]) -> Sums:
    """Clusters, each a list of values."""
    return Sums(
        clusters=len(clusters),
        size=sum(map(len, clusters)),
        size_squared=sum(len(each) ** 2 for each in clusters),
        total=sum(map(sum, clusters)),
        cross=sum(len(each) * sum(each) for each in clusters),
        total_squared=sum(sum(each) ** 2 for each in clusters),
    )


@given(st.lists(st.lists(st.integers(0, 10**12), min_size=1, max_size=4), min_size=2, max_size=8))
def test_the_variance_of_a_mean_is_that_of_the_cluster_residuals(clusters: list[list[int]]) -> None:
    sums = sums_of(clusters)
    mean = Fraction(sum(map(sum, clusters)), sum(map(len, clusters)))
    residuals = sum((sum(each) - mean * len(each)) ** 2 for each in clusters)

    assert sums.mean == mean
    assert sums.variance_of_mean == residuals * len(clusters) / (len(clusters) - 1) / sums.size**2


def test_the_sums_of_two_groups_add_up() -> None:
    left, right = [[1, 2], [3]], [[4], [5, 6, 7]]

    assert sums_of(left) + sums_of(right) == sums_of(left + right)


def test_nothing_is_rounded_for_nano_dollars_whose_squares_overflow() -> None:
    big = 10**13
    sums = sums_of([[big], [big + 2]])

    assert sums.variance_of_mean == 1


def test_a_difference_weighs_its_strata_and_takes_the_limit_off() -> None:
    one = Stratum(Fraction(3, 4), sums_of([[10], [14]]), sums_of([[20], [40]]))
    two = Stratum(Fraction(1, 4), sums_of([[2], [2]]), sums_of([[8], [8]]))

    found = contrast([one, two], ratio=Fraction(1, 2))
    assert found.difference == pytest.approx(0.75 * (12 - 15) + 0.25 * (2 - 4))
    assert found.clusters == 8
    against_number = contrast([Stratum(Fraction(1), sums_of([[10], [14]]))], limit=Fraction(9))
    assert against_number.difference == pytest.approx(3)
    assert against_number.clusters == 2


def test_the_half_width_is_the_published_one_sided_formula() -> None:
    """With t = N, the formula's standard deviation is the standard error times the root of N."""
    alpha, n, error = 0.05, 120, 0.3
    a = 2 * alpha
    rho2 = (-2 * math.log(a) + math.log(-2 * math.log(a) + 1)) / T_STAR
    inside = 2 * (n * rho2 + 1) / (n**2 * rho2) * math.log(1 + math.sqrt(n * rho2 + 1) / (2 * alpha))

    assert Contrast(0.0, error, n).half_width(alpha, T_STAR) == pytest.approx(error * math.sqrt(n) * math.sqrt(inside))


def test_the_width_shrinks_with_the_error_and_grows_with_the_certainty() -> None:
    base = Contrast(0.0, 1.0, 100)

    assert Contrast(0.0, 0.5, 100).half_width(0.05, T_STAR) == pytest.approx(base.half_width(0.05, T_STAR) / 2)
    assert base.half_width(0.01, T_STAR) > base.half_width(0.05, T_STAR)


def ever_ships(runs: int, effect: float, *, as_clusters: bool) -> float:
    """How often a candidate ships within 26 weeks; the five dispatches of a conversation share their cost level."""
    rng = np.random.default_rng(20260603)
    shipped = 0
    for _ in range(runs):
        arms = [Sums(), Sums()]
        for _ in range(26):
            for side, level in enumerate((effect, 1.0)):
                shared = rng.lognormal(-0.405, 0.9, size=6)[:, None]
                costs = (level * 1e6 * shared * rng.lognormal(-0.02, 0.2, size=(6, 5))).astype(int)
                rows = [[int(x) for x in row] for row in costs]
                arms[side] += sums_of(rows if as_clusters else [[x] for row in rows for x in row])
            if arms[0].clusters < 50:
                continue
            found = contrast([Stratum(Fraction(1), arms[0], arms[1])], ratio=Fraction(1, 2))
            if found.difference + found.half_width(0.05, T_STAR) <= 0:
                shipped += 1
                break
    return shipped / runs


def test_a_candidate_at_exactly_half_the_control_ships_at_most_alpha_of_the_time() -> None:
    assert ever_ships(300, 0.5, as_clusters=True) <= 0.05


def test_a_variance_per_row_would_ship_it_far_more_often() -> None:
    assert ever_ships(100, 0.5, as_clusters=False) > 0.1


def test_a_candidate_far_cheaper_ships() -> None:
    assert ever_ships(30, 0.2, as_clusters=True) == 1
