"""What the tools write for the model: bounded, and in the form that citations are taken from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

MAX_MATCHES = 200
MAX_PATHS = 1_000
MAX_TEXT_BYTES = 60_000
_MATCH_CHARS = 300
_LINE_CHARS = 2_000
_LINE_BUFFER_BYTES = 8_192
_FIELDS = 3


@dataclass(slots=True)
class MatchReader:
    """Reads the output of `git grep -n -z` as it comes; `wanted` says which paths count.

    `prefix` stands before every path and is dropped. A line is kept no further than it is shown.
    """

    wanted: Callable[[str], bool]
    prefix: bytes = b""
    matches: list[str] = field(default_factory=list)
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

    def _keep(self, part: bytes) -> None:
        self._partial += part[: _LINE_BUFFER_BYTES - len(self._partial)]

    def _end_line(self) -> None:
        fields = bytes(self._partial).split(b"\0", _FIELDS - 1)
        self._partial.clear()
        if len(fields) != _FIELDS or not fields[0].startswith(self.prefix):
            return
        path, number, text = (part.decode("utf-8", "replace") for part in fields)
        path = path[len(self.prefix) :]
        if not self.wanted(path):
            return
        if len(self.matches) == MAX_MATCHES:
            self.has_more = True
        else:
            self.matches.append(f"{path}:{number}: {_clipped(text.removesuffix(chr(13)), _MATCH_CHARS)}")


def matches_text(reader: MatchReader, *, stopped_after_s: float | None) -> str:
    """The found lines; `stopped_after_s` says that time was up before everything was searched."""
    shown = _within_bytes(reader.matches)
    notes = []
    if stopped_after_s is not None:
        notes.append(f"(stopped after {stopped_after_s:g} s; there may be more: narrow the pattern or path_glob)")
    elif reader.has_more or len(shown) < len(reader.matches):
        notes.append(f"(only the first {len(shown)} matches are shown; narrow the pattern or path_glob)")
    elif not shown:
        notes.append("(no line matches)")
    return "\n".join([*shown, *notes])


def listing_text(paths: Sequence[str]) -> str:
    """Paths, one a line."""
    shown = _within_bytes(paths[:MAX_PATHS])
    if not paths:
        return "(no file fits)"
    note = [f"(only the first {len(shown)} of {len(paths)} files are shown; narrow path_glob)"]
    return "\n".join([*shown, *(note if len(shown) < len(paths) else [])])


def numbered_text(lines: Sequence[str], first: int, last: int) -> str:
    """Lines `first` to `last` of a file, counted from 1, as many as fit; what was left out is said."""
    wanted = lines[first - 1 : last]
    shown = _within_bytes(
        f"{number}\t{_clipped(line.removesuffix(chr(13)), _LINE_CHARS)}" for number, line in enumerate(wanted, first)
    )
    after = first + len(shown)
    if len(shown) < len(wanted):
        shown.append(f"(cut here; the file has {len(lines)} lines: go on with start_line {after})")
    return "\n".join(shown)


def lines_of(text: str) -> list[str]:
    """The lines of a file as git counts them: ended by line feeds and by nothing else."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _within_bytes(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    left = MAX_TEXT_BYTES
    for line in lines:
        left -= len(line.encode("utf-8", "replace")) + 1
        if left < 0:
            break
        kept.append(line)
    return kept


def _clipped(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[:limit]} … (cut)"
