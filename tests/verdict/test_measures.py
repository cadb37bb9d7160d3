"""Every measure of the vocabulary: what a dispatch's value is, and what counts for and against a limit."""

from __future__ import annotations

from typing import Any

import pytest
from verdict_worlds import COST, DAY, LEGACY, MANAGED, MINUTE, START, World, block

from dispatcher.adr.criterion import Measure
from dispatcher.verdict.judgement.figures import figures_of, unknown_values, values_of
from dispatcher.verdict.measured import Arm, Cell

EARLY = START + MINUTE
AFTER_ONE_LOOK = START + 8 * DAY
LONG = block(unit={"by": "conversation", "window": "1d"}).unit
ERROR = {"status": "error", "output_valid": None}
CANCEL = {"status": "cancelled", "ended_by": "cancel", "output_valid": None}


def criterion(measure: str, aggregate: str, limit: float) -> dict[str, Any]:
    side = "at_most" if Measure(measure).lower_is_better else "at_least"
    stated = {"id": "M", "says": "so", "severity": "gate", "measure": measure, "aggregate": aggregate}
    return stated | {side: {"value": limit}, "baseline": {"source": "own-target"}}


def only(world: World, stated: dict[str, Any]) -> Cell:
    (cell,) = world.measured(block(stated), AFTER_ONE_LOOK).of(Arm.CANDIDATE)
    return cell


def sides(cell: Cell) -> tuple[int, int, int]:
    """Of one dispatch: above the limit against a pass, against a fail, unknown."""
    counted = cell.counted["M"]
    return counted.over, counted.proven, counted.unknown


SLOW, FAST, UNKNOWN = (1, 1, 0), (0, 0, 0), (1, 0, 1)
OVER_ONLY = (1, 0, 0)


@pytest.mark.parametrize("name", ["ready_ms", "session_init_ms", "first_token_ms", "remainder_ms", "first_text_ms"])
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"value": 100}, FAST),
        ({"value": 101}, SLOW),
        ({"value": None}, UNKNOWN),
        ({"value": 5, **ERROR}, SLOW),
        ({"value": 500, **CANCEL}, OVER_ONLY),
    ],
    ids=str,
)
def test_a_timing_is_the_first_attempts_column(
    world: World, name: str, changed: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    world.row(EARLY, **{name if key == "value" else key: value for key, value in changed.items()})

    assert sides(only(world, criterion(name, "p95", 100))) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ready_ms": 20, "session_init_ms": 30, "first_token_ms": 40, "remainder_ms": 10}, FAST),
        ({"ready_ms": 20, "session_init_ms": 30, "first_token_ms": 40, "remainder_ms": 11}, SLOW),
        ({"first_token_ms": 90, "remainder_ms": 10}, FAST),
        ({"remainder_ms": -5, "first_token_ms": 105}, FAST),
        ({"first_token_ms": 5}, UNKNOWN),
    ],
    ids=str,
)
def test_the_time_to_first_token_is_the_sum_of_its_parts(
    any_world: World, changed: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    any_world.row(EARLY, **changed)

    assert sides(only(any_world, criterion("time_to_first_token_ms", "p95", 100))) == expected


ENDINGS = [
    ({}, FAST, FAST),
    ({"ended_by": "iteration_cap"}, FAST, FAST),
    ({"output_valid": False}, FAST, FAST),
    ({**ERROR, "error_type": "overloaded"}, SLOW, FAST),
    ({**ERROR, "error_type": "connection"}, SLOW, FAST),
    ({**ERROR, "error_type": "internal"}, SLOW, SLOW),
    ({**ERROR, "error_type": "output_invalid"}, SLOW, SLOW),
    ({**ERROR, "error_type": "deadline"}, SLOW, SLOW),
    ({**ERROR, "error_type": "never heard of"}, SLOW, SLOW),
    ({**ERROR, "error_type": None}, SLOW, SLOW),
    ({**ERROR, "error_type": "not_found"}, SLOW, SLOW),
    ({**ERROR, "error_type": "not_found", "error_stage": "session"}, SLOW, FAST),
    ({**ERROR, "error_type": "interrupted"}, OVER_ONLY, OVER_ONLY),
    (CANCEL, OVER_ONLY, OVER_ONLY),
    ({"status": "lost", "output_valid": None}, SLOW, SLOW),
    ({"status": "started", "landed_at": None, "output_valid": None}, SLOW, SLOW),
    ({"landed_at": START + 7 * DAY + MINUTE}, SLOW, SLOW),
]


@pytest.mark.parametrize(("changed", "felt", "ours"), ENDINGS, ids=[str(changed) for changed, _, _ in ENDINGS])
def test_a_failure_is_seen_by_the_user_and_by_who_can_mend_it(
    any_world: World, changed: dict[str, Any], felt: tuple[int, int, int], ours: tuple[int, int, int]
) -> None:
    any_world.row(EARLY, **changed)

    assert sides(only(any_world, criterion("product_failure", "rate", 0.05))) == felt
    assert sides(only(any_world, criterion("engineering_failure", "rate", 0.05))) == ours


def test_model_requests_are_those_of_all_attempts_and_unknown_where_one_is(any_world: World) -> None:
    name = any_world.row(EARLY, iterations=3, conversation_id="one")
    any_world.row(EARLY, LEGACY, dispatch_id=name, attempt=2, role="fallback", routed_variant=MANAGED,
                  conversation_id="one", iterations=4)  # fmt: skip
    half = any_world.row(EARLY, iterations=3, conversation_id="two")
    any_world.row(EARLY, LEGACY, dispatch_id=half, attempt=2, role="fallback", routed_variant=MANAGED,
                  conversation_id="two", iterations=None)  # fmt: skip
    cell = only(any_world, criterion("iterations", "mean", 8))
    sums = cell.valued["M"].sums

    assert (sums.clusters, sums.size, sums.total, sums.total_squared, cell.valued["M"].unknown) == (1, 1, 7, 49, 1)
    assert sides(only(any_world, criterion("iterations", "p50", 7)))[2] == 1


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, FAST), (0, SLOW), (None, UNKNOWN)], ids=["read", "nothing read", "unknown"]
)
def test_a_cache_hit_is_about_second_and_later_turns(
    any_world: World, tokens: int | None, expected: tuple[int, int, int]
) -> None:
    """A first turn has nothing to hit; a conversation of one turn isn't even a cluster of it."""
    stated = criterion("cache_hit", "rate", 0.9)
    acceptance = block(stated, unit={"by": "conversation", "window": "1d"})
    for turn in (1, 2):
        any_world.row(EARLY, conversation_id="one", turn=turn, first_call_cache_read_input_tokens=tokens)
    any_world.row(EARLY, turn=1, first_call_cache_read_input_tokens=0)
    (cell,) = any_world.measured(acceptance, START + 9 * DAY).of(Arm.CANDIDATE)

    assert (cell.clusters, cell.dispatches) == (2, 3)
    assert cell.counted["M"].clusters == {(1, *expected[:2]): 1}
    assert cell.counted["M"].unknown == expected[2]
    assert values_of([cell], acceptance.criteria[0]) == 1


def test_the_uncached_input_of_later_turns_has_a_mean_and_a_percentile(any_world: World) -> None:
    for turn, tokens in ((1, 9999), (2, 100), (3, 300), (4, None)):
        any_world.row(EARLY, conversation_id="one", turn=turn, first_call_input_tokens=tokens)
    mean = criterion("first_call_uncached_input_tokens", "mean", 500)
    p50 = mean | {"id": "P", "aggregate": "p50"}
    acceptance = block(mean, p50, unit={"by": "conversation", "window": "1d"})
    measurement = any_world.measured(acceptance, START + 9 * DAY)
    (cell,) = measurement.of(Arm.CANDIDATE)
    figures = [
        figures_of(each, measurement, acceptance.tenants, up_to=1)[Arm.CANDIDATE] for each in acceptance.criteria
    ]

    assert (cell.valued["M"].sums.size, cell.valued["M"].sums.total, cell.valued["M"].unknown) == (2, 400, 1)
    assert (unknown_values([cell], acceptance.criteria[0]), values_of([cell], acceptance.criteria[0])) == (1, 3)
    assert [figure.figure for figure in figures] == [200, 300]


def test_the_cost_per_valid_success_bears_what_the_failures_cost(any_world: World) -> None:
    any_world.row(EARLY, cost_nanousd=100, conversation_id="one")
    any_world.row(EARLY, cost_nanousd=50, conversation_id="one", **ERROR)
    any_world.row(EARLY, cost_nanousd=30, conversation_id="two", output_valid=False)
    any_world.row(EARLY, cost_nanousd=20, conversation_id="three", output_valid=None)
    any_world.row(EARLY, cost_nanousd=None, conversation_id="four")
    acceptance = block(criterion("cost_per_valid_success", "mean", 1), unit={"by": "conversation", "window": "1d"})
    (cell,) = any_world.measured(acceptance, START + 9 * DAY).of(Arm.CANDIDATE)
    sums = cell.valued["M"].sums

    assert (sums.clusters, sums.size, sums.size_squared, sums.total, sums.cross) == (3, 1, 1, 200, 150)
    assert sums.total_squared == 150**2 + 30**2 + 20**2
    assert cell.valued["M"].unknown == 2


def test_two_criteria_about_the_same_mean_have_the_same_sums(world: World) -> None:
    world.rows(3)
    absolute = COST | {"id": "AC-9", "at_most": {"value": 1}, "baseline": {"source": "own-target"}}
    (cell,) = world.measured(block(COST, absolute), AFTER_ONE_LOOK).of(Arm.CANDIDATE)

    assert cell.valued["AC-6"] == cell.valued["AC-9"]
