"""What the tools write for the model: bounded, and in the form that citations are taken from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispatcher.paths.repository.matches import Found

MAX_PATHS = 1_000
MAX_TEXT_BYTES = 60_000
_MATCH_CHARS = 300
_LINE_CHARS = 2_000


def matches_text(found: Found, *, seconds: float) -> str:
    """The found lines; `seconds` is the time that was up where the search was stopped."""
    shown = _within_bytes(f"{one.path}:{one.number}: {_clipped(one.text, _MATCH_CHARS)}" for one in found.matches)
    notes = []
    if found.timed_out:
        notes.append(f"(stopped after {seconds:g} s; there may be more: narrow the pattern or path_glob)")
    elif found.has_more or len(shown) < len(found.matches):
        notes.append(f"(only {len(shown)} of the matches are shown; narrow the pattern or path_glob)")
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
