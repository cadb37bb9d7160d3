"""CSV: UTF-8, fields separated by commas, the first line the names of the columns; `.gz` says that it is compressed."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from dispatcher.errors import InvalidImport
from dispatcher.telemetry.lines import Line, not_text, places

_LONGEST_LINE = 1_000_000
_UNREADABLE = (csv.Error, OSError, EOFError, zlib.error)


def decoded(path: Path, raw: BinaryIO) -> io.TextIOWrapper:
    """The file's text, unpacked where its name says so.

    A byte that isn't UTF-8 becomes a lone surrogate, so that the line it stands on can be named.
    """
    stream = gzip.GzipFile(fileobj=raw) if path.name.lower().endswith(".gz") else raw
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


class CsvLines:
    """The lines of a CSV file, numbered as an editor does, each by where it begins; the header is line 1."""

    unit = "line"

    def __init__(self, path: Path, raw: BinaryIO, text: io.TextIOWrapper, needed: Sequence[str]) -> None:
        self._raw = raw
        self._size = path.stat().st_size
        self._rows = csv.reader(_bounded(text), strict=True)
        header = _header(path, self._rows)
        self._width = len(header)
        self._places = places(path, header, needed)

    def __iter__(self) -> Iterator[Line]:
        """Blank lines are none; after an error in the quoting or the compression nothing more can be told apart."""
        while True:
            number = self._rows.line_num + 1
            try:
                row = next(self._rows, None)
            except _UNREADABLE as error:
                yield Line(number, (), f"{error}; nothing from here on was read")
                return
            if row is None:
                return
            if row:
                yield self._line(number, row)

    def _line(self, number: int, row: list[str]) -> Line:
        if len(row) != self._width:
            return Line(number, (), f"has {len(row)} fields, the header {self._width}")
        return Line(number, tuple(row[place] for place in self._places), not_text("".join(row)))

    def done(self) -> float:
        """By the bytes of the file, compressed or not."""
        return self._raw.tell() / self._size if self._size else 1.0


def _bounded(text: io.TextIOWrapper) -> Iterator[str]:
    # A file without line ends must not be read as one line into memory.
    while line := text.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise csv.Error(f"is longer than {_LONGEST_LINE} characters")
        yield line


def _header(path: Path, rows: Iterator[list[str]]) -> list[str]:
    try:
        header = next(rows, None)
    except gzip.BadGzipFile:
        raise InvalidImport(str(path), ["is not gzip, although its name ends in .gz"]) from None
    except _UNREADABLE as error:
        raise InvalidImport(str(path), [f"the header can't be read: {error}"]) from None
    if not header:
        raise InvalidImport(str(path), ["has no header: the first line names the columns"])
    if problem := not_text("".join(header)):
        raise InvalidImport(str(path), [f"the header {problem}"])
    return header
