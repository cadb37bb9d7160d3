"""What is left out for what became of it may not be what the verdict is about."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from verdict_worlds import COST, DAY, LEGACY, MINUTE, START, VALID, World, block

from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Outcome, Verdict
from dispatcher.verdict.measured import LeftOut

WEEK = 7 * DAY
GATE = VALID | {"severity": "gate"}


def weeks(world: World, count: int, **different: Any) -> None:
    """Eight dispatches of the candidate and four of the control a week, of one conversation each."""
    for week in range(count):
        world.rows(8, at=START + week * WEEK + MINUTE, **different)
        world.rows(4, LEGACY, at=START + week * WEEK + MINUTE)


def judged(world: World, count: int, *criteria: dict[str, Any], window: str = "0d") -> Verdict:
    acceptance = block(*criteria, unit={"by": "conversation", "window": window})
    world.register(acceptance)
    return world.judged(acceptance, START + (count + 2) * WEEK)


def test_one_stray_dispatch_by_another_policy_is_no_broken_draw(world: World) -> None:
    weeks(world, 20)
    world.rows(1, at=START + 3 * WEEK + 2 * DAY, variant_hash="d" * 16)
    verdict = judged(world, 20, GATE)

    assert verdict.outcome is Outcome.HOLD
    assert Reason.LEFT_OUT_SHARE in verdict.reasons
    assert verdict.epoch is not None
    assert verdict.epoch.number == 2


def test_what_arrives_too_late_is_not_simply_gone(world: World) -> None:
    weeks(world, 20)
    for week in range(20):
        late = START + week * WEEK + MINUTE
        world.rows(2, at=late, recorded_at=late + 30 * DAY, landed_at=late + 30 * DAY)
    verdict = judged(world, 20, GATE)

    assert (verdict.outcome, verdict.reasons) == (Outcome.HOLD, (Reason.LEFT_OUT_SHARE,))


def test_a_brake_pulled_after_a_failure_does_not_hide_it(world: World) -> None:
    """A quarter of all conversations fail; the operator's brake forces exactly their second turns back to legacy."""
    weeks(world, 20)
    for week in range(20):
        at = START + week * WEEK + DAY
        for number in range(2):
            told = {"conversation_id": f"{week}-{number}", "at": at}
            world.rows(1, turn=1, output_valid=False, **told)
            world.rows(1, LEGACY, turn=2, reason="forced", **told | {"at": at + dt.timedelta(hours=1)})
    verdict = judged(world, 20, GATE, window="7d")

    assert verdict.measurement.excluded["candidate"][LeftOut.OVERRIDDEN] > 0
    assert (verdict.outcome, verdict.reasons) == (Outcome.HOLD, (Reason.LEFT_OUT_SHARE,))


def test_a_draw_to_the_other_side_after_a_failure_does_not_hide_it(world: World) -> None:
    """A quarter of all conversations fail, and exactly their second turns are drawn again, to the control."""
    weeks(world, 20)
    for week in range(20):
        at = START + week * WEEK + DAY
        for number in range(2):
            told = {"conversation_id": f"{week}-{number}"}
            world.rows(1, turn=1, output_valid=False, at=at, **told)
            world.rows(1, LEGACY, turn=2, at=at + dt.timedelta(hours=1), **told)
    verdict = judged(world, 20, GATE, window="7d")

    assert verdict.measurement.excluded["both"][LeftOut.SWITCHED_VARIANT] > 0
    assert (verdict.outcome, verdict.reasons) == (Outcome.HOLD, (Reason.LEFT_OUT_SHARE,))


@pytest.mark.parametrize(("criterion", "held"), [(COST, True), (GATE, False)], ids=["beside the control", "a number"])
def test_a_control_that_was_defined_anew_is_no_measure_of_anything(
    world: World, criterion: dict[str, Any], *, held: bool
) -> None:
    weeks(world, 10)
    for week in range(10, 20):
        world.rows(8, at=START + week * WEEK + MINUTE)
        world.rows(4, LEGACY, at=START + week * WEEK + MINUTE, variant_hash="c" * 16)

    assert (Reason.CONTROL_CHANGED in judged(world, 20, criterion).reasons) is held


def test_a_cost_of_nothing_for_an_unknown_number_of_tokens_is_unknown(world: World) -> None:
    world.rows(3, at=START + MINUTE, cost_nanousd=0, input_tokens=None, output_tokens=0)
    world.rows(3, at=START + MINUTE, cost_nanousd=0, input_tokens=0, output_tokens=0)
    verdict = judged(world, 1, COST)

    assert {arm.value: figures.unknown for arm, figures in verdict.findings[0].entered.items()}["candidate"] == 3
