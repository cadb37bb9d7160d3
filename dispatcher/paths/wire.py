"""What the provider reports beside its text, in a form that every database can hold; pure.

The SDK validates nothing, so a number or a word from the wire goes through here before it is kept.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
import string
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache

# Far above what a conversation can use, and low enough that sums and costs made of it stay below 2**63.
_COUNTS = 2**31
_WORD_CHARS = 120
# Neither can be stored: UTF-8 has no lone surrogates, and PostgreSQL's text no NUL.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_BLOT = "[secret]"
# As much of a secret as may be shown, less one character.
_PIECE_CHARS = 12
# Character by character, so that places in the text stay what they are.
_LOWERED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def count(value: object) -> int | None:
    """A number of tokens or the like as the provider gave it; None for what is no count below 2**31."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _COUNTS else None


def word(value: object, secrets: tuple[str, ...] = ()) -> str | None:
    """A name, an id or a reason as the provider gave it, cut to 120 characters; None for what is no text.

    Characters that cannot be stored are replaced by U+FFFD, pieces of the `secrets` are blotted out.
    """
    return storable(blotted(value[:_WORD_CHARS], secrets)) if isinstance(value, str) else None


def blotted(text: str, secrets: tuple[str, ...]) -> str:
    """The text without any 12 characters of a secret, in whatever case, and as they are in Base64 or in hexadecimal.

    So neither a whole secret nor one that was cut is shown; one that is shorter than that is no credential.
    """
    pieces = _pieces(secrets)
    lowered = text.translate(_LOWERED)
    shown, at = [], 0
    for start, end in _spans(lowered, pieces):
        shown += [text[at:start], _BLOT]
        at = end
    return "".join([*shown, text[at:]])


def _spans(text: str, pieces: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Where the text is made of pieces, from one beginning to one end."""
    start, end = 0, -1
    for at in range(len(text) - _PIECE_CHARS + 1 if pieces else 0):
        if text[at : at + _PIECE_CHARS] not in pieces:
            continue
        if at > end >= 0:
            yield start, end
        start, end = (start if 0 <= at <= end else at), at + _PIECE_CHARS
    if end >= 0:
        yield start, end


@lru_cache(maxsize=16)
def _pieces(secrets: tuple[str, ...]) -> frozenset[str]:
    """What must not be shown of secrets, in lower case."""
    forms = [form.translate(_LOWERED) for secret in secrets if len(secret) >= _PIECE_CHARS for form in _forms(secret)]
    return frozenset(form[at : at + _PIECE_CHARS] for form in forms for at in range(len(form) - _PIECE_CHARS + 1))


def _forms(secret: str) -> list[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    # What stands before a secret decides in which of three ways Base64 writes it, and shares the first characters.
    coded = [base64.b64encode(bytes(before) + raw).decode()[4 if before else 0 :] for before in range(3)]
    return [secret, raw.hex(), *coded]


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
