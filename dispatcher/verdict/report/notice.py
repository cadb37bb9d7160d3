"""Verdicts as a chat's webhook takes them: Slack's JSON, which others take too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dispatcher.verdict.judgement.finding import Finding
from dispatcher.verdict.judgement.judge import Outcome, Verdict
from dispatcher.verdict.report import sentences
from dispatcher.verdict.report.document import title_of

_SIGNS = {Outcome.SHIP: "🟢", Outcome.HOLD: "🟡", Outcome.ROLLBACK: "🔴", Outcome.INVALID: "⚠️"}
_MOST_BLOCKS = 50
_MOST_CHARACTERS = 3000
"""Slack's own limits of a message and of a text in it: https://docs.slack.dev/reference/block-kit/blocks."""


def as_notice(verdicts: Sequence[Verdict], done: Sequence[str] = ()) -> dict[str, Any]:
    """The message: a line for notifications, and a section for each record; `done` says what was done about them, or
    why there are none.
    """
    lines = [f"{_SIGNS[each.outcome]} {title_of(each)}" for each in verdicts]
    sections = ["\n".join(_section(each)) for each in verdicts] + list(map(escaped, done))
    kept = sections if len(sections) <= _MOST_BLOCKS else sections[: _MOST_BLOCKS - 1]
    if len(kept) < len(sections):
        kept.append(f"… and {len(sections) - len(kept)} more")
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": _cut(text)}} for text in kept]
    return {"text": _cut("\n".join(map(escaped, lines or done))), "blocks": blocks}


def escaped(text: str) -> str:
    """A text in which Slack sees no markup of its own: https://docs.slack.dev/messaging/formatting-message-text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(verdict: Verdict) -> Iterator[str]:
    yield f"{_SIGNS[verdict.outcome]} *{escaped(title_of(verdict))}*"
    yield escaped(sentences.DECISIONS[verdict.outcome] + " " + ", ".join(verdict.reasons)).strip()
    for finding in verdict.findings:
        yield f"• {escaped(_finding(finding, verdict))}"


def _finding(finding: Finding, verdict: Verdict) -> str:
    said = dict(sentences.points(finding, verdict))
    wanted = [f"{label}: {said[label]}" for label in ("limit", "would decide") if label in said]
    return f"{finding.criterion.id} {sentences.found(finding)}; {'; '.join(wanted)}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
