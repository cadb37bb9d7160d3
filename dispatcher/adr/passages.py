"""The text of a record as passages: paragraphs, list items, tables, quotes and figures, each with its line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_FENCE = re.compile(r" {0,12}(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t#]*")
_ITEM = re.compile(r"\s*([-*+]|\d{1,3}[.)])[ \t]")
_IMAGE = re.compile(r"!\[[^\]]*\]\(")
_SECTION_LEVEL = 2


class Form(StrEnum):
    """What a passage is."""

    PARAGRAPH = "paragraph"
    ITEM = "item"
    TABLE = "table"
    QUOTE = "quote"
    FIGURE = "figure"
    FENCE = "fence"


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of the body: its text as it stands there, the line it starts on, and the section it is in.

    The section is the second-level heading above it, empty before the first one.
    """

    form: Form
    text: str
    line: int
    section: str


def passages(text: str) -> tuple[Passage, ...]:
    """The passages of a file in their order; front matter, headings and comments are none."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return tuple(_Walk(lines).passages(_body_start(lines)))


def _body_start(lines: Sequence[str]) -> int:
    if lines[0].rstrip() != "---":
        return 0
    return next((i + 1 for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---"), len(lines))


class _Walk:
    """One pass over the body."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._section = ""
        self._found: list[Passage] = []
        self._open: list[str] = []
        self._started = 0

    def passages(self, index: int) -> list[Passage]:
        while index < len(self._lines):
            line = self._lines[index]
            if fence := _FENCE.match(line):
                self._close()
                index = self._fenced(index, fence[1])
                continue
            if line.lstrip().startswith("<!--"):
                self._close()
                index = self._past_comment(index)
                continue
            self._take(index, line)
            index += 1
        self._close()
        return self._found

    def _take(self, index: int, line: str) -> None:
        heading = _HEADING.fullmatch(line)
        if heading or not line.strip():
            self._close()
            if heading and len(heading[1]) == _SECTION_LEVEL:
                self._section = heading[2]
            return
        if self._open and (_ITEM.match(line) or (line.lstrip().startswith("|") != self._is_table)):
            self._close()
        if not self._open:
            self._started = index
        self._open.append(line)

    @property
    def _is_table(self) -> bool:
        return self._open[0].lstrip().startswith("|")

    def _fenced(self, index: int, marker: str) -> int:
        end = index + 1
        while end < len(self._lines) and not self._lines[end].strip().startswith(marker):
            end += 1
        text = "\n".join(self._lines[index : end + 1])
        self._found.append(Passage(Form.FENCE, text, index + 1, self._section))
        return end + 1

    def _past_comment(self, index: int) -> int:
        while index < len(self._lines) and "-->" not in self._lines[index]:
            index += 1
        return index + 1

    def _close(self) -> None:
        if self._open:
            text = "\n".join(self._open)
            self._found.append(Passage(_form(text), text, self._started + 1, self._section))
        self._open = []


def _form(text: str) -> Form:
    start = text.lstrip()
    if start.startswith("|"):
        return Form.TABLE
    if start.startswith(">"):
        return Form.QUOTE
    if _IMAGE.search(text):
        return Form.FIGURE
    return Form.ITEM if _ITEM.match(text) else Form.PARAGRAPH
