"""The order statistics of a pinned baseline: a file beside the record, whose hash the record states.

It is CSV with the columns `value,rows`, rising: how many rows have each value in whole units, which is every order
statistic at once. `failed` in the place of a value, first of all, counts the rows that have none since they failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dispatcher.adr.baseline import Ranks
from dispatcher.errors import InvalidRecord

_HEADER = "value,rows"
_FAILED = "failed"
_FIRST = 2
_MOST_DIGITS = 18
_MAX_BYTES = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedRanks:
    """`histogram` maps a value, in whole units of the measure, to its rows; `failures` had no value."""

    histogram: Mapping[int, int]
    failures: int = 0

    @property
    def n(self) -> int:
        """All rows, failures included."""
        return self.failures + sum(self.histogram.values())

    def at_rank(self, rank: int) -> int | None:
        """The value at a rank counted from 1, failures above every value; None where it is one of these."""
        passed = 0
        for value in sorted(self.histogram):
            passed += self.histogram[value]
            if rank <= passed:
                return value
        return None

    def above(self, limit: float) -> int:
        """The rows above a limit, failures included."""
        return self.failures + sum(rows for value, rows in self.histogram.items() if value > limit)

    @property
    def text(self) -> str:
        """The content of the file."""
        lines = [_HEADER, *([f"{_FAILED},{self.failures}"] if self.failures else [])]
        lines += [f"{value},{self.histogram[value]}" for value in sorted(self.histogram)]
        return "\n".join(lines) + "\n"

    @property
    def sha256(self) -> str:
        """The hash that the record states."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_ranks(directory: Path, ranks: Ranks) -> PinnedRanks:
    """The order statistics beside a record. Raises InvalidRecord where the file isn't the one that the record names."""
    path = directory / ranks.file
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidRecord(ranks.file, [f"is larger than {_MAX_BYTES} bytes"])
        content = path.read_bytes()
    except OSError as error:
        raise InvalidRecord(ranks.file, [f"can't be read: {error.strerror}; `adr pin` writes it"]) from None
    return parse_ranks(content, ranks)


def parse_ranks(content: bytes, ranks: Ranks) -> PinnedRanks:
    """The order statistics that a record names, from their file's content. Raises InvalidRecord where it isn't that."""
    found = hashlib.sha256(content).hexdigest()
    if found != ranks.sha256:
        raise InvalidRecord(ranks.file, [f"has the SHA-256 {found}, the record states {ranks.sha256}: it was changed"])
    parsed = _parsed(content, ranks.file)
    if parsed.text.encode() != content:
        raise InvalidRecord(ranks.file, ["isn't laid out as `adr pin` writes it: pin the baseline again"])
    return parsed


def _parsed(content: bytes, name: str) -> PinnedRanks:
    lines = content.decode("utf-8", "replace").splitlines()
    if not lines or lines[0] != _HEADER:
        raise InvalidRecord(name, [f"line 1: is not the header {_HEADER}"])
    failures, histogram, last = 0, dict[int, int](), -1
    for number, line in enumerate(lines[1:], start=_FIRST):
        value, _, rows = line.partition(",")
        if value == _FAILED and number == _FIRST and _is_count(rows):
            failures = int(rows)
        elif _is_count(value) and _is_count(rows) and int(value) > last and int(rows) > 0:
            last = int(value)
            histogram[last] = int(rows)
        else:
            raise InvalidRecord(name, [f"line {number}: {line[:60]!r} is no value, larger than the last, and its rows"])
    return PinnedRanks(histogram=histogram, failures=failures)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
