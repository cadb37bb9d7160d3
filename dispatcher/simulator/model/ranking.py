"""Which of the lines seen bear on a question, and how strongly."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.simulator.model.question import Terms
from dispatcher.simulator.model.sightings import Line

DEFINITION = re.compile(
    r"^(?:(?:export|default|pub|public|private|protected|static|abstract|final|async|declare)\s+)*"
    r"(?:(?:def|class|func|function|fn|interface|struct|type|enum|trait|impl|module|const|let|var|record)\s+"
    r"(?P<name>[A-Za-z_$][\w$]*)"
    r"|(?P<assigned>[A-Za-z_][\w.]*)\s*(?::\s*[\w\[\], |.]+)?\s*=(?!=))"
)
_TEST_PATH = re.compile(r"(^|/)(tests?|spec|__tests__|fixtures?)(/|_)|[._]test\.|_spec\.", re.IGNORECASE)
_SIDE_PATH = re.compile(r"\.(md|rst|txt|lock|json|svg|csv|min\.js|map|snap)$|(^|/)(CHANGELOG|LICENSE)", re.IGNORECASE)
LONGEST_EVIDENCE = 300


@dataclass(frozen=True, slots=True)
class Ranked:
    """A line with its weight and the terms it holds."""

    line: Line
    weight: int
    terms: tuple[str, ...]


def rank(lines: Sequence[Line], terms: Terms) -> list[Ranked]:
    """Lines that hold a term of the question, the most telling first; equal weights in the order of their place."""
    wanted = terms.everything
    held = {line: tuple(term for term in wanted if term in line.text.lower()) for line in lines if _citable(line)}
    coverage: dict[str, set[str]] = defaultdict(set)
    for line, found in held.items():
        coverage[line.path].update(found)
    ranked = [
        Ranked(line, _weight(line, found, terms) + 2 * len(coverage[line.path]), found)
        for line, found in held.items()
        if found
    ]
    return sorted(ranked, key=lambda one: (-one.weight, one.line.path, one.line.number))


def _citable(line: Line) -> bool:
    return bool(line.text) and len(line.text) <= LONGEST_EVIDENCE and not line.text.endswith(("…", "...", "[truncated]"))


def _weight(line: Line, found: Sequence[str], terms: Terms) -> int:
    exact = sum(term in line.text for term in terms.exact)
    in_path = sum(term in line.path.lower() for term in terms.everything)
    weight = 4 * len(found) + 4 * exact + 2 * in_path + (3 if DEFINITION.search(line.text) else 0)
    if _TEST_PATH.search(line.path) and not terms.about_tests:
        weight -= 5
    if _SIDE_PATH.search(line.path):
        weight -= 5
    return weight
