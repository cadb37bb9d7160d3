"""What the provider reports beside its text, in a form that every database can hold; pure.

The SDK validates nothing, so a number or a word from the wire goes through here before it is kept.
"""

from __future__ import annotations

import re

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
