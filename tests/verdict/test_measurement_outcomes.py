"""Nothing that happened to a dispatch decides whether it counts, and what is odd about a row counts against it."""

from __future__ import annotations

from typing import Any

import pytest
from verdict_worlds import DAY, HASHES, LEGACY, MANAGED, MINUTE, START, World, block

from dispatcher.verdict.measured import Arm, Cell, Measurement
from dispatcher.verdict.sums import Sums

EARLY = START + MINUTE
AFTER_ONE_LOOK = START + 8 * DAY
A_DAY = block(unit={"by": "conversation", "window": "1d"})


def only(measurement: Measurement, arm: Arm = Arm.CANDIDATE) -> Cell:
    (cell,) = measurement.of(arm)
    return cell


def costs(cell: Cell) -> Sums:
    return cell.valued["AC-6"].sums


REACTIONS: list[dict[str, Any]] = [
    {"reason": "forced"},
    {"reason": "forced", "variant": LEGACY, "routed_variant": LEGACY},
    {"reason": "pinned"},
    {"variant": LEGACY, "routed_variant": LEGACY},
    {"variant": "third", "routed_variant": "third"},
    {"variant_hash": "c" * 16},
]


@pytest.mark.parametrize("reaction", REACTIONS, ids=str)
def test_a_turn_after_the_window_neither_erases_its_conversation_nor_moves_it(
    any_world: World, reaction: dict[str, Any]
) -> None:
    """An operator who pulls the kill switch because turn 1 failed would otherwise erase that failure."""
    any_world.row(EARLY, conversation_id="one", status="error", output_valid=None)
    any_world.row(EARLY + MINUTE, conversation_id="one", **reaction)

    measurement = any_world.measured(block(), AFTER_ONE_LOOK)

    assert measurement.excluded == {"candidate": {"after_window": 1}}
    assert (only(measurement).dispatches, only(measurement).failed) == (1, 1)


def test_a_forced_turn_inside_the_window_still_bars_its_conversation_with_all_that_follows(any_world: World) -> None:
    for wait, reason in ((0 * DAY, "share"), (MINUTE, "forced"), (2 * DAY, "sticky")):
        any_world.row(EARLY + wait, conversation_id="one", reason=reason)

    measurement = any_world.measured(A_DAY, START + 15 * DAY)

    assert (measurement.cells, measurement.excluded) == ((), {"candidate": {"overridden": 3}})


def test_a_tenant_is_not_in_the_assignment_by_a_turn_after_the_window(any_world: World) -> None:
    both = block(tenants={"script": 0.5, "acme": 0.5})
    any_world.row(EARLY, tenant="acme", conversation_id="one", reason="pinned")
    any_world.row(EARLY + MINUTE, tenant="acme", conversation_id="one")
    any_world.row(EARLY + DAY)

    measurement = any_world.measured(both, AFTER_ONE_LOOK)

    assert measurement.excluded == {"candidate": {"pinned": 2, "before_all_tenants": 1}}


@pytest.mark.parametrize("statuses", [("error", "success"), ("success", "success")], ids=str)
def test_a_dispatch_with_two_first_attempts_has_failed_and_its_cost_is_unknown(
    any_world: World, statuses: tuple[str, str]
) -> None:
    """Which of them is true can't be told, so the better one must not be picked."""
    for status in statuses:
        any_world.row(EARLY, dispatch_id="twice", conversation_id="one", status=status)

    cell = only(any_world.measured(block(), AFTER_ONE_LOOK))

    assert (cell.dispatches, cell.failed, cell.counted["AC-7"].proven, costs(cell).size) == (1, 1, 1, 0)


def test_a_second_first_attempt_that_arrives_after_the_look_changes_nothing_of_it(any_world: World) -> None:
    any_world.row(EARLY, dispatch_id="twice", conversation_id="one", cost_nanousd=7)
    any_world.row(EARLY, dispatch_id="twice", conversation_id="one", cost_nanousd=9, ms=90_000,
              recorded_at=START + 10 * DAY)  # fmt: skip

    then, later = any_world.measured(block(), AFTER_ONE_LOOK), any_world.measured(block(), START + 20 * DAY)

    assert (only(then).failed, costs(only(then)).total) == (0, 7)
    assert later.cells == then.cells


@pytest.mark.parametrize(
    ("changed", "astray"),
    [
        ({}, 0),
        ({"variant": None, "variant_hash": HASHES[MANAGED]}, 1),
        ({"variant": None, "variant_hash": None}, 1),
        ({"variant": LEGACY, "variant_hash": HASHES[MANAGED]}, 1),
        ({"variant": LEGACY, "variant_hash": HASHES[LEGACY]}, 1),
    ],
    ids=str,
)
def test_a_first_attempt_that_is_not_known_to_have_run_what_was_routed_went_astray(
    any_world: World, changed: dict[str, Any], astray: int
) -> None:
    """Its definition is that of what ran, so it can't leave the dispatch out as one of an older candidate."""
    any_world.row(EARLY, **({"routed_variant": MANAGED, "assignment_share": 0.67} | changed))

    assert only(any_world.measured(block(), AFTER_ONE_LOOK)).astray == astray


@pytest.mark.parametrize(
    ("draws", "other_arms"),
    [
        ([(MANAGED, 0.67, "v1"), (LEGACY, 0.33, "v1")], False),
        ([(MANAGED, 0.5, "v1"), (LEGACY, 0.3, "v1")], True),
        ([(MANAGED, 1 / 3, "v1"), (LEGACY, 1 / 3, "v1")], True),
        ([(MANAGED, 1 / 3, "v1"), (LEGACY, 0.6666667, "v1")], False),
        ([(MANAGED, 0.5, "v1")], False),
        ([(MANAGED, 0.1, "v1"), (LEGACY, 0.5, "v2")], False),
        ([(MANAGED, 0.1, None), (LEGACY, 0.5, None)], False),
        ([(MANAGED, 0.1, "v1"), (MANAGED, 0.5, "v1"), (LEGACY, 0.9, "v1")], False),
    ],
    ids=str,
)
def test_a_draw_in_which_the_two_sides_did_not_have_everything_had_other_arms(
    any_world: World, draws: list[tuple[str, float, str | None]], other_arms: bool
) -> None:
    """Only what one version of the flag said is compared, since shares change from one to the next."""
    for variant, share, version in draws:
        any_world.row(EARLY, variant, assignment_share=share, flag_version=version)

    assert any_world.measured(block(), AFTER_ONE_LOOK).other_arms is other_arms


def test_shares_of_two_tenants_are_not_compared(any_world: World) -> None:
    any_world.row(EARLY, assignment_share=0.1, flag_version="v1")
    any_world.row(EARLY, LEGACY, assignment_share=0.5, flag_version="v1", tenant="acme")

    assert not any_world.measured(block(tenants={"script": 0.5, "acme": 0.5}), AFTER_ONE_LOOK).other_arms


TOKENS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


@pytest.mark.parametrize(
    ("tokens", "known"),
    [
        ((None, None, None, None), 0),
        ((0, None, None, None), 0),
        ((None, 0, None, 0), 0),
        ((0, None, None, 0), 1),
        ((0, 0, 0, 0), 1),
        ((0, None, None, 1), 0),
        ((None, 5, None, None), 0),
    ],
    ids=str,
)
def test_a_cost_of_zero_is_known_only_where_no_token_was_read_or_written_as_far_as_the_log_has_columns(
    any_world: World, tokens: tuple[int | None, ...], known: int
) -> None:
    any_world.row(EARLY, cost_nanousd=0, **dict(zip(TOKENS, tokens, strict=True)))

    assert costs(only(any_world.measured(block(), AFTER_ONE_LOOK))).size == known


def test_a_positive_cost_is_known_also_without_tokens(any_world: World) -> None:
    any_world.row(EARLY, MANAGED, cost_nanousd=5, input_tokens=None, output_tokens=None)

    assert costs(only(any_world.measured(block(), AFTER_ONE_LOOK))).total == 5
