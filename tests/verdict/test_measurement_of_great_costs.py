"""Costs beyond what a double adds up exactly."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from verdict_worlds import COST, DAY, MINUTE, START, World, block

from dispatcher.verdict.measured import Arm
from dispatcher.verdict.sums import Sums


@pytest.mark.parametrize(
    "costs", [(2**43 - 1, 2**43 - 2), (2**43, 1), (2**50 + 1, 2**43 + 5)], ids=["usual", "at the border", "beyond"]
)
def test_the_costs_of_a_conversation_add_up_to_the_last_nano_dollar(
    any_engine: sa.Engine, costs: tuple[int, ...]
) -> None:
    world = World(any_engine)
    for turn, cost in enumerate(costs, start=1):
        world.row(START + turn * MINUTE, conversation_id="a", turn=turn, cost_nanousd=cost)
    measured = world.measured(block(COST, unit={"by": "conversation", "window": "1d"}), START + 15 * DAY)

    (cell,) = measured.of(Arm.CANDIDATE)
    n, total = len(costs), sum(costs)
    assert cell.valued["AC-6"].sums == Sums(1, n, n * n, total, n * total, total**2)
