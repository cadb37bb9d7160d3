"""Limits are computed exactly, and a criterion that means nothing can't be stated."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dispatcher.adr.criterion import Criterion, Measure
from dispatcher.document.notation import Contradictions

PRODUCTION = {
    "source": "production-telemetry",
    "where": {"feature": "agent_research"},
    "window": ["2026-04-09", "2026-05-09"],
    "n": 36,
    "value": 28036,
}
LATENCY = {
    "id": "AC-7",
    "says": "…",
    "severity": "gate",
    "measure": "response_time_ms",
    "aggregate": "p95",
    "at_most": {"times_baseline": 1.5},
    "baseline": PRODUCTION,
}


def criterion(**changes: Any) -> Criterion:
    stated = {**LATENCY, **changes}
    return Criterion.model_validate({key: value for key, value in stated.items() if value is not None})


def contradictions(**changes: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        criterion(**changes)
    sentences: list[str] = []
    for item in caught.value.errors():
        cause = item.get("ctx", {}).get("error")
        sentences += cause.problems if isinstance(cause, Contradictions) else [item["msg"]]
    return sentences


@pytest.mark.parametrize(
    ("value", "source", "limit"),
    [
        (28036, "production-telemetry", "42054"),
        (483000, "spike", "724500"),
        (18703, "production-telemetry", "28054.5"),
    ],
    ids=["of the production p95", "of the spike, which anything passes", "of the production p50"],
)
def test_the_limit_of_a_multiple_is_exact(value: int, source: str, limit: str) -> None:
    stated = criterion(baseline={**PRODUCTION, "value": value, "source": source})

    assert Decimal(limit) == stated.limit
    assert limit == str(stated.limit)


@given(
    times=st.decimals("0.000000000001", "1000", places=12),
    value=st.decimals("0.000000000001", "100000000000000", places=12),
)
def test_no_limit_drifts(times: Decimal, value: Decimal) -> None:
    stated = criterion(at_most={"times_baseline": times}, baseline={**PRODUCTION, "value": value})

    assert stated.limit is not None
    assert Fraction(times) * Fraction(value) == Fraction(stated.limit)


def test_a_float_means_the_number_that_was_written() -> None:
    assert Decimal("0.1") * 28036 == criterion(at_most={"times_baseline": 0.1}).limit


def test_a_multiple_of_the_control_has_no_limit_beforehand() -> None:
    stated = criterion(at_most={"times_control": 1.2}, baseline={"source": "concurrent-control"})

    assert stated.limit is None
    assert Decimal("1.2") == stated.bound.number


def test_a_percentile_is_a_share_and_a_mean_is_none() -> None:
    mean = criterion(
        measure="cost",
        aggregate="mean",
        at_most={"times_control": 0.5},
        baseline={"source": "concurrent-control"},
    )

    assert Decimal("0.95") == criterion().quantile
    assert mean.quantile is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"at_least": {"value": 1}}, "state exactly one of at_most and at_least"),
        ({"at_most": None}, "state exactly one of at_most and at_least"),
        (
            {"at_most": {"value": 1, "times_baseline": 1}},
            "state exactly one of times_baseline, times_control",
        ),
        ({"at_most": {}}, "state exactly one of times_baseline, times_control"),
        ({"baseline": None}, "times_baseline is a multiple of something measured: name its baseline, and its source"),
        ({"at_most": {"times_control": 1.5}}, "times_control and source concurrent-control belong together"),
        ({"baseline": {"source": "concurrent-control"}}, "times_control and source concurrent-control belong together"),
        ({"baseline": {"source": "own-target"}}, "an own target is a number, not a multiple"),
        ({"baseline": {"source": "concurrent-control", "n": 36}}, "has no rows of the past, so it takes no n"),
        (
            {"baseline": {"source": "spike", "value": 483000}},
            "a p95 is only as good as its sample",
        ),
        ({"baseline": {"source": "spike", "n": 1}}, "source spike needs the value that was found"),
        ({"baseline": {"source": "production-telemetry", "value": 1}}, "so state its where, window, n"),
        ({"baseline": {**PRODUCTION, "value": None, "treat_as": "contract"}}, "so state value"),
        ({"baseline": {**PRODUCTION, "treat_as": "sample"}}, "treat_as: sample carries the uncertainty of rows"),
        ({"baseline": {**PRODUCTION, "window": ["2026-05-09", "2026-04-09"]}}, "window ends on 2026-04-09"),
        ({"at_most": {"value": 42054}}, "a baseline value beside it would be ignored"),
        ({"aggregate": "mean"}, "mean of response_time_ms is not a measurable quantity"),
        ({"measure": "cost"}, "p95 of cost is not a measurable quantity"),
        ({"at_most": None, "at_least": {"times_baseline": 1.5}}, "limit of response_time_ms is stated with at_most"),
        ({"expected": {"times_baseline": 1.6}}, "expected lies on the failing side of the limit"),
        ({"expected": {"value": 42055}}, "expected lies on the failing side of the limit"),
        ({"at_most": {"times_baseline": 0}}, "Input should be greater than 0"),
        ({"at_most": {"times_baseline": float("nan")}}, "out of range"),
        ({"at_most": {"times_baseline": 1e-40}}, "out of range"),
        ({"at_most": {"times_baseline": 1e15}}, "out of range"),
        ({"at_most": {"times_baseline": True}}, "True is not a number"),
        ({"at_most": {"times_baseline": "1.5"}}, "'1.5' is not a number"),
    ],
)
def test_a_criterion_that_means_nothing_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in said for said in contradictions(**changes)), contradictions(**changes)


@pytest.mark.parametrize("share", [1, 1.5])
def test_a_rate_that_can_never_be_shown_is_refused(share: float) -> None:
    said = contradictions(
        measure="output_valid", aggregate="rate", at_most=None, at_least={"value": share}, baseline=None
    )

    assert [f"a rate of at least {share} can never be shown: state a limit below 1"] == said


def test_all_contradictions_of_a_criterion_come_at_once() -> None:
    said = contradictions(aggregate="rate", baseline={"source": "concurrent-control"})

    assert len(said) == 2


@pytest.mark.parametrize("measure", Measure)
def test_every_measure_has_an_aggregate_and_a_direction(measure: Measure) -> None:
    allowed = {aggregate for aggregate in ("p95", "mean", "rate") if measure.allows(aggregate)}

    assert allowed in ({"p95"}, {"mean"}, {"rate"}, {"p95", "mean"})
    assert measure.lower_is_better == (measure not in {Measure.OUTPUT_VALID, Measure.CACHE_HIT})
    assert (measure.unit == "") == (allowed == {"rate"})
