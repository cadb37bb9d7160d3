"""Real runs give the figures that others computed from them, and their traps are named (the shared data sets)."""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pins import NOW, published_as_pin, tracker

from dispatcher.adr.criterion import Criterion
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.pinning.pin import Pin, SourceRows, pin_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "llm_fs_agent_bench" / "dev"
WHERE = {"feature": "agent_research", "status": "success"}
BASELINE: dict[str, Any] = {
    "source": "production-telemetry", "from": "tracker", "where": WHERE, "window": ["2026-02-12", "2026-02-20"],
}  # fmt: skip


def criterion(**changes: Any) -> Criterion:
    stated: dict[str, Any] = {
        "id": "AC-7", "says": "…", "severity": "gate", "measure": "response_time_ms", "aggregate": "p95",
        "at_most": {"times_baseline": 1.5}, "baseline": BASELINE,
    }  # fmt: skip
    return Criterion.model_validate(stated | changes)


P95 = criterion()
COST = criterion(measure="cost", aggregate="mean")
P95_OF_ALL = criterion(baseline=BASELINE | {"where": {"feature": "agent_research"}})
P50 = criterion(aggregate="p50")


@pytest.fixture(scope="module")
def runs() -> list[dict[str, str]]:
    if not DATA.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{DATA} is missing")
        pytest.skip("the shared data sets are not beside this checkout")
    with gzip.open(DATA / "runs.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def expected(runs: list[dict[str, str]]) -> list[dict[str, str]]:
    assert runs
    with (DATA / "expected_stats.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["filter"] == "success" and int(row["n"]) > 0]


def pinned(runs: list[dict[str, str]], arm: str, stated: Criterion = P95, **source: Any) -> Pin:
    column = "cost_usd" if stated.measure.is_money else "wall_ms"
    counts = Counter(
        (run["status"], Decimal(run[column]) if run[column] else None) for run in runs if run["arm"] == arm
    )
    return pin_of(published_as_pin(), stated, tracker(**source), SourceRows(counts=counts, sql="…"), NOW)


def arms(expected: list[dict[str, str]]) -> Iterator[tuple[str, dict[str, str]]]:
    yield from ((row["arm"], row) for row in expected)


def test_every_arm_has_the_nearest_rank_that_others_found(
    runs: list[dict[str, str]], expected: list[dict[str, str]]
) -> None:
    found = {arm: (pinned(runs, arm).n, int(pinned(runs, arm).value)) for arm, _ in arms(expected)}

    assert {arm: (int(row["n"]), round(float(row["p95_nearest_rank"]))) for arm, row in arms(expected)} == found


def test_every_arm_has_the_mean_cost_that_others_found(
    runs: list[dict[str, str]], expected: list[dict[str, str]]
) -> None:
    """Where a cost of 0 isn't a price, to the nano-dollar."""
    priced = [(arm, row) for arm, row in arms(expected) if row["mean_cost_nonzero_usd"]]

    for arm, row in priced:
        found = pinned(runs, arm, COST).value
        assert abs(Fraction(found) - Fraction(row["mean_cost_nonzero_usd"])) <= Fraction(2, 10**8), arm
    assert len(priced) >= 5


def test_a_cost_of_0_is_no_price_until_somebody_says_what_it_is(runs: list[dict[str, str]]) -> None:
    free = {"columns": {"cost": {"column": "cost_usd", "unit": "usd"}}}

    with pytest.raises(InvalidRecord, match="zero_cost: 18 rows cost 0"):
        pinned(runs, "gemini-3-flash-preview", COST, **free)
    with pytest.raises(InvalidRecord, match="no row of known value"):
        pinned(runs, "gemini-3-flash-preview", COST)


def traps(pin: Pin) -> dict[str, str]:
    return {trap.name: trap.told for trap in pin.traps}


def test_a_success_filter_is_named_with_what_it_hides(runs: list[dict[str, str]]) -> None:
    assert (
        "3 of 15 rows failed and aren't in the figure" in traps(pinned(runs, "chatgpt-gpt-5.3-codex"))["success_filter"]
    )
    with pytest.raises(InvalidRecord, match="its p95 is a failure"):
        pinned(runs, "chatgpt-gpt-5.3-codex", P95_OF_ALL)


def test_two_definitions_of_a_percentile_are_told_apart(runs: list[dict[str, str]]) -> None:
    told = traps(pinned(runs, "chatgpt-gpt-5.3-codex"))["percentile_definition"]

    assert told.startswith("nearest rank is 627792 ms, linear interpolation 564361 ms")


def test_fast_failures_are_named_with_the_median_they_would_flatter(runs: list[dict[str, str]]) -> None:
    told = traps(pinned(runs, "chatgpt-gpt-5.3-codex-spark", P50))["fast_failures"]

    assert told.startswith("17 failures took ")


def test_times_that_a_limit_cut_off_are_named(runs: list[dict[str, str]]) -> None:
    cut = [{**run, "wall_ms": str(min(int(run["wall_ms"]), 90_000)), "status": "success"} for run in runs]

    assert "rows have the very same largest value, 90000 ms" in traps(pinned(cut, "gpt-5.2"))["censored"]
    assert "censored" not in traps(pinned(runs, "gpt-5.2"))


def test_a_small_sample_says_what_it_cannot_carry(runs: list[dict[str, str]]) -> None:
    assert (
        "8 rows have no upper bound of their p95 at 95 %, which takes 59"
        in traps(pinned(runs, "gemini-3-pro-preview"))["thin_sample"]
    )
