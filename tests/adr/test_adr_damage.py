"""No damaged record crashes anything, and none ships without a gate that was measured (see scripts/bench)."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "bench"))

from damaged_records import Court, damaged, surroundings  # noqa: E402 - a script's module, found by the line above


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    made = Court(surroundings())
    yield made
    made.close()


def test_the_record_as_it_is_ships_by_these_rows(court: Court, sample: str) -> None:
    """So a SHIP is within reach of every damaged one."""
    assert court.judge(sample).outcome == "SHIP"


@pytest.mark.parametrize("seed", range(3))
def test_damaged_records_are_refused_or_judged_and_never_crash(court: Court, sample: str, seed: int) -> None:
    rng = random.Random(seed)

    seen = Counter(court.judge(damaged(sample, rng)).outcome for _ in range(25))

    assert set(seen) <= {"refused", "not judged", "SHIP", "HOLD", "ROLLBACK", "INVALID"}
    assert len(seen) > 1


@pytest.mark.parametrize(
    "edit",
    [
        ("criteria:\n", "criteria: []\nunread:\n"),
        ("severity: gate", "severity: info"),
        ("aggregate: p95", "aggregate: mean"),
        ("times_baseline: 1.5", "value: 0"),
        ("```yaml acceptance", "```yaml"),
    ],
)
def test_an_empty_or_unreadable_criterion_never_ships(court: Court, sample: str, edit: tuple[str, str]) -> None:
    assert edit[0] in sample

    assert court.judge(sample.replace(*edit)).outcome != "SHIP"
