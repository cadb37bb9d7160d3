"""The bound over all thresholds: how values become buckets, how buckets become counts, and that it never overstates."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.verdict.evidence import grid
from dispatcher.verdict.evidence.e_process import log_e_fail, log_e_pass
from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, Arms, GridCounts, Side, Tail, bucket_of, grid_rows, least
from dispatcher.verdict.measured import Arm, Distribution

P0 = 0.05
VALUES = st.one_of(st.integers(1, 3000), st.sampled_from([NEVER, ALWAYS]))
CLUSTERS = st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=12)


def bucketed(value: int) -> int:
    return value if value in {NEVER, ALWAYS} else bucket_of(value)


def tail_of(clusters: list[list[int]]) -> Tail:
    ranked: dict[tuple[int, int], dict[int, float]] = {}
    for row in grid_rows(1, Arm.CANDIDATE, Side.PASS, [[bucketed(value) for value in each] for each in clusters]):
        ranked.setdefault((row.size, row.rank), {})[row.bucket] = row.clusters
    return Tail(ranked)


def counted(clusters: list[list[int]], threshold: float) -> dict[tuple[int, int], int]:
    return dict(Counter((len(each), sum(value > threshold for value in each)) for each in clusters))


@given(st.integers(0, 10**12))
def test_a_bucket_is_the_smallest_that_a_value_does_not_exceed_and_a_five_hundredth_wide_at_most(value: int) -> None:
    bucket = bucket_of(value)
    step = next(step for step in (10**n for n in range(13)) if bucket <= 5000 * step)

    assert bucket % step == 0
    assert bucket - step < value <= bucket
    assert step == 1 or step <= bucket / 500


@given(CLUSTERS, st.integers(0, 3000))
def test_ranked_buckets_count_each_cluster_at_every_threshold(clusters: list[list[int]], value: int) -> None:
    """At a threshold that is a bucket nothing is lost."""
    threshold = bucket_of(value)

    assert dict(tail_of(clusters).above(threshold)) == counted(clusters, threshold)


@settings(max_examples=40)
@given(CLUSTERS, CLUSTERS, st.integers(0, 150))
def test_the_bound_is_below_the_product_at_every_threshold(
    candidate: list[list[int]], control: list[list[int]], begin: int
) -> None:
    """Whatever the control's true percentile is, the product of the two e-processes there isn't overstated."""
    arms = Arms(tail_of(candidate), tail_of(control))
    passes, fails = arms.log_e_pass(P0), arms.log_e_fail(P0)

    for threshold in [*range(begin, 3100, 151), 10**9]:
        above = counted(candidate, threshold), counted(control, threshold)
        assert passes <= log_e_pass(above[0], P0) + log_e_fail(above[1], P0) + 1e-9
        assert fails <= log_e_fail(above[0], P0) + log_e_pass(above[1], P0) + 1e-9


@settings(max_examples=40)
@given(CLUSTERS, CLUSTERS)
def test_the_bound_is_the_least_of_all_neighbouring_thresholds(
    candidate: list[list[int]], control: list[list[int]]
) -> None:
    one, other = tail_of(candidate), tail_of(control)
    points = [NEVER, *sorted(one.buckets | other.buckets), ALWAYS - 1]
    bounds = [log_e_pass(one.above(low), P0) + log_e_fail(other.above(high), P0) for low, high in pairwise(points)]

    assert Arms(one, other).log_e_pass(P0) == pytest.approx(min(bounds))


def test_where_the_search_ends_early_it_ends_below(monkeypatch: pytest.MonkeyPatch) -> None:
    points = list(range(400))
    exact = min(low**1.5 - (low + 1) * 12 for low in points[:-1])
    monkeypatch.setattr(grid, "MOST_STEPS", 3)

    assert least(points, lambda point: point**1.5, lambda point: -point * 12) < exact


def singles(arm: Arm, values: list[int], *sides: Side, look: int = 1, tenant: str = "") -> list[grid.GridRow]:
    return [
        row for side in sides or Side for row in grid_rows(look, arm, side, [[bucketed(v)] for v in values], tenant)
    ]  # fmt: skip


PINNED = Distribution({18_000 + 400 * n: 1 for n in range(36)})


def test_36_pinned_values_can_carry_a_pass_and_never_a_fail() -> None:
    """The published price of a sample: about twelve weeks at 36 a month, and a fail is impossible."""
    fast = GridCounts(tuple(singles(Arm.CANDIDATE, [15_000] * 100)), PINNED)
    slow = GridCounts(tuple(singles(Arm.CANDIDATE, [900_000] * 100_000)), PINNED)

    assert next(iter(fast.at_looks(1)))[Side.PASS].log_e_pass(P0) >= math.log(20)
    assert next(iter(slow.at_looks(1)))[Side.FAIL].log_e_fail(P0) < math.log(20)


@pytest.mark.parametrize("failures", [1, 5, 30])
def test_failures_of_a_baseline_count_against_the_claim_on_either_side(failures: int) -> None:
    """Faster than every threshold where a pass is to be shown, slower where a fail is."""
    rows = tuple(singles(Arm.CANDIDATE, [20_000] * 200))
    clean, failing = (
        next(iter(GridCounts(rows, Distribution(PINNED.successes, without)).at_looks(1))) for without in (0, failures)
    )

    assert failing[Side.PASS].log_e_pass(P0) < clean[Side.PASS].log_e_pass(P0)
    assert failing[Side.FAIL].log_e_fail(P0) <= clean[Side.FAIL].log_e_fail(P0)


def test_looks_add_up_and_tenants_are_told_apart() -> None:
    rows = [
        *singles(Arm.CANDIDATE, [100] * 3, look=1, tenant="a"),
        *singles(Arm.CANDIDATE, [200] * 2, look=3, tenant="b"),
        *singles(Arm.CONTROL, [300] * 5, look=2, tenant="b"),
    ]
    counts = GridCounts(tuple(rows))
    sizes = [(sides[Side.PASS].candidate.clusters, sides[Side.PASS].control.clusters) for sides in counts.at_looks(3)]

    assert counts.tenants == ("a", "b")
    assert sizes == [(3, 0), (3, 5), (5, 5)]
    assert [sides[Side.PASS].candidate.clusters for sides in counts.at_looks(3, "b")] == [0, 0, 2]


def test_the_percentile_of_a_tail_is_the_nearest_rank() -> None:
    assert tail_of([[value] for value in range(1, 101)]).percentile(P0) == 95
    assert tail_of([[1, 2], [3, 4]]).percentile(0.5) == 2
    assert tail_of([[ALWAYS]]).percentile(P0) is None
