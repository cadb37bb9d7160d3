"""The buckets that the database gives dispatches, and the ranks that it gives buckets, are the ones of `grid`."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from verdict_worlds import DAY, LEGACY, MANAGED, MINUTE, P95, START, World, block

from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, GridRow, Side, bucket_of, grid_rows
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measurement.ranks import rounded_up, scaled_down

EARLY = START + MINUTE
BESIDE = P95 | {"at_most": {"times_control": 1.5}, "baseline": {"source": "concurrent-control"}}
WINDOW: dict[str, Any] = {"unit": {"by": "conversation", "window": "1d"}}
LATER = START + 9 * DAY
NO_ROW = sa.create_engine("sqlite://")


def asked(column: sa.ColumnElement[int]) -> int:
    with NO_ROW.connect() as connection:
        return int(connection.execute(sa.select(column)).scalar_one())


@given(st.integers(0, 10**14))
@example(999)
@example(1000)
@example(1001)
@example(5_001)
@example(50_001)
def test_a_value_is_rounded_up_as_in_python(value: int) -> None:
    assert asked(rounded_up(sa.literal(value, sa.BigInteger))) == bucket_of(value)


@given(st.integers(0, 10**9), st.fractions(Fraction(1, 100), 100, max_denominator=1000))
def test_a_candidates_value_is_divided_by_the_ratio_and_rounded_up(value: int, ratio: Fraction) -> None:
    expected = -(-value * ratio.denominator // ratio.numerator)

    assert asked(scaled_down(sa.literal(value, sa.BigInteger), ratio)) == expected


ERROR, CANCEL = {"status": "error"}, {"status": "cancelled", "ended_by": "cancel"}
OF_ONE = [
    ({"ms": 1500}, (1000, 1000), (1500, 1500)),
    ({"ms": 9001}, (6010, 6010), (9010, 9010)),
    (ERROR, (ALWAYS, ALWAYS), (NEVER, ALWAYS)),
    ({"ms": 3000, **CANCEL}, (ALWAYS, 2000), (3000, ALWAYS)),
    ({"ms": None}, (ALWAYS, NEVER), (NEVER, ALWAYS)),
]


@pytest.mark.parametrize(("changed", "candidate", "control"), OF_ONE, ids=[str(changed) for changed, _, _ in OF_ONE])
def test_what_is_not_known_and_what_failed_is_against_the_claim_on_both_sides_and_arms(
    any_world: World, changed: dict[str, Any], candidate: tuple[int, int], control: tuple[int, int]
) -> None:
    any_world.row(EARLY, **changed)
    any_world.row(EARLY, LEGACY, **changed)
    (grid,) = any_world.measured(block(BESIDE), START + 8 * DAY).grids.values()
    buckets = {(row.arm, row.side): row.bucket for row in grid.rows}

    assert (buckets[Arm.CANDIDATE, Side.PASS], buckets[Arm.CANDIDATE, Side.FAIL]) == candidate
    assert (buckets[Arm.CONTROL, Side.PASS], buckets[Arm.CONTROL, Side.FAIL]) == control


def test_the_dispatches_of_a_cluster_are_ranked_from_the_slowest(any_world: World) -> None:
    waits = {"one": (150, 300, 300), "two": (300, 150, 750), "three": (600,)}
    for conversation, times in waits.items():
        for ms in times:
            any_world.row(EARLY, conversation_id=conversation, ms=ms)
    any_world.row(EARLY, conversation_id="pinned", reason="pinned", ms=5)
    any_world.row(START + 3 * DAY, LEGACY, ms=70)
    any_world.row(START + 8 * DAY, ms=70)
    (grid,) = any_world.measured(block(BESIDE, **WINDOW), LATER).grids.values()
    clusters = [[ms * 2 // 3 for ms in times] for times in waits.values()]
    expected = [
        row
        for side in Side
        for row in (
            *grid_rows(1, Arm.CANDIDATE, side, clusters, "script"),
            *grid_rows(1, Arm.CONTROL, side, [[70]], "script"),
        )
    ]

    assert sorted(grid.rows, key=repr) == sorted(expected, key=repr)


def test_more_tenants_than_can_be_told_apart_are_one(world: World) -> None:
    tenants = {f"tenant-{number}": 0.04 for number in range(25)}
    world.row(EARLY, tenant="tenant-3")
    for tenant in tenants:
        world.row(START + 2 * DAY, tenant=tenant)
    (grid,) = world.measured(block(BESIDE, tenants=tenants), START + 8 * DAY).grids.values()
    sides: dict[Side, list[GridRow]] = defaultdict(list)
    for row in grid.rows:
        sides[row.side].append(row)

    assert {row.tenant for row in grid.rows} == {""}
    assert sum(row.clusters for row in sides[Side.PASS]) == sum(row.clusters for row in sides[Side.FAIL]) == 25


def test_a_past_look_has_the_same_rows_at_every_later_one(any_world: World) -> None:
    for day in range(20):
        any_world.row(START + day * DAY, MANAGED if day % 3 else LEGACY, ms=1000 + 37 * day)
    moments = [START + weeks * dt.timedelta(weeks=1) for weeks in (2, 5)]
    then, later = (any_world.measured(block(BESIDE), moment).grids["AC-7"].rows for moment in moments)

    assert tuple(row for row in later if row.look <= 2) == then
