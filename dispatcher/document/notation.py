"""How values are written in a document: exact numbers, durations, days, and objects without unknown keys."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from dispatcher.document.tree import Path

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONGEST = dt.timedelta(days=36_525)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LARGEST = Decimal(10) ** 15
_MOST_DECIMALS = 30
_DIRECTION_MARKS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


class Contradictions(ValueError):
    """Statements that are each well formed and together mean nothing; every one of them is listed.

    `problems` are about the value as a whole; each of `inside` is about the value at a path below it.
    """

    def __init__(self, problems: Sequence[str], inside: Sequence[tuple[Path, str]] = ()) -> None:
        self.problems = tuple(problems)
        self.inside = tuple(inside)
        super().__init__("; ".join([*problems, *(sentence for _, sentence in inside)]))


def _exact(value: object) -> object:
    """A number as it was written: a float becomes the shortest decimal that reads back as it."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{value!r} is not a number")  # noqa: TRY004 - pydantic collects ValueErrors only
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -_MOST_DECIMALS or abs(number) >= _LARGEST:
        raise ValueError(f"{value!r} is out of range")
    return number


def plain(number: Decimal) -> str:
    """A number without exponent and trailing zeros: `42054.0` is written `42054`."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _duration(value: object) -> object:
    if isinstance(value, dt.timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration: write a whole number and s, m, h or d, such as 24h or 7d")
    span = dt.timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    if span > _LONGEST:
        # It would lead out of the calendar.
        raise ValueError(f"{value} is longer than a century")
    return span


def _date(value: object) -> object:
    if isinstance(value, dt.date):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        with suppress(ValueError):
            return dt.date.fromisoformat(value)
    raise ValueError(f"{value!r} is not a date: write YYYY-MM-DD")


def _shown(value: str) -> str:
    """A text without what a terminal obeys, or what makes a page show words in another order than they are written."""
    hidden = next((each for each in value if each != "\n" and unicodedata.category(each) == "Cc"), None)
    hidden = hidden or next((each for each in value if unicodedata.bidirectional(each) in _DIRECTION_MARKS), None)
    if hidden is not None:
        raise ValueError(f"holds the invisible character U+{ord(hidden):04X}: leave it out")
    return value


def _line(value: str) -> str:
    if "\n" in value:
        raise ValueError("is several lines: write one")
    return value


def as_tuple(value: object) -> object:
    """YAML knows lists only; a frozen value holds a tuple."""
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[Decimal, BeforeValidator(_exact), PlainSerializer(plain, return_type=str)]
Positive = Annotated[Number, Field(gt=0)]
Duration = Annotated[
    dt.timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda span: int(span.total_seconds()), return_type=int),
]
Date = Annotated[dt.date, BeforeValidator(_date)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_shown)]
Line = Annotated[Text, AfterValidator(_line)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,119}$")]


class Strict(BaseModel):
    """A value read from a document: frozen, complete, and without a key it doesn't know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
