"""A rate beside the control's: that it is a bound, which cells it looks at, and that it can decide."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.verdict.evidence.e_process import log_e_fail, log_e_pass
from dispatcher.verdict.evidence.rates import EDGES, Beside, log_e_pass_rates

Allowed = Callable[[float], float]


def singles(n: int, k: int) -> dict[tuple[int, int], int]:
    return {(1, 0): n - k, (1, 1): k}


def no_worse(share: float) -> float:
    return share + 0.01


def twice(share: float) -> float:
    return 2 * share


def tenth_fewer_valid(share: float) -> float:
    return 1 - 0.9 * (1 - share)


def fails_at(candidate: dict[tuple[int, int], int], control: dict[tuple[int, int], int], allowed: Allowed) -> float:
    return Beside([candidate], [control], allowed).log_e_fail()[-1]


COUNTS = st.integers(0, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def test_the_cells_cover_every_share_without_a_gap() -> None:
    assert (EDGES[0], EDGES[-1]) == (0, pytest.approx(1))
    assert all(low < high for low, high in pairwise(EDGES))


@settings(max_examples=6)
@given(COUNTS, COUNTS, st.sampled_from([no_worse, twice, tenth_fewer_valid]))
def test_it_is_below_the_product_in_the_cell_of_whatever_share_is_true(
    candidate: tuple[int, int], control: tuple[int, int], allowed: Allowed
) -> None:
    one, other = singles(*candidate), singles(*control)
    passes, fails = log_e_pass_rates(one, other, allowed), fails_at(one, other, allowed)

    for low, high in list(pairwise(EDGES))[1:400:60]:
        if allowed(high) < 1:
            assert passes <= log_e_pass(one, allowed(low)) + log_e_fail(other, high) + 1e-9
            assert fails <= log_e_fail(one, allowed(high)) + log_e_pass(other, low) + 1e-9


@settings(max_examples=6)
@given(COUNTS, COUNTS)
def test_a_quick_answer_is_the_whole_one(candidate: tuple[int, int], control: tuple[int, int]) -> None:
    one, other = singles(*candidate), singles(*control)
    fails = fails_at(one, other, twice)

    assert Beside([one], [other], twice).ever_fails(fails - 1e-9)
    assert not Beside([one], [other], twice).ever_fails(fails + 1e-9)


def test_it_is_the_least_of_all_cells_at_every_look_whatever_the_clusters() -> None:
    """All cells and looks are computed at once; one after the other they come to the same."""
    candidate = [{(1, 0): 40, (3, 1): 5, (4, 4): 1}, {}, {(1, 0): 20, (2, 1): 3, (7, 0): 9}]
    control = [{(1, 0): 30, (1, 1): 2}, {(5, 1): 8}, {}]
    sides = Beside(candidate, control, tenth_fewer_valid)
    cells = list(pairwise(EDGES))

    for look, (passes, fails) in enumerate(zip(sides.log_e_pass(), sides.log_e_fail(), strict=True), start=1):
        one, other = (added(arm[:look]) for arm in (candidate, control))
        assert passes == pytest.approx(
            min(
                log_e_pass(one, tenth_fewer_valid(low)) + log_e_fail(other, min(high, 1 - 1e-9))
                for low, high in cells[:-1]
            )
        )
        assert fails == pytest.approx(
            min(log_e_fail(one, tenth_fewer_valid(high)) + log_e_pass(other, low) for low, high in cells[1:-1]),
            abs=1e-6,
        )


def added(looks: list[dict[tuple[int, int], int]]) -> dict[tuple[int, int], int]:
    total: Counter[tuple[int, int]] = Counter()
    for clusters in looks:
        total.update(clusters)
    return dict(total)


def test_so_many_times_the_same_is_what_a_forecast_asks_for() -> None:
    sides, grown = (
        Beside([singles(60 * times, 3 * times)], [singles(90 * times, 6 * times)], no_worse) for times in (1, 5)
    )

    assert sides.log_e_pass_of(5) == pytest.approx(grown.log_e_pass()[0])
    assert sides.log_e_fail_of(5) == pytest.approx(grown.log_e_fail()[0])


def test_what_nobody_saw_is_no_evidence_at_any_look() -> None:
    assert Beside([], [], no_worse).log_e_pass() == []
    assert Beside([{}, {}], [{}, {}], no_worse).log_e_fail() == pytest.approx([0.0, 0.0])
    assert not Beside([], [], no_worse).ever_fails(0.1)


def test_enough_of_the_same_passes_and_enough_of_worse_fails() -> None:
    alike, worse = singles(60_000, 1_800), singles(60_000, 3_600)

    assert log_e_pass_rates(alike, alike, no_worse) >= math.log(20)
    assert fails_at(worse, alike, no_worse) >= math.log(20)


def test_no_exceedance_in_either_arm_is_no_evidence() -> None:
    """The interval of two shares that are 0 has no width, and a naive look would ship."""
    assert log_e_pass_rates(singles(8, 0), singles(8, 0), no_worse) < 0
