"""Where a sentence says something else than the block beside it: another limit, another direction, another measure.

Only what can be told without guessing: a number that is stated as a bound, in the measure's unit or as a multiple; a
word for the opposite direction right before the limit; the name of another measure where its own isn't said.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from decimal import Decimal

from dispatcher.adr.criterion import Criterion
from dispatcher.adr.measure import Measure

_AT_MOST = r"at or (?:below|under)|at most|(?:no|not) (?:more|longer) than|within|under|below|up to|less than|≤|<=|<"
_AT_LEAST = r"at or above|at least|no(?:t)? less than|≥|>="
_THAT_IS = r"that is|i\.e\.,?|so|="
_NUMBER = (
    r"[ \u00a0\u202f]*\$?(?P<whole>\d{1,3}(?:[ ,\u00a0\u202f]\d{3})+(?!\d)|\d+)(?P<fraction>(?:\.\d+)?)"
    r"[ \u00a0\u202f]?(?P<unit>(?:ms|s|min|x|times|USD)\b|%|×)"
)
_BOUNDED = re.compile(rf"(?:(?<!\w)(?:{_AT_MOST}|{_AT_LEAST}|{_THAT_IS}))\s{_NUMBER}", re.IGNORECASE)
_TURNED = {
    True: re.compile(rf"(?<!\w)(?:{_AT_LEAST})\s{_NUMBER}", re.IGNORECASE),
    False: re.compile(rf"(?<!\w)(?:{_AT_MOST})\s{_NUMBER}", re.IGNORECASE),
}
"""Words for the opposite of an upper limit (True) and of a lower one, before a number."""
_MAY_BREAK = {
    True: re.compile(
        r"\b(?:may|might|can)\s+(?:exceed|be\s+(?:\w+\s+)?(?:above|over|beyond|slower|dearer))", re.IGNORECASE
    ),
    False: re.compile(r"\b(?:may|might|can)\s+(?:be|fall|lie)\s+(?:\w+\s+)?(?:below|under|short)", re.IGNORECASE),
}
_DENIED = re.compile(r"\b(?:no|none|nothing|neither|nobody|never)\b", re.IGNORECASE)
_SCALES = {
    "ms": Decimal(1), "s": Decimal(1000), "min": Decimal(60_000), "%": Decimal("0.01"), "usd": Decimal(1),
    "x": Decimal(1), "×": Decimal(1), "times": Decimal(1),
}  # fmt: skip
_MULTIPLES = frozenset({"x", "×", "times"})
_FIRST_TOKEN, _COST = r"first[ -]token|\bTTFT\b", r"\bcosts?\b|\bprices?\b"
_NAMES = {
    Measure.RESPONSE_TIME_MS: r"\bwall|response[ _]time|\bwait|end[ -]to[ -]end|\blatency|\bduration|\btakes?\b",
    Measure.TIME_TO_FIRST_TOKEN_MS: _FIRST_TOKEN,
    Measure.FIRST_TOKEN_MS: _FIRST_TOKEN,
    Measure.FIRST_TEXT_MS: r"first[ -](?:visible[ -])?text",
    Measure.COST: _COST,
    Measure.COST_PER_VALID_SUCCESS: _COST,
    Measure.ITERATIONS: r"\biterations?\b|\bmodel requests?\b",
}
"""What people call a measure."""


def contradictions(place: str, text: str, criterion: Criterion, known: Collection[Decimal]) -> Iterator[str]:
    """What a sentence says against its block; `known` are the numbers that it may state, in the measure's unit."""
    yield from _other_limits(place, text, criterion, known)
    yield from _other_direction(place, text, criterion)
    own = _NAMES.get(criterion.measure)
    if own is None or re.search(own, text, re.IGNORECASE):
        return
    for pattern in dict.fromkeys(_NAMES.values()):
        other = re.search(pattern, text, re.IGNORECASE)
        if other is not None:
            yield f"{place} speaks of {other[0]!r}, the block of {criterion.measure}: name what is measured"
            return


def _other_limits(place: str, text: str, criterion: Criterion, known: Collection[Decimal]) -> Iterator[str]:
    for found in _BOUNDED.finditer(text):
        unit = found["unit"].lower()
        if unit not in _MULTIPLES and not _is_of(criterion.measure, unit):
            continue
        number = _number(found)
        if not any(_reads_as(each / _SCALES[unit], number, unit) for each in known):
            yield f"{place} says {' '.join(found[0].split())!r}, which isn't what the block states: say one limit only"


def _other_direction(place: str, text: str, criterion: Criterion) -> Iterator[str]:
    upper = criterion.measure.lower_is_better
    stated = [number for number in (criterion.limit, criterion.bound.number) if number is not None]
    right = "at most" if upper else "at least"
    for found in _TURNED[upper].finditer(text):
        unit = found["unit"].lower()
        ours = unit in _MULTIPLES or _is_of(criterion.measure, unit)
        if ours and any(_reads_as(each / _SCALES[unit], _number(found), unit) for each in stated):
            yield f"{place} says {' '.join(found[0].split())!r}, and the block allows {right} that"
    may = _MAY_BREAK[upper].search(text)
    if may is None or _DENIED.search(text[: may.start()]) or re.search(r"\d\s?%", text[: may.start()]):
        return
    yield f"{place} says {may[0]!r}, and the block is a limit that may not be broken: say {right}"


def _is_of(measure: Measure, unit: str) -> bool:
    if measure.is_duration:
        return unit in {"ms", "s", "min"}
    return unit == "usd" if measure.is_money else unit == "%" and not measure.unit


def _number(found: re.Match[str]) -> Decimal:
    return Decimal(re.sub(r"\D", "", found["whole"]) + found["fraction"])


def _reads_as(exact: Decimal, stated: Decimal, unit: str) -> bool:
    """Whether a number is what another one reads as: a time may be rounded, by a hundredth at most."""
    if unit not in {"ms", "s", "min"}:
        return exact == stated
    exponent = stated.as_tuple().exponent
    assert isinstance(exponent, int)
    return abs(exact - stated) <= min(Decimal(5).scaleb(exponent - 1), exact / 100)
