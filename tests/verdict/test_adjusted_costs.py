"""A cost that is adjusted counts from the first look after the adjustment, and changes no look before it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_worlds import COST, DAY, LEGACY, MANAGED, MINUTE, START, World, block, memory

from dispatcher.audit.late_costs import LateCosts
from dispatcher.audit.moment import DatabaseNow
from dispatcher.audit.swept import CostlessRow
from dispatcher.audit.tables import adjustments, logs
from dispatcher.verdict.measured import Arm, Measurement
from dispatcher.verdict.sums import Sums

EARLY = START + MINUTE
ONLY_COST = block(COST)


def adjust(world: World, row: dict[str, Any], cost: int, at: dt.datetime, sequence: int = 1) -> None:
    values = {"tenant": row["tenant"], "log_id": row["log_id"], "sequence": sequence, "adjusted_at": at}
    made = {"kind": "reprice", "reason": "price_changed", "amount_nanousd": 1, "cost_nanousd": cost}
    with world.engine.begin() as connection:
        connection.execute(sa.insert(adjustments).values(values | made))


def written(world: World, at: dt.datetime = EARLY, variant: str = MANAGED, **changed: Any) -> dict[str, Any]:
    row = world.made(at, variant, **changed)
    world.write([row])
    return row


def at_look(measurement: Measurement, number: int, arm: Arm = Arm.CANDIDATE) -> tuple[Sums, int, int]:
    """The sums, the unknown and the clusters of everything up to a look."""
    cells = measurement.of(arm, up_to=number)
    sums = sum((cell.valued["AC-6"].sums for cell in cells), Sums())
    return sums, sum(cell.valued["AC-6"].unknown for cell in cells), sum(cell.clusters for cell in cells)


def of_costs(*costs: int) -> Sums:
    n = len(costs)
    return Sums(n, n, n, sum(costs), sum(costs), sum(cost**2 for cost in costs))


def test_an_adjustment_before_the_look_is_what_the_dispatch_costs(any_world: World) -> None:
    row = written(any_world, cost_nanousd=100)
    adjust(any_world, row, 70, EARLY + DAY)
    adjust(any_world, row, 80, EARLY + 2 * DAY, sequence=2)

    assert at_look(any_world.measured(ONLY_COST, START + 8 * DAY), 1) == (of_costs(80), 0, 1)


def test_an_adjustment_after_the_look_counts_from_the_next_one_on(any_world: World) -> None:
    row, other = written(any_world, cost_nanousd=100), written(any_world, cost_nanousd=2**40)
    adjust(any_world, row, 70, START + 8 * DAY)
    adjust(any_world, row, 90, START + 15 * DAY, sequence=2)
    adjust(any_world, other, 2**41, START + 15 * DAY)
    measurement = any_world.measured(ONLY_COST, START + 22 * DAY)

    assert at_look(measurement, 1) == (of_costs(100, 2**40), 0, 2)
    assert at_look(measurement, 2) == (of_costs(70, 2**40), 0, 2)
    assert at_look(measurement, 3) == (of_costs(90, 2**41), 0, 2)


def test_an_adjustment_at_the_moment_of_a_look_counts_there(any_world: World) -> None:
    row = written(any_world, cost_nanousd=100)
    adjust(any_world, row, 70, START + 14 * DAY)
    measurement = any_world.measured(ONLY_COST, START + 22 * DAY)

    assert [at_look(measurement, number)[0].total for number in (1, 2, 3)] == [100, 70, 70]


def test_a_cost_that_becomes_known_is_unknown_until_then(any_world: World) -> None:
    row = written(any_world, cost_nanousd=None)
    adjust(any_world, row, 70, START + 8 * DAY)
    measurement = any_world.measured(ONLY_COST, START + 22 * DAY)

    assert at_look(measurement, 1) == (Sums(), 1, 1)
    assert at_look(measurement, 2) == (of_costs(70), 0, 1)


def test_what_a_session_told_after_its_row_had_ended_is_known_from_the_next_look_on(any_world: World) -> None:
    """As the sweep appends it, by the database's own clock: until then the cost counts as unknown."""
    with any_world.engine.connect() as connection:
        start = connection.execute(sa.select(DatabaseNow())).scalar_one() - 10 * DAY
    row = written(any_world, start + MINUTE, cost_nanousd=None, usage_quality="partial")
    lacking = {name: row[name] for name in ("log_id", "tenant", "feature", "created_at")}
    late = LateCosts(any_world.engine)
    late.append(CostlessRow(**lacking, conversation_id=None, model="any", session_id="sesn_1"), 70, "2026-11-01", None)
    late.release()
    measurement = any_world.measured(ONLY_COST, start + 15 * DAY, start=start)

    assert at_look(measurement, 1) == (Sums(), 1, 1)
    assert at_look(measurement, 2) == (of_costs(70), 0, 1)


def test_an_adjustment_after_the_last_look_changes_nothing_yet(any_world: World) -> None:
    row = written(any_world, cost_nanousd=100)
    adjust(any_world, row, 70, START + 8 * DAY)

    assert at_look(any_world.measured(ONLY_COST, START + 9 * DAY), 1) == (of_costs(100), 0, 1)
    assert len(any_world.measured(ONLY_COST, START + 9 * DAY).cells) == 1


def test_a_conversation_that_is_left_out_stays_so_whatever_it_costs(any_world: World) -> None:
    adjust(any_world, written(any_world, reason="pinned"), 70, START + 8 * DAY)

    assert any_world.measured(ONLY_COST, START + 22 * DAY).cells == ()


def test_both_attempts_of_a_dispatch_are_adjusted(any_world: World) -> None:
    first = written(any_world, status="error", cost_nanousd=10, conversation_id="one")
    second = written(any_world, EARLY + MINUTE, LEGACY, dispatch_id=first["dispatch_id"], attempt=2, role="fallback",
                     routed_variant=MANAGED, conversation_id="one", cost_nanousd=20)  # fmt: skip
    adjust(any_world, second, 25, EARLY + DAY)
    adjust(any_world, first, 11, START + 8 * DAY)
    measurement = any_world.measured(ONLY_COST, START + 22 * DAY)

    assert [at_look(measurement, number)[0] for number in (1, 2)] == [of_costs(35), of_costs(36)]


moments = st.integers(0, 24 * 40).map(lambda hours: START + hours * dt.timedelta(hours=1))
costs = st.none() | st.sampled_from([5, 1000, 2**33])


@settings(max_examples=30)
@given(st.lists(st.tuples(moments, costs, st.lists(st.tuples(moments, st.integers(0, 99)), max_size=3)), max_size=8))
def test_what_is_added_up_over_the_looks_is_what_a_look_would_read_of_the_rows(
    rows: list[tuple[dt.datetime, int | None, list[tuple[dt.datetime, int]]]],
) -> None:
    world = World(memory())
    with memory().begin() as connection:
        for table in (logs, adjustments):
            connection.execute(sa.delete(table))
    expected: dict[int, list[int]] = {number: [] for number in range(1, 7)}
    for created, cost, changes in rows:
        row = written(world, created, cost_nanousd=cost)
        for sequence, (at, amount) in enumerate(sorted(changes), start=1):
            adjust(world, row, amount, at, sequence)
        for number, known in expected.items():
            at = START + 7 * number * DAY
            seen = [amount for moment, amount in sorted(changes) if moment <= at]
            if created + DAY < at and (seen or cost is not None):
                known.append(seen[-1] if seen else cost or 0)
    measurement = world.measured(ONLY_COST, START + 43 * DAY)

    assert {number: at_look(measurement, number)[0] for number in expected} == {
        number: of_costs(*known) for number, known in expected.items()
    }
