"""What the provider reports is a value that the database can hold, or unknown."""

from __future__ import annotations

import datetime as dt
import math
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.paths.wire import blotted, count, seconds_to_wait, word


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (2**31 - 1, 2**31 - 1),
        (2**31, None),
        (-1, None),
        (True, None),
        (1.0, None),
        ("1", None),
        (None, None),
        ([1], None),
    ],
)
def test_a_count_is_a_whole_number_that_a_column_holds(value: Any, expected: int | None) -> None:
    assert count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("end_turn", "end_turn"),
        ("", ""),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("a\x00b", "a\ufffdb"),
        ("x" * 121, "x" * 120),
        (None, None),
        (7, None),
        (["end_turn"], None),
    ],
)
def test_a_word_is_short_text_that_a_column_holds(value: Any, expected: str | None) -> None:
    assert word(value) == expected


SECRET = "Zq7_plain-Secret-0123"


@given(st.text(max_size=20), st.integers(0, 20), st.integers(0, 21), st.text(max_size=20))
def test_twelve_characters_of_a_secret_are_never_shown(before: str, start: int, end: int, after: str) -> None:
    shown = blotted(f"{before}{SECRET[start:end]}{after}", (SECRET,))

    assert not [at for at in range(len(SECRET) - 11) if SECRET[at : at + 12] in shown]
    assert shown.startswith(before[:-1]) or "[secret]" in shown


def test_what_is_no_piece_of_a_secret_is_left_alone() -> None:
    assert blotted("a short plain-Secre of İ", (SECRET, "short", "")) == "a short plain-Secre of İ"
    assert blotted(f"İ{SECRET.upper()}.{SECRET[:12]}!", (SECRET,)) == "İ[secret].[secret]!"


@given(st.text(alphabet=st.characters(), max_size=300))
def test_a_word_can_always_be_encoded_and_is_bounded(value: str) -> None:
    told = word(value)

    assert told is not None
    assert b"\x00" not in told.encode()
    assert len(told) <= 120


NOW = 1_795_000_000.0


def date_of(moment: float) -> str:
    return format_datetime(dt.datetime.fromtimestamp(moment, dt.UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "100", "retry-after": "7"}, 0.1),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "in a minute"}, None),
        ({"retry-after": date_of(NOW + 90)}, 90.0),
        ({"retry-after": date_of(NOW - 90)}, None),
        ({"retry-after": date_of(NOW + 90), "date": date_of(NOW + 60)}, 30.0),
        ({"retry-after": "Mon, 99 Foo 2026 00:00:00 GMT"}, None),
    ],
)
def test_the_wait_asked_for_is_a_positive_number_of_seconds(headers: dict[str, str], expected: float | None) -> None:
    assert seconds_to_wait(headers, NOW) == expected


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text(max_size=30)))
def test_no_header_makes_a_wait_that_cannot_be_waited(headers: dict[str, str]) -> None:
    asked = seconds_to_wait(headers, NOW)

    assert asked is None or 0 < asked < math.inf
