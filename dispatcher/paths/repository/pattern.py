"""The one pattern language of the tools, written out for both programs that search: git (POSIX) and ripgrep (Rust).

Neither program sees the model's own text, because the same text means different things to them. What both can do, in
time that isn't exponential, is known here; everything else is refused with a sentence for the one who wrote it. One
difference is left: a word boundary beside a combining mark, or beside a byte that isn't UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.paths.repository.pattern_class import SHORT_CLASSES, CharacterClass, read_class

LARGEST = 1_000
"""How many characters a pattern may stand for once its counted repetitions are written out."""

_DEEPEST = 50
_REPETITION = re.compile(r"\{(?:([0-9]+)(,([0-9]+)?)?|,([0-9]+))\}")
_SPECIAL_TO_POSIX = frozenset(".[()*+?{|^$\\")
_SPECIAL_TO_RUST = frozenset(".[]()*+?{}|^$\\")
_ASSERTIONS = {"b": r"\b", "B": r"\B", "<": r"\<", ">": r"\>"}
_ESCAPED = {"t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_UNOPENED = "a ) has no ( before it; write \\) for the character itself"
_UNCLOSED = "a ( is never closed; write \\( for the character itself"
_REASONS = {
    "n": "a search is line by line, so \\n never matches",
    **dict.fromkeys("0123456789", "back-references are not known"),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One meaning in two spellings: a POSIX extended regular expression, and one of Rust's.

    `may_be_empty` says that it may fit a line without any character.
    """

    posix: str
    rust: str
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern, how many characters it stands for, and whether it says something about a place."""

    pattern: Pattern
    size: int
    has_assertion: bool = False


def parse_pattern(text: str) -> Pattern:
    """Read a pattern. Raises ValueError with the rest of a sentence that says what is wrong with it."""
    return _Reader(text).read()


class _Reader:
    """One pass over the text, which writes both spellings as it goes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> Pattern:
        whole = self._alternatives()
        if self._at < len(self._text):
            raise ValueError(_UNOPENED)
        _check_size(whole.size)
        return whole.pattern

    def _alternatives(self) -> _Part:
        branches = [self._branch()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._branch())
        return _joined("|", branches, may_be_empty=any(one.pattern.may_be_empty for one in branches))

    def _branch(self) -> _Part:
        pieces: list[_Part] = []
        while self._peek() not in {"", "|", ")"}:
            pieces.append(self._piece())
        if not pieces:
            raise ValueError(self._why_empty())
        return _joined("", pieces, may_be_empty=all(one.pattern.may_be_empty for one in pieces))

    def _piece(self) -> _Part:
        atom = self._assertion() or self._atom()
        is_bare_assertion = atom.has_assertion and atom.size == 0
        quantifier = self._quantifier()
        if quantifier is None:
            return atom
        mark, times = quantifier
        # The C library of git's build forgets such a condition from the second time on.
        if atom.has_assertion and (is_bare_assertion or mark != "?"):
            raise ValueError("^, $ and word boundaries, or a group that holds one, can't be repeated")
        if self._quantifier() is not None:
            raise ValueError("something is repeated twice, as in a** or a{2}{3}; use a group")
        size = atom.size * times
        _check_size(size)
        may_be_empty = atom.pattern.may_be_empty or mark.startswith(("*", "?", "{0,"))
        return _Part(
            Pattern(atom.pattern.posix + mark, atom.pattern.rust + mark, may_be_empty), size, atom.has_assertion
        )

    def _assertion(self) -> _Part | None:
        if self._peek() in {"^", "$"}:
            written = self._peek()
        elif self._peek() == "\\" and self._peek(1) in _ASSERTIONS:
            written = _ASSERTIONS[self._peek(1)]
        else:
            return None
        self._at += len(written)
        return _Part(Pattern(written, written, may_be_empty=True), 0, has_assertion=True)

    def _atom(self) -> _Part:
        character = self._peek()
        if self._quantifier() is not None:
            raise ValueError(f"there is nothing before {character} to repeat; write \\{character} for itself")
        if character == "(":
            return self._group()
        self._at += 1
        if character == ".":
            return _Part(Pattern(".", "."), 1)
        if character == "[":
            found, self._at = read_class(self._text, self._at)
            return _Part(_of_class(found), 1)
        return _Part(self._escape() if character == "\\" else _literal(character), 1)

    def _group(self) -> _Part:
        self._at += 1
        if self._peek() == "?":
            if self._peek(1) != ":":
                raise ValueError("of groups only (...) and (?:...) are known: no look-around, names or flags")
            self._at += 2
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"groups are nested deeper than {_DEEPEST}")
        inner = self._alternatives()
        if self._peek() != ")":
            raise ValueError(_UNCLOSED)
        self._at += 1
        self._depth -= 1
        of = inner.pattern
        written = Pattern(f"({of.posix})", f"(?:{of.rust})", of.may_be_empty)
        return _Part(written, inner.size, inner.has_assertion)

    def _escape(self) -> Pattern:
        character = self._peek()
        if not character:
            raise ValueError("it ends with a backslash; write \\\\ for the character itself")
        self._at += 1
        if character in SHORT_CLASSES:
            return _of_class(SHORT_CLASSES[character])
        if character in _ESCAPED:
            return _literal(_ESCAPED[character])
        if character.isalnum():
            raise ValueError(_REASONS.get(character, f"\\{character} is not known"))
        return _literal(character)

    def _why_empty(self) -> str:
        if self._depth and not self._peek():
            return _UNCLOSED
        if not self._depth and self._peek() == ")":
            return _UNOPENED
        return "it, or one of its alternatives, is empty; write (...)? for what may be missing"

    def _quantifier(self) -> tuple[str, int] | None:
        """What says how often, as both programs write it, and how often at most; a lazy one means the same lines."""
        character = self._peek()
        if character and character in "*+?":
            self._at += 1
            mark, times = character, 1
        elif found := _REPETITION.match(self._text, self._at):
            self._at = found.end()
            mark, times = _counted(found)
        else:
            # A brace that counts nothing is itself, as in `interface{}`.
            return None
        if self._peek() == "?":
            self._at += 1
        return mark, times

    def _peek(self, ahead: int = 0) -> str:
        return self._text[self._at + ahead : self._at + ahead + 1]


def _joined(mark: str, parts: Sequence[_Part], *, may_be_empty: bool) -> _Part:
    posix, rust = (
        mark.join(spelled) for spelled in zip(*((p.pattern.posix, p.pattern.rust) for p in parts), strict=True)
    )
    return _Part(
        Pattern(posix, rust, may_be_empty), sum(part.size for part in parts), any(part.has_assertion for part in parts)
    )


def _counted(found: re.Match[str]) -> tuple[str, int]:
    least, ranged, most, only_most = found.groups()
    low = int(least or 0)
    if ranged and not most:
        return f"{{{low},}}", low + 1
    high = int(most or only_most or least)
    if high < low:
        raise ValueError(f"{found[0]} has its numbers the wrong way round")
    return f"{{{low},{high}}}", max(high, 1)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"its counted repetitions stand for more than {LARGEST} characters")


def _literal(character: str) -> Pattern:
    return Pattern(
        f"\\{character}" if character in _SPECIAL_TO_POSIX else character,
        f"\\{character}" if character in _SPECIAL_TO_RUST else character,
    )


def _of_class(found: CharacterClass) -> Pattern:
    return Pattern(found.posix(), found.rust())
