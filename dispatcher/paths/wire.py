"""What the provider reports beside its text, in a form that every database can hold; pure.

The SDK validates nothing, so a number or a word from the wire goes through here before it is kept.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

# Far above what a conversation can use, and low enough that sums and costs made of it stay below 2**63.
_COUNTS = 2**31
_WORD_CHARS = 120
# Neither can be stored: UTF-8 has no lone surrogates, and PostgreSQL's text no NUL.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def count(value: object) -> int | None:
    """A number of tokens or the like as the provider gave it; None for what is no count below 2**31."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _COUNTS else None


def word(value: object) -> str | None:
    """A name, an id or a reason as the provider gave it, cut to 120 characters; None for what is no text.

    Characters that cannot be stored are replaced by U+FFFD.
    """
    return storable(value[:_WORD_CHARS]) if isinstance(value, str) else None


def storable(text: str) -> str:
    """The text with U+FFFD in place of every character that cannot be stored."""
    return _UNSTORABLE.sub("\ufffd", text)


def seconds_to_wait(headers: Mapping[str, str], now: float) -> float | None:
    """The wait that a response asks for in `retry-after-ms` or `Retry-After` (seconds, or the date it ends).

    `now` is a Unix time and holds where the response has no `Date` of its own. None where no usable wait is asked for:
    one that isn't positive asks for nothing.
    """
    asked = [_number(headers.get("retry-after-ms"), 1000), _number(headers.get("retry-after"), 1)]
    until = _moment(headers.get("retry-after"))
    if until is not None:
        told = _moment(headers.get("date"))
        asked.append(until - (now if told is None else told))
    return next((seconds for seconds in asked if seconds is not None and 0 < seconds < math.inf), None)


def _number(text: str | None, units: int) -> float | None:
    try:
        return None if text is None else float(text) / units
    except ValueError:
        return None


def _moment(text: str | None) -> float | None:
    try:
        moment = None if text is None else parsedate_to_datetime(text)
        return None if moment is None else moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()
    except (ValueError, OverflowError):
        return None
