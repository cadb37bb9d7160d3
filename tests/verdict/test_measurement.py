"""What of the log is counted, at which look, and what is left out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from verdict_worlds import COST, DAY, HASHES, LEGACY, MANAGED, MINUTE, P95, START, VALID, World, block

from dispatcher.audit.record import Origin
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Arm, Cell, Measurement
from dispatcher.verdict.measurement.counting import Counting
from dispatcher.verdict.measurement.distribution import Values
from dispatcher.verdict.measurement.population import Population
from dispatcher.verdict.sums import Sums

EARLY = START + MINUTE
AFTER_ONE_LOOK = START + 8 * DAY


def candidate(measurement: Measurement) -> tuple[Cell, ...]:
    return measurement.of(Arm.CANDIDATE)


def only(measurement: Measurement, arm: Arm = Arm.CANDIDATE) -> Cell:
    (cell,) = measurement.of(arm)
    return cell


def costs(cell: Cell) -> Sums:
    return cell.valued["AC-6"].sums


@pytest.mark.parametrize(
    ("changed", "left_out"),
    [
        ({}, {}),
        ({"reason": "sticky"}, {}),
        ({"role": "shadow"}, {}),
        ({"origin": "spike"}, {}),
        ({"feature": "another"}, {}),
        ({"reason": "pinned"}, {"candidate": {"pinned": 1}}),
        ({"reason": "forced", "routed_variant": LEGACY}, {"control": {"forced": 1}}),
        ({"reason": "repository_not_mountable"}, {"candidate": {"repository_not_mountable": 1}}),
        ({"reason": "stale"}, {"candidate": {"stale": 1}}),
        ({"reason": "sticky_overridden"}, {"candidate": {"sticky_overridden": 1}}),
        ({"reason": "sticky_unavailable"}, {"candidate": {"sticky_unavailable": 1}}),
        ({"reason": "sticky", "assignment_share": None}, {"candidate": {"not_drawn": 1}}),
        ({"reason": "default"}, {"candidate": {"default": 1}}),
        ({"reason": "flag"}, {"candidate": {"flag": 1}}),
        ({"reason": None}, {"candidate": {"no_reason": 1}}),
        ({"tenant": "acme"}, {"candidate": {"other_tenant": 1}}),
        ({"routed_variant": "legacy-cached"}, {"other": {"other_variant": 1}}),
        ({"routed_variant": None}, {"other": {"other_variant": 1}}),
        ({"variant_hash": "c" * 16}, {"candidate": {"other_candidate": 1}}),
        ({"assignment_share": 1.0}, {"candidate": {"not_drawn": 1}}),
        ({"assignment_share": None}, {"candidate": {"not_drawn": 1}}),
        ({"created_at": START - MINUTE}, {"candidate": {"before_start": 1}}),
        ({"recorded_at": START + 7 * DAY + MINUTE}, {"candidate": {"late": 1}}),
    ],
    ids=str,
)
def test_who_is_counted_and_who_is_left_out_and_why(
    any_world: World, changed: dict[str, Any], left_out: dict[str, Any]
) -> None:
    any_world.row(EARLY, **changed)
    measurement = any_world.measured(block(), AFTER_ONE_LOOK)
    gone = {"role", "origin", "feature"} & changed.keys()

    assert measurement.excluded == left_out
    assert sum(cell.clusters for cell in measurement.cells) == (0 if left_out or gone else 1)


def test_a_conversation_with_one_pinned_dispatch_is_left_out_whole(any_world: World) -> None:
    for turn, reason in enumerate(("share", "pinned", "share")):
        any_world.row(EARLY + turn * MINUTE, conversation_id="one", reason=reason)
    any_world.row(EARLY)

    measurement = any_world.measured(block(unit={"by": "conversation", "window": "7d"}), START + 15 * DAY)

    assert measurement.excluded == {"candidate": {"overridden": 3}}
    assert only(measurement).clusters == 1


def test_a_conversation_counts_under_the_share_of_its_first_draw_whatever_the_share_is_later(any_world: World) -> None:
    for turn, reason in enumerate(("share", "sticky", "sticky")):
        of_turn = {"conversation_id": "one", "reason": reason, "flag_version": f"v{turn}"}
        any_world.row(EARLY + turn * MINUTE, assignment_share=0.2, **of_turn)
    any_world.row(EARLY, assignment_share=0.67, flag_version="v2")

    measurement = any_world.measured(block(unit={"by": "conversation", "window": "7d"}), START + 15 * DAY)

    assert measurement.excluded == {}
    assert {(cell.share, cell.dispatches, cell.clusters) for cell in measurement.cells} == {(0.2, 3, 1), (0.67, 1, 1)}


@pytest.mark.parametrize("reason", ["sticky_overridden", "sticky_unavailable"])
def test_a_conversation_that_was_moved_or_could_not_be_kept_is_left_out_whole(any_world: World, reason: str) -> None:
    for turn, of_turn in enumerate(("share", reason, "sticky")):
        any_world.row(EARLY + turn * MINUTE, conversation_id="one", reason=of_turn)

    measurement = any_world.measured(block(unit={"by": "conversation", "window": "7d"}), START + 15 * DAY)

    assert (measurement.cells, measurement.excluded) == ((), {"candidate": {"overridden": 3}})


def test_a_conversation_that_changed_sides_is_left_out_whole(any_world: World) -> None:
    any_world.row(EARLY, conversation_id="one")
    any_world.row(EARLY + MINUTE, LEGACY, conversation_id="one")

    measurement = any_world.measured(block(unit={"by": "conversation", "window": "1d"}), START + 9 * DAY)

    assert measurement.excluded == {"both": {"switched_variant": 2}}
    assert measurement.cells == ()


def test_the_same_conversation_id_of_two_tenants_is_two_conversations(any_world: World) -> None:
    both = block(tenants={"script": 0.5, "acme": 0.5})
    any_world.row(EARLY, conversation_id="one")
    any_world.row(EARLY, conversation_id="one", tenant="acme")

    assert sum(cell.clusters for cell in any_world.measured(both, AFTER_ONE_LOOK).cells) == 2


def test_dispatches_outside_conversations_are_units_of_their_own(any_world: World) -> None:
    any_world.row(EARLY, conversation_id=None)
    any_world.row(EARLY, conversation_id=None)

    assert only(any_world.measured(block(), AFTER_ONE_LOOK)).clusters == 2


def test_a_conversation_counts_at_the_look_after_it_has_settled_and_never_turn_by_turn(any_world: World) -> None:
    """Its fast first turns would otherwise be seen before its slow later ones."""
    week = block(P95, unit={"by": "conversation", "window": "7d"})
    for day, ms in enumerate((1000, 1000, 90_000, 90_000)):
        any_world.row(EARLY + day * DAY, conversation_id="one", ms=ms)

    at_look_one, before_look_two = (
        any_world.measured(week, START + 7 * DAY),
        any_world.measured(week, START + 14 * DAY - MINUTE),
    )
    entered = only(any_world.measured(week, START + 14 * DAY))

    assert only(at_look_one).look is None
    assert only(before_look_two).look is None
    assert (entered.look, entered.dispatches, entered.counted["AC-7"].over) == (2, 4, 2)


def test_dispatches_after_the_window_are_counted_apart(any_world: World) -> None:
    any_world.row(EARLY, conversation_id="one")
    any_world.row(EARLY + DAY, conversation_id="one", ms=90_000)

    measurement = any_world.measured(block(), AFTER_ONE_LOOK)

    assert measurement.excluded == {"candidate": {"after_window": 1}}
    assert (only(measurement).dispatches, only(measurement).counted["AC-7"].over) == (1, 0)


ENDINGS = [
    ({}, (0, 0, 0), (0, 0, 0)),
    ({"ms": 42_054}, (0, 0, 0), (0, 0, 0)),
    ({"ms": 42_055}, (1, 1, 0), (0, 0, 0)),
    ({"status": "error", "output_valid": None}, (1, 1, 0), (1, 1, 0)),
    ({"status": "lost", "output_valid": None}, (1, 1, 0), (1, 1, 0)),
    ({"status": "started", "landed_at": None, "output_valid": None}, (1, 1, 0), (1, 1, 0)),
    ({"landed_at": START + 7 * DAY + MINUTE}, (1, 1, 0), (1, 1, 0)),
    ({"output_valid": False}, (0, 0, 0), (1, 1, 0)),
    ({"output_valid": None}, (0, 0, 0), (1, 0, 1)),
    ({"ms": None}, (1, 0, 1), (0, 0, 0)),
    ({"status": "cancelled", "ended_by": "cancel", "output_valid": False}, (1, 0, 0), (1, 0, 0)),
    ({"status": "cancelled", "ended_by": "cancel", "output_valid": False, "ms": 60_000}, (1, 1, 0), (1, 0, 0)),
    ({"status": "cancelled", "ended_by": "interrupt", "output_valid": False}, (1, 1, 0), (1, 1, 0)),
]


@pytest.mark.parametrize(("changed", "time", "valid"), ENDINGS, ids=[str(changed) for changed, _, _ in ENDINGS])
def test_what_is_above_a_limit_against_a_pass_against_a_fail_and_unknown(
    any_world: World, changed: dict[str, Any], time: tuple[int, int, int], valid: tuple[int, int, int]
) -> None:
    any_world.row(EARLY, **changed)
    cell = only(any_world.measured(block(), AFTER_ONE_LOOK))
    counted = {name: (each.over, each.proven, each.unknown) for name, each in cell.counted.items()}

    assert counted == {"AC-7": time, "AC-V": valid}


def test_a_fallback_is_a_failure_of_the_variant_that_was_routed_and_its_cost_is_charged_to_it(any_world: World) -> None:
    name = any_world.row(EARLY, status="error", cost_nanousd=7, output_valid=None)
    any_world.row(EARLY + MINUTE, LEGACY, dispatch_id=name, attempt=2, role="fallback", routed_variant=MANAGED,
              conversation_id="conversation-1", cost_nanousd=100)  # fmt: skip

    cell = only(any_world.measured(block(), AFTER_ONE_LOOK))

    assert (cell.dispatches, cell.failed, cell.counted["AC-7"].proven, costs(cell).total) == (1, 1, 1, 107)


@pytest.mark.parametrize(
    "changed",
    [{"cost_nanousd": None}, {"cost_nanousd": 0}, {"landed_at": None, "status": "started"}],
    ids=["unknown", "free although tokens were used", "not ended"],
)
def test_a_cost_that_is_not_known_is_no_zero(any_world: World, changed: dict[str, Any]) -> None:
    any_world.row(EARLY, **changed)

    assert costs(only(any_world.measured(block(), AFTER_ONE_LOOK))).size == 0


def test_a_cost_of_zero_without_tokens_is_zero(any_world: World) -> None:
    any_world.row(EARLY, cost_nanousd=0, input_tokens=0, output_tokens=0)

    assert costs(only(any_world.measured(block(), AFTER_ONE_LOOK))).size == 1


def test_squares_of_nano_dollars_are_exact_although_they_overflow_64_bits(any_world: World) -> None:
    spent = [123_456_789_012_345, 987_654_321]
    for cost in spent:
        any_world.row(EARLY, cost_nanousd=cost)
    cell = only(any_world.measured(block(), AFTER_ONE_LOOK))

    assert (costs(cell).total, costs(cell).total_squared) == (sum(spent), sum(cost**2 for cost in spent))


def test_with_two_tenants_nothing_counts_before_both_are_in_the_assignment(any_world: World) -> None:
    both = block(tenants={"script": 0.5, "acme": 0.5})
    any_world.row(EARLY, tenant="script")
    assert any_world.measured(both, AFTER_ONE_LOOK).excluded == {"candidate": {"before_all_tenants": 1}}

    any_world.row(START + 2 * DAY, tenant="acme")
    any_world.row(START + 3 * DAY, tenant="script")
    measurement = any_world.measured(both, AFTER_ONE_LOOK)
    assert measurement.excluded == {"candidate": {"before_all_tenants": 1}}
    assert {cell.tenant for cell in candidate(measurement)} == {"script", "acme"}


def test_under_a_tenant_flag_the_flagged_and_the_unnamed_tenants_are_the_arms(any_world: World) -> None:
    observed = block(P95, assignment={"kind": "tenant_flag"})
    any_world.row(EARLY, reason="flag", assignment_share=None)
    any_world.row(EARLY, LEGACY, reason="default", assignment_share=None)
    any_world.row(EARLY, reason="share")
    measurement = any_world.measured(observed, AFTER_ONE_LOOK)

    assert (only(measurement).clusters, only(measurement, Arm.CONTROL).clusters) == (1, 1)
    assert measurement.excluded == {"candidate": {"share": 1}}


def test_without_a_registration_everything_is_a_preview(any_world: World) -> None:
    any_world.row(START - 30 * DAY)
    any_world.row(EARLY, status="started", landed_at=None)
    measurement = any_world.measured(block(), AFTER_ONE_LOOK, start=None)

    assert (only(measurement).look, only(measurement).clusters) == (None, 1)
    assert measurement.excluded == {"candidate": {"running": 1}}


def test_what_reached_the_database_after_the_moment_is_not_seen(any_world: World) -> None:
    any_world.row(EARLY, recorded_at=START + 9 * DAY)
    measurement = any_world.measured(block(), AFTER_ONE_LOOK)

    assert (measurement.cells, measurement.excluded) == ((), {})


def test_the_wall_times_come_as_a_histogram_with_failures_beyond_every_time(any_world: World) -> None:
    any_world.rows(3, ms=1000)
    any_world.rows(1, ms=5000)
    any_world.row(EARLY, status="error")
    times = any_world.measured(block(), AFTER_ONE_LOOK).times(Arm.CANDIDATE, entered_only=True)

    assert (dict(times.successes), times.without) == ({1000: 3, 5000: 1}, 1)


def test_the_statement_that_is_shown_is_the_one_that_counts(any_world: World) -> None:
    any_world.rows(5)
    any_world.row(EARLY, conversation_id="it's; -- (quoted), really")
    measurement = any_world.measured(block(), AFTER_ONE_LOOK)
    with any_world.engine.connect() as connection:
        shown = connection.exec_driver_sql(measurement.sql).mappings().all()
        times = connection.exec_driver_sql(str(measurement.distribution_sql)).all()

    assert sum(row["clusters"] for row in shown) == 6
    assert [tuple(row) for row in times] == [(0, 1, "candidate", 20_000, 6)]


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=["postgresql", "mariadb"])
def test_the_statements_can_be_written_for_every_engine(dialect: sa.Dialect) -> None:
    looks = Looks(start=START, as_of=START + 30 * DAY, window=DAY, settle=DAY, max_weeks=52)
    counting = Counting(Population(block(COST, P95, VALID), Origin.PRODUCTION, looks, HASHES[MANAGED]))

    for statement in (counting.cells, Values(counting).seen):
        sql = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        assert "strftime" not in sql


def test_moments_are_cut_to_milliseconds_and_never_rounded_into_the_next_look(any_world: World) -> None:
    last = START + 6 * DAY - dt.timedelta(microseconds=1)
    any_world.row(last)
    any_world.row(START + 6 * DAY)
    looks = {cell.look: cell.clusters for cell in candidate(any_world.measured(block(), START + 15 * DAY))}

    assert looks == {1: 1, 2: 1}
