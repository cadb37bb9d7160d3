"""What is worth doing next: searches for the question's words, reads of the best places, listings where both fail."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest

from dispatcher.simulator.model.conversation import ToolCall
from dispatcher.simulator.model.question import Terms
from dispatcher.simulator.model.ranking import Ranked, rank
from dispatcher.simulator.model.toolbox import Tool
from dispatcher.simulator.model.work import Work

_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
_REGEX_SPECIAL = re.compile(r"([\\.^$*+?()\[\]{}|])")
_LINES_TO_FOLLOW = 40
_FRUITLESS_SEARCHES = 4


def agenda(work: Work) -> Iterator[ToolCall]:
    """What is worth doing next, best first; nothing that was done already, and no two of it alike."""
    ranked = rank(work.seen.lines, work.terms)
    reads, searches = _reads(work, ranked), _searches(work, ranked)
    if not ranked:
        tried = sum(
            exchange.call.name == (work.toolbox.search or Tool("", {})).name for exchange in work.conversation.current
        )
        yield from islice(searches, max(0, _FRUITLESS_SEARCHES - tried))
        yield from _listings(work)
        yield from _reads_of_listed(work)
        return
    read, search = work.toolbox.read, work.toolbox.search
    done = [exchange.call.name for exchange in work.conversation.exchanges]
    behind = read is not None and search is not None and done.count(read.name) < 2 * done.count(search.name)
    first, second = (reads, searches) if behind else (searches, reads)
    for pair in zip_longest(first, second):
        yield from (call for call in pair if call is not None)


def _searches(work: Work, ranked: Sequence[Ranked]) -> Iterator[ToolCall]:
    tool = work.toolbox.search
    for pattern in dict.fromkeys((*_patterns(work.terms, found=bool(ranked)), *_symbols(ranked, work.terms))):
        call = work.toolbox.searching(pattern)
        if tool and call and not work.seen.has_asked(tool.name, pattern):
            yield call


def _patterns(terms: Terms, *, found: bool) -> Iterator[str]:
    """Search patterns, the narrowest first; plain words only where nothing was found with better ones."""
    for term in terms.exact:
        yield _REGEX_SPECIAL.sub(r"\\\1", term)
    for left, right in terms.phrases:
        yield f"{_either_case(left)}[a-z]*[ _-]?{_either_case(right)}"
    for word in terms.words:
        yield _either_case(word)
    if not found:
        yield from terms.words
        for left, right in terms.phrases:
            yield f"{left}_{right}"


def _either_case(word: str) -> str:
    return f"[{word[0].upper()}{word[0].lower()}]{word[1:]}" if word[0].isalpha() else word


def _symbols(ranked: Sequence[Ranked], terms: Terms) -> Iterator[str]:
    """Names on the best lines that share a term with the question: the code's own words for it."""
    known = set(terms.everything)
    for one in ranked[:_LINES_TO_FOLLOW]:
        for name in _SYMBOL.findall(one.line.text):
            lowered = name.lower()
            if lowered not in known and any(term in lowered for term in known):
                known.add(lowered)
                yield name


def _reads(work: Work, ranked: Sequence[Ranked]) -> Iterator[ToolCall]:
    """Read around the best places not read yet, one window a file at a time."""
    tool, planned = work.toolbox.read, set[str]()
    for one in ranked:
        line = one.line
        if (line.path, line.number) in work.seen.read or line.path in planned:
            continue
        first = max(1, line.number - work.habits.lines_per_read // 4)
        call = work.toolbox.reading(line.path, first, first + work.habits.lines_per_read - 1)
        if tool and call and not work.was_called(call):
            planned.add(line.path)
            yield call


def _listings(work: Work) -> Iterator[ToolCall]:
    tool = work.toolbox.list
    for pattern in (*(f"**/*{term}*" for term in work.terms.everything[:1]), "**/*"):
        call = work.toolbox.listing(pattern)
        if tool and call and not work.was_called(call):
            yield call


def _reads_of_listed(work: Work) -> Iterator[ToolCall]:
    """Files whose path holds a term, then the others, as listed; one line that was read is enough to be honest."""
    wanted = work.terms.everything
    paths = sorted(work.seen.listed, key=lambda path: -sum(term in path.lower() for term in wanted))
    for path in () if any(work.seen.read.values()) else paths:
        call = work.toolbox.reading(path, 1, work.habits.lines_per_read)
        if call and not work.was_called(call):
            yield call
