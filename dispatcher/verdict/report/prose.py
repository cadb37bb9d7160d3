"""A verdict as text, for a terminal and as Markdown alike."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator

from dispatcher.verdict.judgement.finding import Finding
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.report import sentences
from dispatcher.verdict.report.document import PERCENTILES, title_of
from dispatcher.verdict.report.wording import REASONS

_WIDTH = 100


def as_text(verdict: Verdict) -> str:
    """The whole report: what is decided, why, each criterion with its evidence, and who was left out."""
    lines = [f"# {title_of(verdict)}", "", *sentences.where_it_stands(verdict)]
    lines += ["", sentences.DECISIONS[verdict.outcome], ""]
    lines += [f"- {reason}: {REASONS[reason]}." for reason in verdict.reasons]
    lines += [""] if verdict.reasons else []
    for finding in verdict.findings:
        lines += [*_finding(finding, verdict), ""]
    lines += ["## Left out", "", *_left_out(verdict), "", f"Percentiles are {PERCENTILES}."]
    lines.append("Every figure carries its SQL in `dispatcher verdict --json`.")
    return _printable("\n".join(map(_wrapped, lines)) + "\n")


def _printable(text: str) -> str:
    """The text without what a terminal would obey or show in another order than it is written."""
    return "".join(each for each in text if each == "\n" or unicodedata.category(each) not in {"Cc", "Cf"})


def _wrapped(line: str) -> str:
    """A line as a paragraph of the width of a terminal; a heading stays one line."""
    if line.startswith("#"):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _finding(finding: Finding, verdict: Verdict) -> Iterator[str]:
    criterion = finding.criterion
    yield f"## {criterion.id}, {criterion.severity.value}: {sentences.found(finding)}"
    yield ""
    yield f"{criterion.says}."
    yield ""
    for label, text in sentences.points(finding, verdict):
        yield f"- {label}: {text}" if label else f"- {text}"


def _left_out(verdict: Verdict) -> Iterator[str]:
    for arm, reason, count, meaning in sentences.left_out(verdict):
        word = reason if reason.isidentifier() else "`" + reason.replace("`", "'") + "`"
        yield f"- {arm}: {count} {word}, {meaning}"
    if not verdict.measurement.excluded:
        yield "Nobody."
