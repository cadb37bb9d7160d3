"""What the provider reports is a value that the database can hold, or unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.paths.wire import count, word


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


@given(st.text(alphabet=st.characters(), max_size=300))
def test_a_word_can_always_be_encoded_and_is_bounded(value: str) -> None:
    told = word(value)

    assert told is not None
    assert b"\x00" not in told.encode()
    assert len(told) <= 120
