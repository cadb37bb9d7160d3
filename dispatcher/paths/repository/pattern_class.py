r"""Sets of characters in a pattern, as `[...]` or as `\d` and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass

_Range = tuple[int, int]

_ASCII = 128
_ENUMERATED_AT_MOST = 500
_NAMED = re.compile(r"\[:(\w+):\]")
_ESCAPED = {"t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_SPECIAL_TO_POSIX = frozenset(map(ord, "]^-[\\"))
_SPECIAL_TO_RUST = frozenset("[]^-&~\\")
# What the C library of git's build counts as a letter or a digit, in the words of Rust's tables of the same standard.
_WORD_IN_RUST, _WORD_IN_POSIX = r"\p{Alphabetic}\p{Nd}_", "[:alnum:]_"


@dataclass(frozen=True, slots=True)
class CharacterClass:
    """The characters of some ranges of code points, with all word characters or without; or all others."""

    ranges: tuple[_Range, ...]
    words: bool = False
    negated: bool = False

    def posix(self) -> str:
        """A POSIX bracket expression. A backslash is no escape there, so specials are told by their place alone."""
        singles, wide = _without_specials(self.ranges)
        body = "".join(chr(low) if low == high else f"{chr(low)}-{chr(high)}" for low, high in wide)
        body += _WORD_IN_POSIX if self.words else ""
        body = ("]" if "]" in singles else "") + ("\\" if "\\" in singles else "") + body
        body += "".join(special for special in "[^-" if special in singles)
        if body.startswith("^") and not self.negated:
            return r"\^" if body == "^" else "[-^]"
        return f"[{'^' if self.negated else ''}{body}]"

    def rust(self) -> str:
        """The same in Rust's syntax, where every special character is escaped."""
        parts = [_rust(low) if low == high else f"{_rust(low)}-{_rust(high)}" for low, high in self.ranges]
        return f"[{'^' if self.negated else ''}{''.join(parts)}{_WORD_IN_RUST if self.words else ''}]"


def _of(*written: str, words: bool = False, negated: bool = False) -> CharacterClass:
    return CharacterClass(tuple((ord(one[0]), ord(one[-1])) for one in written), words, negated)


_SPACES = (" ", "\t", "\r", "\f", "\v")
SHORT_CLASSES = {
    "d": _of("0-9"),
    "D": _of("0-9", negated=True),
    "s": _of(*_SPACES),
    "S": _of(*_SPACES, negated=True),
    "w": _of(words=True),
    "W": _of(words=True, negated=True),
}
"""What the letter after a backslash stands for."""

_NAMES = {
    "alnum": _of("0-9", "A-Z", "a-z"),
    "alpha": _of("A-Z", "a-z"),
    "blank": _of(" ", "\t"),
    "digit": _of("0-9"),
    "lower": _of("a-z"),
    "punct": _of("!-/", ":-@", "[-`", "{-~"),
    "space": _of(*_SPACES),
    "upper": _of("A-Z"),
    "xdigit": _of("0-9", "A-F", "a-f"),
}


def read_class(text: str, at: int) -> tuple[CharacterClass, int]:
    """Read what follows a `[`; returns it and where it ended. Raises ValueError."""
    negated = text.startswith("^", at)
    at += negated
    began, ranges, words = at, list[_Range](), False
    while at == began or not text.startswith("]", at):
        item, at = _item(text, at)
        if isinstance(item, CharacterClass):
            ranges += item.ranges
            words = words or item.words
            continue
        last = item
        if text.startswith("-", at) and not text.startswith("-]", at):
            last, at = _range_end(text, at + 1)
        ranges += _range(item, last)
    return CharacterClass(tuple(ranges), words, negated), at + 1


def _item(text: str, at: int) -> tuple[CharacterClass | str, int]:
    named = _NAMED.match(text, at)
    if named:
        if named[1] not in _NAMES:
            raise ValueError(f"the class {named[0]} is not known; there are {', '.join(_NAMES)}")
        return _NAMES[named[1]], named.end()
    if text.startswith(("[.", "[="), at):
        raise ValueError("[. .] and [= =] are not known")
    character = text[at : at + 1]
    if character != "\\":
        if not character:
            raise ValueError("a [ is never closed; write \\[ for the character itself")
        return character, at + 1
    return _escape(text[at + 1 : at + 2]), at + 2


def _escape(character: str) -> CharacterClass | str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if character in SHORT_CLASSES and not SHORT_CLASSES[character].negated:
        return SHORT_CLASSES[character]
    if character.isalnum():
        raise ValueError(f"\\{character} in a [ ] is not known")
    if not character:
        raise ValueError("a [ is never closed; write \\[ for the character itself")
    return character


def _range_end(text: str, at: int) -> tuple[str, int]:
    item, at = _item(text, at)
    if isinstance(item, CharacterClass):
        raise ValueError("a range in a [ ] must end with a character")  # noqa: TRY004 - about the text
    return item, at


def _range(first: str, last: str) -> list[_Range]:
    low, high = ord(first), ord(last)
    if high < low:
        raise ValueError(f"the range {first}-{last} in a [ ] has its ends the wrong way round")
    # git's C library knows no ranges beyond ASCII.
    beyond = range(max(low, _ASCII), high + 1)
    if len(beyond) > _ENUMERATED_AT_MOST:
        raise ValueError(f"the range {first}-{last} in a [ ] is longer than {_ENUMERATED_AT_MOST} characters")
    ascii_part = [(low, min(high, _ASCII - 1))] if low < _ASCII else []
    return ascii_part + [(code, code) for code in beyond]


def _without_specials(ranges: tuple[_Range, ...]) -> tuple[set[str], list[_Range]]:
    """The special characters that are in the ranges, and the ranges with no special at either end."""
    singles: set[str] = set()
    wide: list[_Range] = []
    for low, high in ranges:
        while low <= high and low in _SPECIAL_TO_POSIX:
            singles.add(chr(low))
            low += 1  # noqa: PLW2901 - the range shrinks from both ends
        while high >= low and high in _SPECIAL_TO_POSIX:
            singles.add(chr(high))
            high -= 1  # noqa: PLW2901
        if low <= high:
            wide.append((low, high))
    return singles, wide


def _rust(code: int) -> str:
    character = chr(code)
    return f"\\{character}" if character in _SPECIAL_TO_RUST else character
