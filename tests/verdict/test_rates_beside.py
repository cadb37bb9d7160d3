"""A rate beside the control's: that it is a bound, which cells it looks at, and that it can decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.verdict.evidence import log_e_fail, log_e_pass
from dispatcher.verdict.rates import EDGES, log_e_fail_rates, log_e_pass_rates, reaches_fail

Allowed = Callable[[float], float]


def singles(n: int, k: int) -> dict[tuple[int, int], int]:
    return {(1, 0): n - k, (1, 1): k}


def no_worse(share: float) -> float:
    return share + 0.01


def twice(share: float) -> float:
    return 2 * share


def tenth_fewer_valid(share: float) -> float:
    return 1 - 0.9 * (1 - share)


COUNTS = st.integers(0, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def test_the_cells_cover_every_share_without_a_gap() -> None:
    assert (EDGES[0], EDGES[-1]) == (0, pytest.approx(1))
    assert all(low < high for low, high in pairwise(EDGES))


@settings(max_examples=6, deadline=None)
@given(COUNTS, COUNTS, st.sampled_from([no_worse, twice, tenth_fewer_valid]))
def test_it_is_below_the_product_in_the_cell_of_whatever_share_is_true(
    candidate: tuple[int, int], control: tuple[int, int], allowed: Allowed
) -> None:
    one, other = singles(*candidate), singles(*control)
    passes, fails = log_e_pass_rates(one, other, allowed), log_e_fail_rates(one, other, allowed)

    for low, high in list(pairwise(EDGES))[1:400:60]:
        if allowed(high) < 1:
            assert passes <= log_e_pass(one, allowed(low)) + log_e_fail(other, high) + 1e-9
            assert fails <= log_e_fail(one, allowed(high)) + log_e_pass(other, low) + 1e-9


@settings(max_examples=6, deadline=None)
@given(COUNTS, COUNTS)
def test_a_quick_answer_is_the_whole_one(candidate: tuple[int, int], control: tuple[int, int]) -> None:
    one, other = singles(*candidate), singles(*control)
    fails = log_e_fail_rates(one, other, twice)

    assert reaches_fail(one, other, twice, fails - 1e-9)
    assert not reaches_fail(one, other, twice, fails + 1e-9)


def test_enough_of_the_same_passes_and_enough_of_worse_fails() -> None:
    alike, worse = singles(60_000, 1_800), singles(60_000, 3_600)

    assert log_e_pass_rates(alike, alike, no_worse) >= math.log(20)
    assert log_e_fail_rates(worse, alike, no_worse) >= math.log(20)


def test_no_exceedance_in_either_arm_is_no_evidence() -> None:
    """The interval of two shares that are 0 has no width, and a naive look would ship."""
    assert log_e_pass_rates(singles(8, 0), singles(8, 0), no_worse) < 0
