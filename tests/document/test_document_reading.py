"""A file is a model, or the caller's error with every problem, each on its line and at its place."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field, model_validator

from dispatcher.document.notation import Contradictions, Date, Duration, Name, Number, Strict, as_tuple
from dispatcher.document.reading import MAX_BYTES, read_document, text_of
from dispatcher.errors import InvalidImport, InvalidInput, InvalidPolicy


class Stop(Strict):
    name: Name
    wait: Duration | None = None


class Journey(Strict):
    schema_: Annotated[Literal[1], Field(alias="schema")]
    day: Date
    fare: Annotated[Number, Field(gt=0, lt=Decimal("99.5"))]
    stops: Annotated[tuple[Stop, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    seats: dict[Name, int] = Field(default_factory=dict)
    note: str = Field(default="-", min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Journey:
        problems = ["a journey has two stops: state where it ends"] if len(self.stops) == 1 else []
        inside = [(("seats", who), "sits nowhere") for who, seat in self.seats.items() if seat < 1]
        if problems or inside:
            raise Contradictions(problems, inside)
        return self


GOOD = """\
schema: 1
day: 2026-05-09
fare: 12.50
stops:
  - {name: a}
  - name: b
    wait: 5m
seats:
  me: 7
"""


class Text(Strict):
    """What an untyped document can be read as."""

    a: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journey.yml"


def read(path: Path, content: str | bytes) -> Journey:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_document(path, Journey, InvalidPolicy, typed=True)


def problems(path: Path, content: str | bytes) -> list[str]:
    with pytest.raises(InvalidPolicy) as refused:
        read(path, content)
    assert str(path) == refused.value.subject
    return list(refused.value.problems)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a byte order mark"])
def test_a_good_file_is_the_model(path: Path, mark: bytes) -> None:
    journey = read(path, mark + GOOD.encode())

    assert (journey.day, journey.fare, journey.seats) == (dt.date(2026, 5, 9), Decimal("12.50"), {"me": 7})
    assert [stop.wait for stop in journey.stops] == [None, dt.timedelta(minutes=5)]


def test_an_untyped_document_holds_texts_only(path: Path) -> None:
    path.write_text("a: 1.50\n")

    assert read_document(path, Text, InvalidImport, typed=False).a == "1.50"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("schema: 1\n", "", "line 1: schema: is missing"),
        ("schema: 1", "schema: 2", "line 1: schema: input should be 1"),
        ("schema: 1", "schema: '1'", "line 1: schema: input should be 1"),
        ("fare:", "fair: 1\nfare:", "line 3: fair: is not a known key"),
        ("2026-05-09", "20.5", "line 2: day: 20.5 is not a date: write YYYY-MM-DD"),
        ("2026-05-09", "", "line 2: day: None is not a date: write YYYY-MM-DD"),
        ("12.50", "12,50", "line 3: fare: '12,50' is not a number"),
        ("12.50", "99.5", "line 3: fare: input should be less than 99.5"),
        ("12.50", "1000000000000000.5", "line 3: fare: 1000000000000000.5 is out of range"),
        ("5m", "1.5", "line 7: stops[1].wait: 1.5 is not a duration: write a whole number and s, m, h or d, such as "),
        ("name: b", "nam: b", None),
        ("{name: a}", "a", "line 5: stops[0]: is no mapping of keys to values"),
        ("name: a", "name: -a", "line 5: stops[0].name: '-a' is not of the form ^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,119}$"),
        ("seats:\n  me: 7\n", "seats: 7\n", "line 8: seats: is no mapping of keys to values"),
        ("me: 7", "my seat: 7", "line 9: seats.my seat: 'my seat' is not of the form "),
        ("me: 7", "me: many", "line 9: seats.me: input should be a valid integer"),
        ("me: 7", "you: 7\n  me: 0", "line 10: seats.me: sits nowhere"),
        ("  - name: b\n    wait: 5m\n", "", "line 1: a journey has two stops: state where it ends"),
        ("fare:", "note: ''\nfare:", "line 3: note: is empty"),
        ("fare:", "schema: 1\nfare:", "line 3: the key schema stands here a second time"),
    ],
)
def test_a_problem_is_said_with_its_line_its_place_and_what_to_write(
    path: Path, old: str, new: str, expected: str | None
) -> None:
    assert old in GOOD
    found = problems(path, GOOD.replace(old, new))

    if expected is None:
        assert found == ["line 6: stops[1].nam: is not a known key", "line 6: stops[1].name: is missing"]
    else:
        assert len(found) == 1
        assert found[0].startswith(expected)


@pytest.mark.parametrize(
    ("stops", "expected"),
    [("[]", "line 4: stops: is empty: state at least one"), ("here", "line 4: stops: is no list")],
)
def test_a_list_is_a_list_and_not_empty(path: Path, stops: str, expected: str) -> None:
    head = GOOD.partition("stops:")[0]

    assert problems(path, f"{head}stops: {stops}\n") == [expected]


def test_all_problems_come_at_once_in_the_order_of_their_lines(path: Path) -> None:
    text = GOOD.replace("schema: 1", "schema: 2").replace("me: 7", "me: x").replace("wait: 5m", "weight: 5")

    assert problems(path, text) == [
        "line 1: schema: input should be 1",
        "line 7: stops[1].weight: is not a known key",
        "line 9: seats.me: input should be a valid integer",
    ]


def test_all_contradictions_come_at_once_each_on_its_own_line(path: Path) -> None:
    text = GOOD.replace("  - name: b\n    wait: 5m\n", "").replace("me: 7", "me: 0\n  you: -1")

    assert problems(path, text) == [
        "line 1: a journey has two stops: state where it ends",
        "line 7: seats.me: sits nowhere",
        "line 8: seats.you: sits nowhere",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "line 1: is not a YAML mapping of keys to values"),
        (b"a: 1\nb: \xff\n", "line 2: is not UTF-8"),
        (b"\xff\xfe\x00", "line 1: is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "is larger than 1000000 bytes"),
    ],
    ids=["empty", "bytes in line 2", "UTF-16", "too large"],
)
def test_content_that_is_no_document_is_one_problem(path: Path, content: bytes, expected: str) -> None:
    assert problems(path, content) == [expected]


def test_content_of_the_largest_size_is_read() -> None:
    assert len(text_of(b"#" * MAX_BYTES, "x", InvalidPolicy)) == MAX_BYTES


@pytest.mark.parametrize("error", [InvalidPolicy, InvalidImport])
def test_a_file_that_can_not_be_read_is_the_callers_error(path: Path, error: type[InvalidInput]) -> None:
    with pytest.raises(error) as refused:
        read_document(path, Journey, error, typed=True)

    assert refused.value.problems == ("can't be read: No such file or directory",)


SCRAPS = st.sampled_from(
    [*GOOD.splitlines(keepends=True), "schema: 1\n", "  ", "- ", ": ", "{", "[", "'", "&a ", "\x85"]
)
DOCUMENTS = st.lists(SCRAPS | st.text(max_size=5), max_size=12).map(
    lambda parts: "".join(parts).encode("utf-8", "replace")
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100) | DOCUMENTS)
def test_any_content_is_the_model_or_the_callers_error(path: Path, content: bytes) -> None:
    refused: InvalidPolicy | None = None
    try:
        read(path, content)
    except InvalidPolicy as error:
        refused = error
    if refused is not None:
        assert refused.problems
        assert all(re.match("line [0-9]+: .", problem) for problem in refused.problems)
