"""The price file: what can't be read as prices is refused with every problem, its line and its place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from dispatcher.errors import InvalidPolicy
from dispatcher.prices import PriceTable


def _document(**changes: Any) -> dict[str, Any]:
    rates = {"since": "2026-01-01", "input": 1, "cache_write_5m": 1, "cache_write_1h": 2, "cache_read": 0, "output": 5}
    good = {
        "schema": 1,
        "version": "v",
        "session_hour": 1,
        "web_search": 1,
        "aliases": {},
        "models": {"m": [rates | changes.pop("rates", {})]},
    }
    return good | changes


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "prices.yml"


def problems(file: Path, text: str | bytes) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidPolicy) as refusal:
        PriceTable.load(file)
    assert refusal.value.subject == str(file)
    return "\n".join(refusal.value.problems)


def test_a_good_file_is_read(written: Path) -> None:
    written.write_text(yaml.safe_dump(_document()))
    (rates,) = PriceTable.load(written).models["m"]
    assert (rates.since, rates.input, rates.output) == (dt.date(2026, 1, 1), 1, 5)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": 2}, "line 10: schema: input should be 1"),
        ({"version": ""}, "line 12: version: is empty"),
        ({"session_hour": 0.08}, "line 11: session_hour: input should be a valid integer"),
        ({"session_hour": "1"}, "line 11: session_hour: input should be a valid integer"),
        ({"colour": "red"}, "line 2: colour: is not a known key"),
        ({"aliases": {"a": "nobody"}}, "line 2: aliases.a: 'nobody' is no model with prices; state one of models"),
        ({"models": {"m": []}}, "line 3: models.m: is empty: state at least one"),
        ({"rates": {"input": -1}}, "line 7: models.m[0].input: input should be greater than or equal to 0"),
        ({"rates": {"input": 10**6 + 1}}, "line 7: models.m[0].input: input should be less than or equal to 1000000"),
        ({"session_hour": 10**12 + 1}, "line 11: session_hour: input should be less than or equal to 1000000000000"),
        ({"rates": {"input": 1.5}}, "line 7: models.m[0].input: input should be a valid integer"),
        ({"rates": {"outputs": 1}}, "line 9: models.m[0].outputs: is not a known key"),
        ({"rates": {"since": "yesterday"}}, "line 9: models.m[0].since: 'yesterday' is not a date: write YYYY-MM-DD"),
        ({"rates": {"up_to_prompt_tokens": 0}}, "line 10: models.m[0].up_to_prompt_tokens: input should be greater"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_named_with_its_place(written: Path, changes: dict[str, Any], problem: str) -> None:
    found = problems(written, yaml.safe_dump(_document(**changes)))

    assert problem in found
    assert "\n" not in found


BANDS = """\
schema: 1
version: v
session_hour: 1
web_search: 1
aliases: {}
models:
  n:
    - {since: 2026-01-01, input: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1, output: 1}
  m:
"""


def _bands(*stated: tuple[int, int | None]) -> str:
    """A price file whose model m has these prices: the day of January, and the bound of the prompt's length."""
    rates = "input: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1, output: 1"
    return BANDS + "".join(
        f"    - {{since: 2026-01-{day:02}, {rates}{'' if bound is None else f', up_to_prompt_tokens: {bound}'}}}\n"
        for day, bound in stated
    )


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (
            [(1, 100)],
            ["2026-01-01, 0 are without up_to_prompt_tokens: exactly one must be, for every longer prompt"],
        ),
        (
            [(1, None), (1, None)],
            ["2026-01-01, 2 are without up_to_prompt_tokens: exactly one must be, for every longer prompt"],
        ),
        ([(1, 100), (1, 100), (1, None)], ["2026-01-01, 2 have the same up_to_prompt_tokens 100"]),
        (
            [(1, None), (2, 7), (2, 7), (3, 100)],
            [
                "2026-01-02, 0 are without up_to_prompt_tokens: exactly one must be, for every longer prompt",
                "2026-01-02, 2 have the same up_to_prompt_tokens 7",
                "2026-01-03, 0 are without up_to_prompt_tokens: exactly one must be, for every longer prompt",
            ],
        ),
    ],
    ids=["no open end", "two open ends", "one bound twice", "every day is looked at"],
)
def test_the_prices_of_a_day_must_cover_every_prompt_exactly_once(
    written: Path, stated: list[tuple[int, int | None]], expected: list[str]
) -> None:
    found = problems(written, _bands(*stated)).splitlines()

    assert found == [f"line 9: models.m: of the prices since {text}" for text in expected]


def test_prices_of_several_days_and_bands_are_read(written: Path) -> None:
    written.write_text(_bands((1, 100), (1, 200), (1, None), (2, None)))

    assert len(PriceTable.load(written).models["m"]) == 4


def test_a_model_that_stands_twice_is_refused(written: Path) -> None:
    assert problems(written, _bands((1, None)) + "  n: []\n") == "line 11: the key n stands here a second time"


def test_all_problems_of_a_file_are_listed_at_once(written: Path) -> None:
    document = _document(schema=9, colour="red", rates={"input": -1, "cache_read": None, "since": 5})
    del document["session_hour"]

    assert problems(written, yaml.safe_dump(document)).splitlines() == [
        "line 1: session_hour: is missing",
        "line 2: colour: is not a known key",
        "line 5: models.m[0].cache_read: input should be a valid integer",
        "line 8: models.m[0].input: input should be greater than or equal to 0",
        "line 10: models.m[0].since: 5 is not a date: write YYYY-MM-DD",
        "line 11: schema: input should be 1",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "just words", "- a list", "a: [unclosed", "a: b: c", b"\xff\xfe\x00", "!!python/object:os.system {}"],
)
def test_a_file_that_holds_no_table_is_one_clear_error(written: Path, text: str | bytes) -> None:
    assert problems(written, text)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match=r"can't be read: .*No such file"):
        PriceTable.load(tmp_path / "prices.yml")
