"""What is taken out of content before it is kept anywhere, the spool included. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from dispatcher.action.policy import Redaction
from dispatcher.action.report import ResearchReport
from dispatcher.action.result import ResearchResult
from dispatcher.action.transcript import Transcript, Turn

Redact = Callable[[str], str]
"""A text without what must not be kept."""

# Every repetition is bounded, so that no text takes longer than in proportion to its length.
_PATTERNS = {
    Redaction.CREDENTIALS: re.compile(
        r"""-----BEGIN\ [A-Z ]{0,40}PRIVATE\ KEY-----[A-Za-z0-9+/=\s\\,:-]{0,20000}
        | \bsk-[A-Za-z0-9_-]{16,300}
        | \b(?:gh[a-z]_[A-Za-z0-9]{20,300}|github_pat_[A-Za-z0-9_]{20,300}|glpat-[A-Za-z0-9_-]{16,100})
        | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
        | \bAIza[A-Za-z0-9_-]{30,60}
        | \bxox[a-z]-[A-Za-z0-9-]{10,300}
        | \beyJ[A-Za-z0-9_-]{6,2000}\.[A-Za-z0-9_-]{6,4000}\.[A-Za-z0-9_-]{6,2000}
        | (?<=[Bb]earer\ )[A-Za-z0-9._~+/=-]{16,4000}
        | (?<=://)[^\s/:@"'<>]{1,100}:[^\s/@"'<>]{1,300}(?=@)""",
        re.VERBOSE,
    ),
    Redaction.EMAIL_ADDRESSES: re.compile(
        r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
    ),
}

_NOT_TEXT = frozenset({"type", "id", "tool_use_id", "name", "data", "signature"})
"""The keys of a block under which the Messages API wants its own words back."""


def redactor(kinds: Collection[Redaction]) -> Redact:
    """What takes all of these kinds out of a text; their name in brackets stands for each."""
    chosen = [(f"[{kind}]", _PATTERNS[kind]) for kind in Redaction if kind in kinds]

    def redact(text: str) -> str:
        for name, pattern in chosen:
            text = pattern.sub(name, text)
        return text

    return redact


def redacted_transcript(transcript: Transcript, redact: Redact) -> Transcript:
    """The transcript with every text of it redacted; it can be replayed as before."""
    return Transcript(tuple(_turn(turn, redact) for turn in transcript.turns))


def redacted_result(result: ResearchResult, redact: Redact) -> ResearchResult:
    """The result with the content that is kept of it redacted: the report and the transcript."""
    output = result.output
    if output is not None:
        output = ResearchReport.model_validate_json(json.dumps(_redacted(output.model_dump(mode="json"), redact)))
    return replace(result, output=output, transcript=redacted_transcript(result.transcript, redact))


def _turn(turn: Turn, redact: Redact) -> Turn:
    return replace(
        turn,
        question=redact(turn.question),
        answer=_json_text(turn.answer, redact),
        messages=tuple({**message, "content": _blocks(message["content"], redact)} for message in turn.messages),
    )


def _json_text(text: str, redact: Redact) -> str:
    """A text that is JSON stays JSON: what stands between quotes may be written with escapes there."""
    try:
        value = json.loads(text)
    except ValueError:
        return redact(text)
    changed = _redacted(value, redact)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _blocks(content: Any, redact: Redact) -> Any:
    return [_block(block, redact) for block in content] if isinstance(content, list) else _redacted(content, redact)


def _block(block: Any, redact: Redact) -> Any:
    if not isinstance(block, dict):
        return _redacted(block, redact)
    changed = {key: inner if key in _NOT_TEXT else _redacted(inner, redact) for key, inner in block.items()}
    if changed != block and block.get("type") == "thinking":
        # Its signature is of the words that it had: with others the API would refuse it.
        return {"type": "text", "text": str(changed.get("thinking"))}
    return changed


def _redacted(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(inner, redact) for key, inner in value.items()}
    return [_redacted(inner, redact) for inner in value] if isinstance(value, list) else value
