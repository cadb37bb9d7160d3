"""What a file is to an import: lines of texts, read as they come, so that memory doesn't grow with the file."""

from __future__ import annotations

import datetime as dt
import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, Protocol
from uuid import UUID

from dispatcher.errors import InvalidImport
from dispatcher.telemetry.conversion import shown


class Line(NamedTuple):
    """One line: the number where it begins, its cells in the order that was asked for, and what is wrong with it."""

    number: int
    cells: tuple[str, ...]
    problem: str | None


class Lines(Protocol):
    """A file's lines, each once; `unit` is what one is called."""

    unit: str

    def __iter__(self) -> Iterator[Line]:
        """The lines. One that can't be read is handed on with its problem, and the reading goes on where it can."""
        ...

    def done(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        ...


def places(path: Path, names: Sequence[str], needed: Sequence[str]) -> list[int]:
    """Where each needed column stands among the names. Raises InvalidImport for a missing or an ambiguous one."""
    seen = Counter(filter(None, names))
    problems = [f"the header names the column {shown(name)} {n} times" for name, n in seen.items() if n > 1]
    missing = [name for name in needed if name not in seen]
    for name in missing:
        similar = difflib.get_close_matches(name, seen, n=1)
        problems.append(f"has no column {shown(name)}" + (f"; is it {shown(similar[0])}?" if similar else ""))
    if missing:
        problems.append(f"the columns it has are {', '.join(map(shown, seen))}")
    if problems:
        raise InvalidImport(str(path), problems)
    return [names.index(name) for name in needed]


def as_text(value: object) -> str | None:
    """A value as the text that a CSV file would hold, empty for none; None for what is no plain value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, str | int | float | Decimal | UUID) else None


def not_text(text: str) -> str | None:
    """Why a text isn't one that a database can keep, or None. A byte that isn't UTF-8 is a lone surrogate in it."""
    if "\0" in text:
        return "holds a NUL byte"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "is not UTF-8"
    return None
