"""From the text of a cell to the value of a column: exact, pure, and with one reason where it can't be done.

Durations are integer milliseconds, money integer nano-dollars (10⁻⁹ US dollars), moments aware and in UTC. What is
finer than a column's unit is rounded half up; a count is never rounded, and no quantity may be negative. A text keeps
to the column's length and vocabulary. A truth value is `true`, `1`, `false` or `0` in any case. A moment is in ISO 8601
or in a strptime form; one without an offset is in the stated zone, and refused without that, because nobody could say
when it was. Every converter raises ValueError with the reason.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from dispatcher.telemetry.target import Kind, Target

Converter = Callable[[str], "int | str | bool | dt.datetime"]

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?|[+-]?\.[0-9]{1,40}([eE][+-]?[0-9]{1,3})?")
# 80 digits and a factor of ten: the product is exact, and rounded only where it is meant to be.
_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
_ONE = Decimal(1)
_SHOWN = 60
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class Unit(StrEnum):
    """The unit that a file's numbers are in."""

    MS = "ms"
    S = "s"
    US = "us"
    USD = "usd"
    CENTS = "cents"
    MICROUSD = "microusd"
    NANOUSD = "nanousd"
    COUNT = "count"


FACTORS: dict[Kind, dict[Unit, Decimal]] = {
    Kind.DURATION: {Unit.MS: Decimal(1), Unit.S: Decimal(1000), Unit.US: Decimal("0.001")},
    Kind.MONEY: {
        Unit.NANOUSD: Decimal(1),
        Unit.MICROUSD: Decimal(1000),
        Unit.CENTS: Decimal(10**7),
        Unit.USD: Decimal(10**9),
    },
    Kind.COUNT: {Unit.COUNT: Decimal(1)},
}
"""How many of the column's unit one of the file's unit is, by kind of column."""

NATIVE_UNIT = {Kind.DURATION: Unit.MS, Kind.MONEY: Unit.NANOUSD, Kind.COUNT: Unit.COUNT}
"""The unit of the column itself."""


def converter(
    target: Target, *, unit: Unit | None = None, form: str | None = None, zone: str | None = None
) -> Converter:
    """The converter for a target; a number without a unit is in the column's own."""
    if target.kind in FACTORS:
        return _quantity(target, unit or NATIVE_UNIT[target.kind])
    if target.kind is Kind.MOMENT:
        return _moment(form, zone)
    return _truth if target.kind is Kind.TRUTH else _word(target)


def _quantity(target: Target, unit: Unit) -> Converter:
    factor, whole = FACTORS[target.kind][unit], target.kind is Kind.COUNT

    def convert(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{shown(text)} is not a number")
        exact = _EXACT.multiply(Decimal(text), factor)
        if exact < 0:
            raise ValueError(f"{shown(text)} is negative")
        if exact > target.largest:
            raise ValueError(f"{shown(text)} is more than the column can hold")
        rounded = exact.quantize(_ONE, context=_EXACT)
        if whole and rounded != exact:
            raise ValueError(f"{shown(text)} is not a whole number")
        return int(rounded)

    return convert


def _word(target: Target) -> Converter:
    def convert(text: str) -> str:
        if target.words is not None and text not in target.words:
            raise ValueError(f"{shown(text)} is none of {', '.join(target.words)}")
        if target.longest is not None and len(text) > target.longest:
            raise ValueError(f"{shown(text)} is longer than {target.longest} characters")
        return text

    return convert


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError(f"{shown(text)} is none of true, false, 1, 0")
    return _TRUTHS[text.lower()]


def _moment(form: str | None, zone: str | None) -> Converter:
    place = None if zone is None else ZoneInfo(zone)
    expected = "in ISO 8601" if form is None else f"of the form {form}"

    def convert(text: str) -> dt.datetime:
        try:
            read = dt.datetime.fromisoformat(text) if form is None else dt.datetime.strptime(text, form)  # noqa: DTZ007
        except ValueError:
            raise ValueError(f"{shown(text)} is not a moment {expected}") from None
        if read.tzinfo is None and place is None:
            raise ValueError(f"{shown(text)} has no offset from UTC: state the column's zone")
        try:
            return (read if read.tzinfo is not None else read.replace(tzinfo=place)).astimezone(dt.UTC)
        except OverflowError:
            raise ValueError(f"{shown(text)} is out of range") from None

    return convert


def refusal(convert: Converter, text: str) -> list[str]:
    """Why a converter refuses a text; empty where it doesn't."""
    try:
        convert(text)
    except ValueError as refused:
        return [str(refused)]
    return []


def shown(text: str) -> str:
    """A text as a message shows it: quoted, control characters escaped, cut short."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
