"""Splitting the wait for the first token: the parts and the remainder are the whole, on every row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.decision import PathName
from dispatcher.action.observation import Timings
from dispatcher.paths.timing import MARKERS, FirstTokenSplit, Marker, split_first_token

MS = 1_000_000
moments = st.integers(min_value=-(10**13), max_value=10**13)
marks_of_any_kind = st.dictionaries(st.sampled_from(list(Marker)), moments)


def parts_of(split: FirstTokenSplit) -> list[int | None]:
    return [split.ready_ms, split.session_init_ms, split.first_token_ms, split.remainder_ms]


@given(moments, marks_of_any_kind)
def test_parts_and_remainder_are_the_time_to_first_token_and_never_negative(
    started: int, marks: dict[Marker, int]
) -> None:
    split = split_first_token(started, marks)
    first_token = marks.get(Marker.FIRST_TOKEN)

    known = [part for part in parts_of(split) if part is not None]
    assert all(part >= 0 for part in known)
    if first_token is None or first_token < started:
        assert known == []
    else:
        assert sum(known) == (first_token - started) // MS
        assert split.remainder_ms is not None


@given(moments, marks_of_any_kind)
def test_a_part_is_missing_exactly_where_a_reason_is_given(started: int, marks: dict[Marker, int]) -> None:
    split = split_first_token(started, marks)

    assert (None in parts_of(split)) == (split.unavailable_reason is not None)


@given(moments, st.lists(st.integers(min_value=0, max_value=10**12), min_size=3, max_size=3))
def test_marks_in_order_leave_at_most_the_rounding_in_the_remainder(started: int, gaps: list[int]) -> None:
    ready = started + gaps[0]
    session_done = ready + gaps[1]
    marks = {
        Marker.READY: ready,
        Marker.SESSION_DONE: session_done,
        Marker.FIRST_TOKEN: session_done + gaps[2],
    }
    split = split_first_token(started, marks)

    assert [gap // MS for gap in gaps] == [split.ready_ms, split.session_init_ms, split.first_token_ms]
    assert split.remainder_ms in {0, 1, 2}


@given(moments, marks_of_any_kind)
def test_the_split_gives_the_row_the_same_time_to_first_token(started: int, marks: dict[Marker, int]) -> None:
    split = split_first_token(started, marks)
    timings = Timings(
        response_time_ms=0,
        ready_ms=split.ready_ms,
        session_init_ms=split.session_init_ms,
        first_token_ms=split.first_token_ms,
        remainder_ms=split.remainder_ms,
    )
    first_token = marks.get(Marker.FIRST_TOKEN)

    expected = None if first_token is None or first_token < started else (first_token - started) // MS
    assert expected == timings.time_to_first_token_ms


def test_a_missing_marker_leaves_its_time_in_the_remainder() -> None:
    split = split_first_token(0, {Marker.READY: 30 * MS, Marker.FIRST_TOKEN: 100 * MS})

    assert FirstTokenSplit(ready_ms=30, remainder_ms=70, unavailable_reason="no_session_done") == split


def test_marks_out_of_order_leave_everything_in_the_remainder() -> None:
    marks = {Marker.READY: 50 * MS, Marker.SESSION_DONE: 40 * MS, Marker.FIRST_TOKEN: 60 * MS}

    assert FirstTokenSplit(remainder_ms=60, unavailable_reason="marks_out_of_order") == split_first_token(0, marks)


def test_every_path_declares_every_marker() -> None:
    assert {path: set(Marker) for path in PathName} == {path: set(markers) for path, markers in MARKERS.items()}
