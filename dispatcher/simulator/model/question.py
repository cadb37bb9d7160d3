"""What a question asks for: the terms to search, the strongest first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

_QUOTED = re.compile(r"`([^`\n]{2,80})`|\"([^\"\n]{2,80})\"|“([^”\n]{2,80})”")
_IDENTIFIER = re.compile(
    r"\b(?:[A-Za-z]\w*(?:_\w+)+|_\w{2,}|[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+|[a-z]+[A-Z]\w*|[A-Z][A-Z0-9]{2,}|\w+(?:[./]\w+)+)\b"
)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{2,}")
_MARKED = re.compile(r"<question>(.*?)</question>", re.DOTALL | re.IGNORECASE)
_HEADED = re.compile(
    r"^[ \t#*]*(?:research )?question[ \t*]*:?[ \t*]*\n?(.+?)(?:\n[ \t]*\n|\n#|\n<|\Z)",
    re.DOTALL | re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"[^.!?\n]*(?:\.\w[^.!?\n]*)*\?")
_LONGEST_QUESTION = 800
_MOST_TERMS = 10
_ENOUGH_TERMS = 2
_SHORTEST_WORD = 3

_STOPWORDS = frozenset(Path(__file__).with_name("stopwords.txt").read_text().split())


@dataclass(frozen=True)
class Terms:
    """Search terms of a question. `exact` appear in code as written; `words` are plain words in their stem."""

    exact: tuple[str, ...]
    words: tuple[str, ...]
    phrases: tuple[tuple[str, str], ...]
    about_tests: bool = False

    @cached_property
    def everything(self) -> tuple[str, ...]:
        """Exact terms and stems, the strongest first, in lower case."""
        return tuple(dict.fromkeys(term.lower() for term in (*self.exact, *self.words)))


def asked(text: str) -> str:
    """The question inside a prompt: the last that is marked, else one under a heading, else what asks, else its end."""
    marked = [*_HEADED.findall(text)[:1], *_MARKED.findall(text)]
    for found in reversed(marked):
        if found.strip():
            return str(found.strip()[:_LONGEST_QUESTION])
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(text)]
    return " ".join(sentences[-3:] if sentences else [text[-_LONGEST_QUESTION:]]).strip()


def terms_of(question: str, context: str = "") -> Terms:
    """The terms of a question; a follow-up too short to stand alone borrows from the question before it."""
    terms = _terms(question)
    if len(terms.everything) < _ENOUGH_TERMS and context:
        before = _terms(context)
        return Terms(
            _first((*terms.exact, *before.exact)),
            _first((*terms.words, *before.words)),
            terms.phrases or before.phrases,
            terms.about_tests,
        )
    return terms


def _terms(question: str) -> Terms:
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(question)]
    unquoted = _QUOTED.sub(" ", question)
    exact = [*quoted, *_IDENTIFIER.findall(unquoted)]
    plain = [word.lower() for word in _WORD.findall(_IDENTIFIER.sub(" | ", unquoted))]
    words = [stem(word) for word in plain if word not in _STOPWORDS]
    return Terms(
        _first(exact), _first(words), tuple(_phrases(unquoted)), any(word.startswith("test") for word in plain)
    )


def _phrases(question: str) -> Iterable[tuple[str, str]]:
    """Neighbouring words that both carry meaning, such as feature flag."""
    for part in re.split(r"[^A-Za-z0-9 -]+", question):
        words = [word.lower() for word in re.findall(r"[A-Za-z][A-Za-z0-9]*", part)]
        for left, right in pairwise(words):
            if not {left, right} & _STOPWORDS and min(len(left), len(right)) >= _SHORTEST_WORD:
                yield stem(left), stem(right)


def _first(terms: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(terms))[:_MOST_TERMS]


def stem(word: str) -> str:
    """An English word without its ending, short enough to be found in any of its forms."""
    for ending, shortest in (("ies", 5), ("ing", 7), ("ated", 7), ("ed", 6), ("es", 6), ("s", 4)):
        if word.endswith(ending) and len(word) >= shortest and not word.endswith("ss"):
            return word[: -len(ending)]
    return word
