"""The lines that a search found, read from the output of git or ripgrep as it comes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dispatcher.paths.repository.globs import Glob

MAX_MATCHES = 200

_BUFFER_BYTES = 8_192
_FIELDS = 3


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """A line that fits, by its file's path from the root and its number, counted from 1."""

    path: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, in the order of paths and lines; not all of it where there is more or time was up."""

    matches: Sequence[Match]
    has_more: bool
    timed_out: bool


@dataclass(slots=True)
class MatchReader:
    """Reads lines of the form path, NUL, number, NUL, text; `prefix` stands before every path and is dropped.

    `line_of` is given what was found and says what the line is, or None where it doesn't count. A line is kept no
    further than it may be shown.
    """

    glob: Glob | None
    prefix: bytes
    line_of: Callable[[str, int, bytes], bytes | None]
    matches: list[Match] = field(default_factory=list)
    has_more: bool = False
    _partial: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes; False when there are matches enough."""
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            self._keep(line)
            self._end_line()
            if self.has_more:
                return False
        self._keep(rest)
        return True

    def found(self, *, timed_out: bool) -> Found:
        """What was read, once the search has ended."""
        return Found(sorted(self.matches), self.has_more, timed_out)

    def _keep(self, part: bytes) -> None:
        self._partial += part[: _BUFFER_BYTES - len(self._partial)]

    def _end_line(self) -> None:
        fields = bytes(self._partial).split(b"\0", _FIELDS - 1)
        self._partial.clear()
        if len(fields) != _FIELDS or not fields[0].startswith(self.prefix) or not fields[1].isdigit():
            return
        path, number = os.fsdecode(fields[0][len(self.prefix) :]), int(fields[1])
        # A line end in a name would let a file forge the lines of a result.
        if not path.isprintable() or (self.glob is not None and not self.glob.matches(path)):
            return
        line = self.line_of(path, number, fields[2])
        if line is None:
            return
        if len(self.matches) == MAX_MATCHES:
            self.has_more = True
        else:
            text = line[:_BUFFER_BYTES].decode("utf-8", "replace").removesuffix("\r")
            self.matches.append(Match(path, number, text))
