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
_CUT = re.compile(r"(…|\.\.\.|\[truncated\]|\(cut\)|\(truncated\))$")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A line with its weight and the terms it holds."""

    line: Line
    weight: int
    terms: tuple[str, ...]


def rank(lines: Sequence[Line], terms: Terms) -> list[Ranked]:
    """Lines that hold a term of the question, the most telling first; equal weights in the order of their place."""
    wanted = terms.everything
    if not wanted:
        return []
    any_of_them = re.compile("|".join(map(re.escape, wanted)), re.IGNORECASE)
    held = []
    coverage: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        if any_of_them.search(line.text) and _citable(line):
            text = line.text.lower()
            found = tuple(term for term in wanted if term in text)
            held.append((line, found))
            coverage[line.path].update(found)
    of_path = {path: _path_weight(path, terms) + 2 * len(covered) for path, covered in coverage.items()}
    ranked = [Ranked(line, of_path[line.path] + _line_weight(line, found, terms), found) for line, found in held]
    return sorted(ranked, key=lambda one: (-one.weight, one.line.path, one.line.number))


def _citable(line: Line) -> bool:
    return bool(line.text) and len(line.text) <= LONGEST_EVIDENCE and not _CUT.search(line.text)


def _line_weight(line: Line, found: Sequence[str], terms: Terms) -> int:
    exact = sum(term in line.text for term in terms.exact)
    return 4 * len(found) + 4 * exact + (3 if DEFINITION.search(line.text) else 0)


def _path_weight(path: str, terms: Terms) -> int:
    weight = 2 * sum(term in path.lower() for term in terms.everything)
    if _TEST_PATH.search(path) and not terms.about_tests:
        weight -= 5
    if _SIDE_PATH.search(path):
        weight -= 5
    return weight
