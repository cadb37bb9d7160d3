"""Corrections are additive: a banner on top of the corrected record, and its text as it was.

A record that corrects others states the hash of each one's text as it found it (`corrects: {KD-0650: …}`, written by
`adr new --corrects`). So lint sees an edit of the old text without looking at any history: the hash stands in another
document than the text, and works in a copy without a version control system.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

from dispatcher.adr.document import Record
from dispatcher.adr.passages import Form, Passage
from dispatcher.document.tree import Problem

_STRUCK = re.compile(r"~~[^~\n]+~~")
_EDITED = re.compile(r"\W*(?:correction|corrected|updated?|edit(?:ed)?|errat(?:um|a))\b[^.\n]{0,40}[:(]", re.IGNORECASE)


def body_hash(record: Record) -> str:
    """SHA-256 of a record's text below the front matter, without the banners on top that point to corrections.

    Blanks at the ends of lines and empty lines at either end don't matter.
    """
    return hashlib.sha256(_body(record).encode()).hexdigest()


def correction_problems(record: Record, others: Mapping[str, Record]) -> Iterator[Problem]:
    """What is wrong with the corrections of a record, of others by it and of it by others."""
    for name, found in record.corrects.items():
        yield from _corrected_problems(record, name, found, others.get(name))
    for name in record.corrected_by:
        other = others.get(name)
        if other is None or record.id not in other.corrects:
            line = record.places.of_key("corrected_by")
            yield Problem(line, f"is corrected by {name}, which doesn't list it in corrects")
        if not any(name in banner.text for banner in _banners(record)):
            yield Problem(1, f"has no banner on top that points to its correction {name}: a quote before any section")
    yield from _edits(record)


def _corrected_problems(record: Record, name: str, found: str, corrected: Record | None) -> Iterator[Problem]:
    line = record.places.of_key("corrects")
    if corrected is None:
        yield Problem(line, f"corrects {name}, which isn't a readable record here")
        return
    if record.id not in corrected.corrected_by:
        yield Problem(line, f"corrects {name}, whose front matter doesn't say `corrected_by: [{record.id}]`")
    if body_hash(corrected) != found:
        yield Problem(
            line,
            f"corrects {name}, whose text isn't the one that was corrected: put the old text back, and let only a "
            f"banner on top point here (its hash is {body_hash(corrected)}, stated is {found})",
        )


def _edits(record: Record) -> Iterator[Problem]:
    """Signs of a correction inside the text."""
    banners = set(_banners(record))
    for passage in record.passages:
        if passage.form is Form.FENCE or passage in banners:
            continue
        if _STRUCK.search(passage.text) or _EDITED.match(passage.text):
            yield Problem(
                passage.line,
                "a correction inside the text: leave the text as it was, and add a banner on top that points to the "
                "record which corrects it",
            )


def _banners(record: Record) -> tuple[Passage, ...]:
    return tuple(each for each in record.passages if each.form is Form.QUOTE and not each.section)


def _body(record: Record) -> str:
    lines = record.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    left_out: set[int] = set()
    for banner in _banners(record):
        if any(name in banner.text for name in record.corrected_by):
            left_out |= set(range(banner.line - 1, banner.line - 1 + len(banner.text.split("\n")) + 1))
    below = next((i + 1 for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---"), 0)
    kept = [line.rstrip() for i, line in enumerate(lines) if i >= below and i not in left_out]
    return "\n".join(kept).strip("\n")
