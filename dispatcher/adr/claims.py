"""What the text of a record claims without showing it: figures, hypotheses, percentiles, questions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dispatcher.adr.document import Record
from dispatcher.adr.passages import Form, Passage
from dispatcher.document.tree import Problem

_CELL_WITH_FIGURE = re.compile(r"\|[^|\n]*(?<![\w-])\d[\d .,\u00a0\u202f]*[^|\n]*(?=\|)")
_FEWEST_FIGURES = 2
_QUERY = re.compile(
    r"`[^`]*(?:scripts/|dispatcher |SELECT |\.sql\b|\.ya?ml\b|\.csv\b|\.parquet\b)[^`]*`"
    r"|\]\([^)\s]*\.(?:sql|ya?ml|csv|parquet)\)",
    re.IGNORECASE,
)
_QUERY_FENCE = re.compile(r"\s*[`~]{3,}\s*(?:sql|bash|sh|shell|console)\b", re.IGNORECASE)
_SEE_SOURCES = re.compile(r"\b(?:in|under|see|from)\s+\[?Sources\b")
_PERCENTILE = re.compile(r"\b(?:p[1-9][0-9]?|median)\b")
_DURATION = re.compile(r"\d\s?(?:ms|s)\b")
_SAMPLE_SIZE = re.compile(
    r"\bn\s*=\s*\d|\b\d[\d ,\u00a0\u202f]*\s*(?:\w+\s)?(?:calls?|runs?|rows?|dispatches|requests?|samples?|turns?"
    r"|questions?|decisions?|conversations?|sessions?|prompts?)\b"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_FACTOR = r"\d+(?:\.\d+)?\s?(?:×|x|times|%)\s+"
_BETTER_BY = re.compile(
    _FACTOR + r"(?:as\s+\w+|faster|slower|cheaper|dearer|shorter|longer|lower|higher|fewer|less|better|worse)\b",
    re.IGNORECASE,
)
_EVIDENCE = re.compile(
    r"\b(?:measured|production|telemetry|spike|smokes?|published|baseline|median|p[1-9][0-9]?|announced|claim(?:s|ed)|"
    r"quoted|reported|bench\w*|logs?|limit|source)\b|`",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:we\s+(?:expect|assume|believe|suspect|think|hope)|presumably|probably|supposedly|likely|unlikely|apparently"
    r"|should\s+(?:halve|double|land|drop|fall|rise|improve|save|reduce|cut|take|cost|reach))\b",
    re.IGNORECASE,
)
_QUANTITY = re.compile(r"(?<![\w.\-/])\d")
_LABEL = re.compile(
    r"\b(?:hypothes[ie]s|unverified|estimat(?:e[sd]?|ion)|indicati(?:on|ve)|assum(?:ption|ed)|not measured)\b",
    re.IGNORECASE,
)
_OPEN = re.compile(r"open questions?\b", re.IGNORECASE)
_STILL_OPEN = re.compile(r"\bstill open\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]{3,}|\d+")
_COMMON_WORDS = (
    "about actual also and any are before between both can could did does doing done each either else even ever "
    "every exact exactly for from get give given had has have how however into its just kind least less like made "
    "make many may more most much must need needs not now only other our out over own put really same shall "
    "should since some still such take than that the their them then there these they this those through too "
    "under until use used using very was were what when where whether which while who whom whose why will with "
    "within without would yes yet you your"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_FEWEST_WORDS, _ANSWERED = 4, 0.5


def claim_problems(record: Record) -> Iterator[Problem]:
    """Everything in the text that is claimed and not shown."""
    yield from _unreproducible(record)
    yield from _percentiles_without_n(record)
    yield from _unlabelled(record)
    yield from _answered(record)


def _unreproducible(record: Record) -> Iterator[Problem]:
    for passage in record.passages:
        if not _has_figures(passage):
            continue
        around = [each for each in record.passages if each.section == passage.section]
        if not any(_shows_query(each) or _refers_to_sources(each, record) for each in around):
            what = "figure" if passage.form is Form.FIGURE else "table"
            yield Problem(
                passage.line,
                f"a {what} without its reproduction: name the query, script or data file behind it in the same section,"
                " or point to the section Sources, which does",
            )


def _has_figures(passage: Passage) -> bool:
    if passage.form is Form.TABLE:
        return len(_CELL_WITH_FIGURE.findall(passage.text)) >= _FEWEST_FIGURES
    return passage.form is Form.FIGURE


def _shows_query(passage: Passage) -> bool:
    if passage.form is Form.FENCE:
        return _QUERY_FENCE.match(passage.text) is not None
    return _QUERY.search(passage.text) is not None


def _refers_to_sources(passage: Passage, record: Record) -> bool:
    if not _SEE_SOURCES.search(passage.text):
        return False
    return any(_shows_query(each) for each in record.passages if each.section.lower().startswith("sources"))


def _percentiles_without_n(record: Record) -> Iterator[Problem]:
    for passage in record.passages:
        if passage.form is Form.FENCE or passage.section == "Confirmation":
            continue
        figures = _has_figures(passage) if passage.form is Form.TABLE else _DURATION.search(passage.text)
        if not (_PERCENTILE.search(passage.text) and figures):
            continue
        around = (each.text for each in record.passages if each.section == passage.section)
        if not any(_SAMPLE_SIZE.search(text) for text in around):
            yield Problem(passage.line, "a percentile without its n: state how many calls or runs it was read from")


def _unlabelled(record: Record) -> Iterator[Problem]:
    for passage in record.passages:
        if passage.form is Form.FENCE or passage.section.lower().startswith(("risk", "open question", "hypothes")):
            continue
        if _LABEL.search(passage.text):
            continue
        for line, sentence in _sentences(passage):
            if _BETTER_BY.search(sentence) and not _EVIDENCE.search(passage.text):
                yield Problem(line, f"{_short(sentence)!r} names no measurement: name it, or label it a hypothesis")
            elif _HEDGE.search(sentence) and _QUANTITY.search(sentence):
                yield Problem(line, f"{_short(sentence)!r} is a hypothesis that isn't labelled as one")


def _sentences(passage: Passage) -> Iterator[tuple[int, str]]:
    position = 0
    for sentence in _SENTENCE_END.split(passage.text):
        found = passage.text.index(sentence, position)
        position = found + len(sentence)
        yield passage.line + passage.text.count("\n", 0, found), " ".join(sentence.split())


def _answered(record: Record) -> Iterator[Problem]:
    """Open questions whose own words stand together in another section, as a statement."""
    elsewhere = [each for each in record.passages if each.form is not Form.FENCE and not _OPEN.match(each.section)]
    for question in record.passages:
        if not _OPEN.match(question.section) or _STILL_OPEN.search(question.text):
            continue
        answer = _answer(_words(question.text), elsewhere)
        if answer is not None:
            yield Problem(
                question.line,
                f"{_short(question.text)!r} is listed as open, and line {answer.line} answers it: remove the question, "
                "narrow it to what isn't known, or say what is still open",
            )


def _answer(asked: frozenset[str], elsewhere: Sequence[Passage]) -> Passage | None:
    if len(asked) < _FEWEST_WORDS:
        return None
    for passage in elsewhere:
        if "?" in passage.text or "open question" in passage.text.lower():
            continue
        shared = asked & _words(passage.text)
        if len(shared) >= _FEWEST_WORDS and len(shared) >= _ANSWERED * len(asked):
            return passage
    return None


def _words(text: str) -> frozenset[str]:
    """The words that carry meaning, identifiers taken apart and plurals made singular."""
    return frozenset(word.rstrip("s") for word in _WORD.findall(text.lower()) if word not in _COMMON)


def _short(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= 80 else joined[:77] + "…"  # noqa: PLR2004 - a line of a report
