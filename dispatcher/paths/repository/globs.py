"""The one glob language of the tools: `*`, `?` and `**`; every other character stands for itself."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

LONGEST = 500
_WILD = re.compile(r"[*?]")
_ELSEWHERE_SPECIAL = re.compile(r"([\[\]\\])")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
_Segment = re.Pattern[str] | None  # None is `**`, any number of parts


@dataclass(frozen=True)
class Glob:
    """A parsed glob; matches a path if one of its patterns does.

    Without a slash it applies at any depth, as a model that writes `*.py` means it. Naming a directory matches all
    that is below it.
    """

    patterns: tuple[str, ...]

    def matches(self, path: str) -> bool:
        """Whether a path, relative to the repository's root, is meant. Takes polynomial time for any pattern."""
        parts = path.split("/")
        return any(_matches(segments, parts) for segments in self._segments)

    def pathspecs(self) -> list[str]:
        """Git pathspecs that match at least these paths.

        Git's language has more special characters, and its `?` is one byte where ours is one character.
        """
        return [":(glob)" + _ELSEWHERE_SPECIAL.sub(r"\\\1", pattern).replace("?", "*") for pattern in self.patterns]

    def ripgrep_globs(self) -> list[str]:
        """Globs for ripgrep that match at least these paths; only what means the same there is left as it is."""
        return ["/".join(map(_for_ripgrep, pattern.split("/"))) for pattern in self.patterns if pattern != "**"]

    @cached_property
    def _segments(self) -> tuple[tuple[_Segment, ...], ...]:
        return tuple(tuple(map(_segment, pattern.split("/"))) for pattern in self.patterns)


def parse_glob(text: str) -> Glob:
    """Read a glob. Raises ValueError with a sentence for the one who wrote it."""
    if not text or len(text) > LONGEST:
        raise ValueError(f"path_glob must have 1 to {LONGEST} characters")
    if any(ord(character) < ord(" ") for character in text):
        raise ValueError("path_glob must not hold control characters")
    if text.startswith("/"):
        raise ValueError("path_glob is relative to the repository's root and must not begin with /")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if not parts:
        return Glob(("**",))
    if ".." in parts:
        raise ValueError("path_glob must not hold ..: the tools cannot leave the repository")
    if len(parts) == 1 and not text.endswith("/") and parts != ["**"]:
        parts = ["**", *parts]
    pattern = "/".join(parts)
    if text.endswith("/"):
        return Glob((f"{pattern}/**",))
    return Glob((pattern,) if _WILD.search(parts[-1]) else (pattern, f"{pattern}/**"))


def _for_ripgrep(part: str) -> str:
    return part if part == "**" else _NOT_PLAIN.sub("*", part)


def _segment(part: str) -> _Segment:
    # fnmatch gives up backtracking between stars, so a pattern of many stars isn't exponential.
    return None if part == "**" else re.compile(fnmatch.translate(part.replace("[", "[[]")))


def _matches(segments: Sequence[_Segment], parts: Sequence[str]) -> bool:
    """Whether all segments match all parts in order, by the states reachable after each segment."""
    reachable = {0}
    for ordinal, segment in enumerate(segments, start=1):
        if segment is None:
            # At the end it stands for something below, elsewhere also for nothing.
            reachable = set(range(min(reachable) + (ordinal == len(segments)), len(parts) + 1))
        else:
            reachable = {at + 1 for at in reachable if at < len(parts) and segment.match(parts[at])}
        if not reachable:
            return False
    return len(parts) in reachable
