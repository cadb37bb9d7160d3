"""What a record's traffic can decide is computed in seconds, however much traffic it claims."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Acceptance
from dispatcher.adr.reader import read_record
from dispatcher.verdict.chances.chance_models import model_of
from dispatcher.verdict.chances.crossing import chances, lines
from dispatcher.verdict.measured import Arm

SAMPLE = Path(__file__).parents[2] / "adrs" / "KD-0650-migrate-research-to-managed-agents.md"
CONTROL = {"source": "concurrent-control"}
SHARE: dict[str, Any] = {
    "id": "AC-V", "says": "…", "severity": "gate", "measure": "output_valid", "aggregate": "rate",
    "at_least": {"value": 0.95},
}  # fmt: skip
RATE = SHARE | {"at_least": {"times_control": 0.99}, "baseline": CONTROL}
PERCENTILE: dict[str, Any] = {
    "id": "AC-7", "says": "…", "severity": "gate", "measure": "response_time_ms", "aggregate": "p95",
    "at_most": {"times_control": 1.5}, "baseline": CONTROL,
}  # fmt: skip


def block(dispatches_per_month: int, criterion: dict[str, Any]) -> Acceptance:
    acceptance = read_record(SAMPLE).acceptance
    assert acceptance is not None
    stated = {name: getattr(acceptance, name) for name in Acceptance.model_fields if name != "schema_"}
    traffic = acceptance.traffic.model_copy(update={"dispatches_per_month": Decimal(dispatches_per_month)})
    criteria = [Criterion.model_validate(criterion)]
    return Acceptance.model_validate({"schema": 1, **stated, "traffic": traffic, "criteria": criteria})


@pytest.mark.parametrize(("criterion", "most"), [(SHARE, 1_000_000), (RATE, 20_000), (PERCENTILE, 20_000)])
def test_no_more_clusters_are_computed_than_can_be(criterion: dict[str, Any], most: int) -> None:
    """Whatever was computed by then is so for more: a pass only gets likelier."""
    usual, huge = (block(traffic, criterion) for traffic in (36, 999_999_999_999_999))
    few, many = (model_of(each.criteria[0], each) for each in (usual, huge))

    assert {many.sizes(arm, 520)[-1] for arm in (Arm.CANDIDATE, Arm.CONTROL)} == {most}
    assert any(f"the first {most:,} conversations of an arm are computed" in each for each in many.because)
    assert not any("are computed" in each for each in few.because)
    assert many.expected(52).to_pass > 0.99


def test_long_counts_have_the_chances_of_a_simulation() -> None:
    """A million conversations, whose masses are multiplied by Fourier transform."""
    counted = [round(1_000_000 * look / 12) for look in range(1, 13)]
    most_to_pass, fewest_to_fail = lines(0.5, 0.05, 0.05, 20)
    rng, runs = np.random.default_rng(3), 20_000
    alive, above, seen, passed = np.ones(runs, dtype=bool), np.zeros(runs, dtype=np.int64), 0, 0
    for size in counted:
        above += rng.binomial(size - seen, 0.4952, runs)
        seen = size
        crossing = alive & (above <= most_to_pass(size))
        passed += int(crossing.sum())
        alive &= ~crossing & (above < fewest_to_fail(size))

    found = chances(counted, 0.4952, most_to_pass, fewest_to_fail)

    assert 0.05 < found.to_pass < 0.95
    assert passed / runs == pytest.approx(found.to_pass, abs=0.012)
    assert math.isclose(chances(counted, 0.4952, lambda _n: -1, lambda n: n // 4).to_fail, 1, abs_tol=1e-9)


def test_what_has_stopped_coming_in_changes_nothing() -> None:
    to_pass, to_fail = lines(0.05, 0.05, 0.05, 20)
    going, stopped = chances([100, 200], 0.03, to_pass, to_fail), chances([100, 200, 200, 200], 0.03, to_pass, to_fail)

    assert stopped.passed == (*going.passed, going.to_pass, going.to_pass)
    assert stopped.failed == (*going.failed, going.to_fail, going.to_fail)
