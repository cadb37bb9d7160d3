"""What a prompt is made of: the kinds of its sections, each declared stable or volatile, and how one is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class SectionKind(StrEnum):
    """The parts of a prompt, in the order in which they are sent."""

    TOOLS = "tools"
    ROLE = "role"
    METHOD = "method"
    TRUST = "trust"
    CITATIONS = "citations"
    ANSWER = "answer"
    EARLIER_TURNS = "earlier_turns"
    """The turns before, told as one text, where they can't be replayed."""
    REPOSITORY = "repository"
    LIMIT = "limit"
    QUESTION = "question"
    REPAIR = "repair"
    """What is wrong with the form of an answer."""
    ANSWER_NOW = "answer_now"
    """The demand for the answer where a limit is reached."""


class Stability(StrEnum):
    """Whether a section may differ between two dispatches."""

    STABLE = "stable"
    """The same bytes in every dispatch of a path: the beginning that a provider's cache can know."""
    VOLATILE = "volatile"
    """Differs, so it stands behind everything stable."""


STABILITY: Mapping[SectionKind, Stability] = {
    SectionKind.TOOLS: Stability.STABLE,
    SectionKind.ROLE: Stability.STABLE,
    SectionKind.METHOD: Stability.STABLE,
    SectionKind.TRUST: Stability.STABLE,
    SectionKind.CITATIONS: Stability.STABLE,
    SectionKind.ANSWER: Stability.STABLE,
    SectionKind.EARLIER_TURNS: Stability.VOLATILE,
    SectionKind.REPOSITORY: Stability.VOLATILE,
    SectionKind.LIMIT: Stability.VOLATILE,
    SectionKind.QUESTION: Stability.VOLATILE,
    SectionKind.REPAIR: Stability.VOLATILE,
    SectionKind.ANSWER_NOW: Stability.VOLATILE,
}
"""The class of every kind; no other place may state one."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a prompt. What its `text` takes from others has gone through `quoted`."""

    kind: SectionKind
    text: str

    @property
    def written(self) -> str:
        """The section as it is sent."""
        return f"<{self.kind}>\n{self.text}\n</{self.kind}>"


def written(sections: Iterable[Section]) -> str:
    """Sections as they are sent, in the order given."""
    return "\n\n".join(section.written for section in sections)


INNER_TAGS = ("turn", "asked", "said", "called", "returned", "answered")
"""The tags within the section of the earlier turns."""

_TAG = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join((*SectionKind, *INNER_TAGS))})\b)", re.IGNORECASE)


def quoted(text: str) -> str:
    """Text of others with the tags of our sections made harmless: it can neither close a section nor open one.

    Only such tags are changed, `<` to `&lt;`, so that code stays what it was.
    """
    return _TAG.sub("&lt;", text)
