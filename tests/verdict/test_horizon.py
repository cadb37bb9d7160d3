"""What the last registered look means: no pass after it, and still somebody who watches what was shipped."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from verdict_worlds import COST, DAY, P95, START, block, record

from dispatcher.audit.record import Origin
from dispatcher.verdict.epoch import Epoch
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Outcome, Verdict, judge
from dispatcher.verdict.looks import Looks
from dispatcher.verdict.measured import Arm, Cell, Counted, Measurement, Valued
from dispatcher.verdict.report.prose import as_text
from dispatcher.verdict.sums import Sums

HORIZON = 12
ACCEPTANCE = block(
    P95, COST, looks={"cadence": "weekly", "method": "anytime", "alpha": 0.05, "max_weeks": HORIZON, "settle": "24h"}
)
A_WEEK = 20


def cells(look: int, above: int, cost: int) -> list[Cell]:
    """A week's single calls of both arms: so many of the candidate's too slow, and what its mean call cost."""
    return [
        Cell(
            look=look,
            tenant="script",
            share=0.5,
            arm=arm,
            clusters=A_WEEK,
            dispatches=A_WEEK,
            counted={"AC-7": Counted({(1, 0, 0): A_WEEK - over, (1, 1, 1): over})},
            valued={"AC-6": Valued(spread(mean))},
        )
        for arm, over, mean in ((Arm.CANDIDATE, above, cost), (Arm.CONTROL, 0, 1000))
    ]


def spread(mean: int) -> Sums:
    """Half of the calls a tenth dearer than the mean, half a tenth cheaper."""
    values = [mean * 9 // 10, mean * 11 // 10] * (A_WEEK // 2)
    squares = sum(value**2 for value in values)
    return Sums(A_WEEK, A_WEEK, A_WEEK, sum(values), sum(values), squares)


def judged(weeks: Iterable[tuple[int, int]]) -> Verdict:
    """The verdict after weeks of (too slow, mean cost)."""
    seen = [each for look, (above, cost) in enumerate(weeks, start=1) for each in cells(look, above, cost)]
    last = len(seen) // 2
    measurement = Measurement(cells=tuple(seen), excluded={}, distributions={}, sql="", distribution_sql=None)
    looks = Looks(
        start=START, as_of=START + 7 * last * DAY, window=0 * DAY, settle=DAY, max_weeks=ACCEPTANCE.looks.max_weeks
    )
    epoch = Epoch(number=1, start=START, candidate_hash="b", record_hash=ACCEPTANCE.hash)
    return judge(record(ACCEPTANCE), ACCEPTANCE, Origin.PRODUCTION, epoch, looks, measurement)


GOOD = (0, 100)
SLOW = (A_WEEK, 100)
DEAR = (0, 2000)
UNDECIDED = (1, 500)
"""At both limits: one in twenty, and half of the control's cost."""


def test_what_passed_by_the_last_look_ships_ever_after() -> None:
    assert judged([GOOD] * (HORIZON + 30)).outcome is Outcome.SHIP


@pytest.mark.parametrize("worse", [SLOW, DEAR], ids=["slower", "dearer"])
def test_what_turns_bad_after_the_last_look_does_not_go_on_shipping(worse: tuple[int, int]) -> None:
    verdict = judged([GOOD] * HORIZON + [worse] * 15)

    assert verdict.outcome is not Outcome.SHIP


def test_a_limit_broken_for_good_after_the_last_look_is_rolled_back() -> None:
    assert judged([GOOD] * HORIZON + [SLOW] * 15).outcome is Outcome.ROLLBACK


def test_what_only_turned_good_after_the_last_look_is_for_people_to_decide() -> None:
    verdict = judged([UNDECIDED] * HORIZON + [GOOD] * 40)

    assert verdict.outcome is Outcome.HOLD
    assert Reason.UNDECIDED_AT_HORIZON in verdict.reasons
    assert "can bring a pass" in as_text(verdict)
