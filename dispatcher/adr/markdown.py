"""The parts of a Markdown file that a record is made of: front matter, sections, fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dispatcher.document.tree import Problem

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*(.*?)[ \t]*")
_SECTION_LEVEL, _SUBSECTION_LEVEL = 2, 3


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: info string with single blanks, text, the line its text starts on, the headings over it."""

    info: str
    text: str
    line: int
    headings: tuple[str, ...]


@dataclass(slots=True)
class Markdown:
    """A Markdown file taken apart; `front` is None where there is no front matter.

    `sections` maps second-level headings to their text, fenced blocks left out.
    """

    front: str | None = None
    sections: dict[str, str] = field(default_factory=dict)
    fences: list[Fence] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def take_apart(text: str) -> Markdown:
    """Split the text of a file into its parts; never raises.

    Headings and fences inside an HTML comment or another fence are not looked at. Line endings may be of any system.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    parts = Markdown()
    body_from = _take_front_matter(lines, parts)
    _Body(lines, parts).walk(body_from)
    return parts


def _take_front_matter(lines: list[str], parts: Markdown) -> int:
    if lines[0].rstrip() != "---":
        parts.problems.append(Problem(1, "front matter is missing: the file starts with a line `---`"))
        return 0
    for index, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            parts.front = "\n".join(lines[1:index])
            return index + 1
    parts.problems.append(Problem(1, "front matter is not closed by a line `---`"))
    return len(lines)


class _Body:
    """One pass over the lines below the front matter."""

    def __init__(self, lines: list[str], parts: Markdown) -> None:
        self.lines = lines
        self.parts = parts
        self.section: str | None = None
        self.subsection: str | None = None

    def walk(self, index: int) -> None:
        while index < len(self.lines):
            line = self.lines[index]
            if line.lstrip().startswith("<!--"):
                index = self._end_of_comment(index)
            elif fence := _FENCE.fullmatch(line):
                index = self._take_fence(index, fence)
            else:
                self._take_line(index, line)
                index += 1

    def _take_line(self, index: int, line: str) -> None:
        heading = _HEADING.fullmatch(line)
        if heading is None:
            if self.section is not None:
                self.parts.sections[self.section] += line + "\n"
            return
        level, name = len(heading[1]), heading[2]
        if level == _SECTION_LEVEL:
            if name in self.parts.sections:
                self.parts.problems.append(Problem(index + 1, f"the section {name!r} stands here a second time"))
            self.section, self.subsection = name, None
            self.parts.sections.setdefault(name, "")
        elif level == _SUBSECTION_LEVEL:
            self.subsection = name

    def _take_fence(self, index: int, opening: re.Match[str]) -> int:
        marker = opening[1]
        if marker[0] == "`" and "`" in opening[2]:  # an inline code span, not a fence
            self._take_line(index, self.lines[index])
            return index + 1
        end = index + 1
        while end < len(self.lines):
            closing = _FENCE.fullmatch(self.lines[end])
            if closing and not closing[2] and closing[1][0] == marker[0] and len(closing[1]) >= len(marker):
                break
            end += 1
        else:
            self.parts.problems.append(Problem(index + 1, "the fenced block that starts here is not closed"))
        headings = tuple(name for name in (self.section, self.subsection) if name is not None)
        text = "\n".join(self.lines[index + 1 : end])
        self.parts.fences.append(Fence(" ".join(opening[2].split()), text, index + 2, headings))
        return end + 1

    def _end_of_comment(self, index: int) -> int:
        for end in range(index, len(self.lines)):
            if "-->" in self.lines[end]:
                return end + 1
        self.parts.problems.append(Problem(index + 1, "the comment that starts here is not closed"))
        return len(self.lines)
