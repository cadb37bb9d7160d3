"""A value means exactly what is written, or is refused with a sentence that shows it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from dispatcher.document.notation import Contradictions, Date, Duration, Name, Number, Positive, Strict, as_tuple, plain


def read(form: Any, value: object) -> Any:
    return TypeAdapter(form).validate_python(value, strict=True)


def refusal(form: Any, value: object) -> str:
    with pytest.raises(ValidationError) as refused:
        read(form, value)
    (item,) = refused.value.errors()
    return item["msg"].removeprefix("Value error, ")


@given(st.decimals("-999999999999999", "999999999999999", places=30))
def test_a_decimal_is_kept_to_its_last_digit(number: Decimal) -> None:
    assert number.as_tuple() == read(Number, number).as_tuple()


@given(st.floats(-1e14, 1e14).filter(lambda number: number == 0 or abs(number) > 1e-12))
def test_a_float_is_the_shortest_decimal_that_reads_back_as_it(number: float) -> None:
    assert number == float(read(Number, number))
    assert Decimal(repr(number)) == read(Number, number)


@given(st.decimals("-999999999999999", "999999999999999", places=30))
def test_a_plain_number_reads_back_and_has_no_exponent_and_no_idle_zero(number: Decimal) -> None:
    text = plain(number)

    assert number == Decimal(text)
    assert "E" not in text.upper()
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("number", "text"), [("42054.0", "42054"), ("100", "100"), ("1E+2", "100"), ("0.50", "0.5"), ("1E-7", "0.0000001")]
)
def test_a_number_is_written_plainly(number: str, text: str) -> None:
    assert text == plain(Decimal(number))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (True, "True is not a number"),
        ("60", "'60' is not a number"),
        (".inf", "'.inf' is not a number"),
        (None, "None is not a number"),
        ([1], "[1] is not a number"),
        (float("inf"), "inf is out of range"),
        (float("nan"), "nan is out of range"),
        (Decimal("Infinity"), "Decimal('Infinity') is out of range"),
        (Decimal("sNaN"), "Decimal('sNaN') is out of range"),
        (10**15, "1000000000000000 is out of range"),
        (-(10**15), "-1000000000000000 is out of range"),
        (Decimal("1E-31"), "Decimal('1E-31') is out of range"),
    ],
)
def test_what_is_not_a_number_of_a_usable_size_is_refused(value: object, problem: str) -> None:
    assert problem == refusal(Number, value)


@pytest.mark.parametrize("value", [0, Decimal(0), -1, Decimal("-0.1"), -0.0])
def test_a_positive_number_is_above_zero(value: object) -> None:
    assert refusal(Positive, value) == "Input should be greater than 0"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0d", dt.timedelta(0)),
        ("90s", dt.timedelta(seconds=90)),
        ("15m", dt.timedelta(minutes=15)),
        ("24h", dt.timedelta(days=1)),
        ("7d", dt.timedelta(days=7)),
        ("36525d", dt.timedelta(days=36_525)),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, span: dt.timedelta) -> None:
    assert span == read(Duration, text)


@pytest.mark.parametrize("text", ["36526d", "999999d", "999999h"])
def test_what_would_lead_out_of_the_calendar_is_no_duration(text: str) -> None:
    assert refusal(Duration, text) == f"{text} is longer than a century"


@pytest.mark.parametrize(
    "value", ["", "7", "d", "1.5h", "-1d", "7 d", "7d\n", "7D", "7w", "1000000d", "٣d", 7, None, True]
)
def test_what_is_not_a_duration_is_refused_with_its_form(value: object) -> None:
    form = "write a whole number and s, m, h or d, such as 24h or 7d"

    assert f"{value!r} is not a duration: {form}" == refusal(Duration, value)


@given(st.dates())
def test_a_day_is_written_as_the_calendar_does(day: dt.date) -> None:
    assert [day, day] == [read(Date, day.isoformat()), read(Date, day)]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-02-30",
        "20260101",
        "2026-W01-1",
        "2026-13-01",
        "26-01-01",
        "2026-01-01T00:00",
        5,
        None,
        [],
    ],
)
def test_what_is_not_a_day_is_refused_with_its_form(value: object) -> None:
    assert f"{value!r} is not a date: write YYYY-MM-DD" == refusal(Date, value)


@pytest.mark.parametrize("name", ["a", "KD-0650", "user@host", "a.b_c:d/e", "0", "x" * 120])
def test_a_name_is_short_and_of_plain_characters(name: str) -> None:
    assert name == read(Name, name)


@pytest.mark.parametrize("name", ["", "-a", " a", "a b", "a\n", "é", "x" * 121, "<a>"])
def test_what_is_no_name_is_refused(name: str) -> None:
    assert refusal(Name, name).startswith("String should match pattern")


def test_a_list_becomes_a_tuple_and_anything_else_stays_what_it_is() -> None:
    assert [as_tuple([1, [2]]), as_tuple("ab"), as_tuple(None)] == [(1, [2]), "ab", None]


def test_all_contradictions_are_listed_those_of_the_whole_and_those_inside_it() -> None:
    said = Contradictions(["one", "two"], [(("a", 0), "three")])

    assert said.problems == ("one", "two")
    assert said.inside == ((("a", 0), "three"),)
    assert str(said) == "one; two; three"


class Point(Strict):
    x: int


def test_a_strict_value_knows_its_keys_converts_nothing_and_stays_as_it_is() -> None:
    assert [refusal(Point, value) for value in ({"x": 1, "y": 2}, {"x": "1"}, {"x": 1.0}, {})] == [
        "Extra inputs are not permitted",
        "Input should be a valid integer",
        "Input should be a valid integer",
        "Field required",
    ]
    with pytest.raises(ValidationError):
        Point(x=1).x = 2  # type: ignore[misc] - that is the claim
