"""Whose conversations a verdict rests on."""

from __future__ import annotations

from decimal import Decimal

import pytest
from verdict_worlds import DAY, LEGACY, START, VALID, World, block

from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Outcome
from dispatcher.verdict.report.prose import as_text

WEEK = 7 * DAY
GATE = VALID | {"severity": "gate"}


def weeks(world: World, tenant: str, count: int, candidate: int, control: int) -> None:
    for week in range(count):
        world.rows(candidate, tenant=tenant, at=START + week * WEEK + DAY)
        world.rows(control, LEGACY, tenant=tenant, at=START + week * WEEK + DAY)


@pytest.mark.parametrize(
    ("of_the_hard", "outcome"), [(1, Outcome.HOLD), (20, Outcome.SHIP)], ids=["taken out again", "took part"]
)
def test_a_tenant_that_was_taken_out_again_is_not_decided_for_by_the_others(
    world: World, of_the_hard: int, outcome: Outcome
) -> None:
    acceptance = block(GATE, tenants={"easy": Decimal("0.5"), "hard": Decimal("0.5")})
    world.register(acceptance)
    weeks(world, "hard", of_the_hard, 8, 4)
    weeks(world, "easy", 20, 8, 4)
    verdict = world.judged(acceptance, START + 22 * WEEK)
    text = as_text(verdict)

    assert verdict.outcome is outcome
    assert (Reason.ASSIGNMENT_NOT_COMPARABLE in verdict.reasons) is (outcome is Outcome.HOLD)
    assert ("hard has less than half of the candidate's conversations" in " ".join(text.split())) is (
        outcome is Outcome.HOLD
    )
