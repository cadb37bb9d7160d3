"""What the tools have shown: lines of files, matches, and paths, read out of their text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from dispatcher.simulator.model.conversation import Exchange
from dispatcher.simulator.model.toolbox import first_line_argument, path_argument, purpose_of

_MATCH = re.compile(r"^(?P<path>[^\s:][^:\t]*?):(?P<line>\d+):(?P<text>.*)$")
_NUMBERED = re.compile(r"^\s*(?P<line>\d+)(?:\t|: ?| ?\| ?|→|$)(?P<text>.*)$")
_PATH = re.compile(r"^(?:\./)?(?P<path>[^\s:|<>\"'`*?][^:|<>\"'`*?\t]*)$")
_FILE_TYPE = re.compile(r"\.\w{1,8}$")
_LONGEST_PATH = 300
_MOST_BLANKS = 3
_SHORTEST_ECHO = 16
_REMEMBERED = 256
_Places = tuple[tuple[tuple[str, int], str], ...]


class Line(NamedTuple):
    """One line of a file as a tool showed it."""

    path: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Sightings:
    """Everything seen so far. `read` wins over `matched` where both show a line: search output may be cut short."""

    read: dict[tuple[str, int], str] = field(default_factory=dict)
    matched: dict[tuple[str, int], str] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    asked: frozenset[tuple[str, str]] = frozenset()

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line seen, once."""
        return tuple(Line(path, number, text) for (path, number), text in {**self.matched, **self.read}.items())

    def without(self, question: str) -> Sightings:
        """These sightings without the lines that only repeat the question, such as a list of questions in a script."""
        if len(question) < _SHORTEST_ECHO:
            return self
        echo = question.lower()
        read = {place: text for place, text in self.read.items() if echo not in text.lower()}
        matched = {place: text for place, text in self.matched.items() if echo not in text.lower()}
        return replace(self, read=read, matched=matched)

    def has_asked(self, tool: str, argument: str) -> bool:
        """Whether this tool was already called with this argument."""
        return (tool, argument) in self.asked


def sightings_of(exchanges: Sequence[Exchange]) -> Sightings:
    """Read what came back; a failed call shows nothing, but it was asked. The tools need not be offered any more."""
    read: dict[tuple[str, int], str] = {}
    matched: dict[tuple[str, int], str] = {}
    listed: dict[str, None] = {}
    asked = frozenset((e.call.name, str(value)) for e in exchanges for value in e.call.input.values())
    for exchange in exchanges:
        if exchange.is_error:
            continue
        purpose = purpose_of(exchange.call.name)
        if purpose == "read":
            read.update(_read_lines(exchange))
        elif purpose == "search":
            matched.update(_matches(exchange.result))
        elif purpose == "list":
            listed.update(dict.fromkeys(listed_paths(exchange.result)))
    return Sightings(read, matched, tuple(listed), asked)


def match_lines(text: str) -> Iterator[Line]:
    """Matches of a search: `path:12: text`, or numbered lines below a line that is their path."""
    heading = None
    for raw in _lines(text):
        found = _MATCH.match(raw)
        if found:
            yield Line(_plain(found["path"]), int(found["line"]), found["text"].strip())
            continue
        numbered = _NUMBERED.match(raw)
        if numbered and heading:
            yield Line(heading, int(numbered["line"]), numbered["text"].strip())
        elif not numbered:
            path = _PATH.match(raw.rstrip(":"))
            heading = _plain(path["path"]) if path and " " not in raw.strip() else None


def numbered_lines(path: str, text: str, first: int = 1) -> Iterator[Line]:
    """Lines of a file that was read: `12<tab>text`, `12: text`; bare lines are counted from `first`."""
    raw = _lines(text)
    numbered = [found for found in map(_NUMBERED.match, raw) if found]
    if 2 * len(numbered) >= sum(bool(line.strip()) for line in raw):
        for found in numbered:
            yield Line(path, int(found["line"]), found["text"].strip())
        return
    for number, line in enumerate(raw, start=first):
        yield Line(path, number, line.strip())


def listed_paths(text: str) -> Iterator[str]:
    """Paths of a listing, one a line; what doesn't look like the path of a file is left out."""
    for raw in _lines(text):
        found = _PATH.match(raw.strip())
        if found and len(raw) <= _LONGEST_PATH and not raw.rstrip().endswith("/") and not _is_prose(raw):
            yield _plain(found["path"])


def _read_lines(exchange: Exchange) -> _Places:
    path = path_argument(exchange.call)
    return () if path is None else _numbered(_plain(path), exchange.result, first_line_argument(exchange.call))


# A conversation comes whole with each of its requests, so that the same results are read again and again.
@lru_cache(_REMEMBERED)
def _numbered(path: str, text: str, first: int) -> _Places:
    return tuple(((line.path, line.number), line.text) for line in numbered_lines(path, text, first))


@lru_cache(_REMEMBERED)
def _matches(text: str) -> _Places:
    return tuple(((line.path, line.number), line.text) for line in match_lines(text))


def _lines(text: str) -> list[str]:
    """Lines as git and editors count them: only a line feed ends one."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _plain(path: str) -> str:
    return path.removeprefix("./")


def _is_prose(raw: str) -> bool:
    """Whether a line of a listing is a remark rather than a path."""
    if " " in raw and "/" not in raw and not _FILE_TYPE.search(raw):
        return True
    return raw.strip().startswith(("(", "[", "#", "…")) or raw.count(" ") > _MOST_BLANKS
