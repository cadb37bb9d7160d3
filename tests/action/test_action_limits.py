"""Limits: what can be stated, and that money stated as a float is exact."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, localcontext
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.request import Limits, nanousd
from dispatcher.errors import InvalidAction

ABSURD = 10**5000


def problems(**limits: Any) -> list[str]:
    with pytest.raises(InvalidAction) as refused:
        Limits(**limits)
    return [problem.split(" is ")[0] for problem in refused.value.problems]


@pytest.mark.parametrize("name", ["iterations", "tool_calls", "tokens"])
@pytest.mark.parametrize("value", [-1, True, False, 2.0, "8", 2**63, float("nan"), Decimal(1)])
def test_what_is_counted_is_a_whole_number(name: str, value: Any) -> None:
    assert problems(**{name: value}) == [name]


def test_no_tool_call_is_a_limit_and_no_request_or_token_is_none() -> None:
    assert Limits(tool_calls=0).tool_calls == 0
    assert problems(iterations=0, tool_calls=-1, tokens=0) == ["iterations", "tool_calls", "tokens"]


@pytest.mark.parametrize(
    "cost",
    [
        0,
        -1,
        True,
        "1.5",
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("1e999999999"),
        Decimal("1e-999999999"),
        Decimal("0.0000000009"),
        0.9e-9,
    ],
)
def test_a_cost_is_at_least_a_nano_dollar_and_has_an_end(cost: Any) -> None:
    assert problems(cost_usd=cost) == ["cost_usd"]


@pytest.mark.parametrize("deadline", [Decimal("NaN"), Decimal("sNaN"), Decimal("1e999999999"), int])
def test_a_deadline_that_is_no_number_of_seconds_is_told_and_never_raised_through(deadline: Any) -> None:
    assert problems(deadline_s=deadline) == ["deadline_s"]


@pytest.mark.parametrize("name", Limits.__slots__)
def test_an_integer_that_python_refuses_to_write_out_is_a_told_problem(name: str) -> None:
    assert problems(**{name: ABSURD}) == problems(**{name: -ABSURD}) == [name]


def test_all_problems_of_the_limits_are_told_at_once() -> None:
    told = problems(iterations=0, tool_calls=-1, tokens=0, cost_usd=0, deadline_s=0)

    assert told == ["iterations", "tool_calls", "tokens", "cost_usd", "deadline_s"]


def test_a_problem_shows_a_bounded_part_of_the_value() -> None:
    with pytest.raises(InvalidAction) as refused:
        Limits(cost_usd="9" * 10_000)  # type: ignore[arg-type]

    assert len(str(refused.value)) < 200


def test_no_limit_of_cost_is_no_amount() -> None:
    assert Limits().cost_nanousd is None


@pytest.mark.parametrize(
    ("cost", "nano"),
    [
        (0.1, 100_000_000),
        (0.29, 290_000_000),
        (1.1, 1_100_000_000),
        (4.35, 4_350_000_000),
        (1e-9, 1),
        (3, 3 * 10**9),
        (Decimal("0.0000000019"), 1),
        (Decimal("0.00000000199999999999999999999999999999999999"), 1),
        (Decimal("123456789012345678901234567890.9999999999"), 123456789012345678901234567890999999999),
    ],
)
def test_a_cost_counts_as_the_decimal_it_is_written_as_rounded_down(cost: Decimal | float, nano: int) -> None:
    assert Limits(cost_usd=cost).cost_nanousd == nano


@given(st.integers(1, 10**15))
def test_a_float_of_up_to_fifteen_digits_is_exact_to_the_nano_dollar(nano: int) -> None:
    """Fifteen significant decimal digits survive the way through a double."""
    assert nanousd(float(f"{nano}e-9")) == nano


@given(st.decimals("0.000000001", 10**25, allow_nan=False))
def test_an_amount_is_rounded_down_whatever_the_thread_rounds_decimals_to(usd: Decimal) -> None:
    with localcontext(prec=2):
        assert nanousd(usd) == floor(Fraction(usd) * 10**9)


numbers = st.none() | st.integers() | st.floats() | st.decimals(allow_nan=True) | st.booleans() | st.text()


@given(st.fixed_dictionaries(dict.fromkeys(Limits.__slots__, numbers)))
def test_any_value_is_a_usable_limit_or_a_told_problem(stated: dict[str, Any]) -> None:
    with suppress(InvalidAction):
        limits = Limits(**stated)
        assert limits.cost_nanousd is None or limits.cost_nanousd > 0
