"""Numbers and moments as a report writes them."""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction

from dispatcher.adr.criterion import Criterion

_GLUED = "\u00a0"
"""A blank at which no line ends: a number is one word with its unit."""


_MANY = 1000
"""From here on the thousands stand apart, and a tenth is all that is told beside them."""


def in_unit(criterion: Criterion, value: Fraction | None) -> str:
    """A figure in the unit of a criterion's measure."""
    if value is None:
        return "none"
    if criterion.measure.is_money:
        return dollars(float(value))
    if criterion.aggregate == "rate":
        return f"{float(100 * value):.4g}{_GLUED}%"
    if value.denominator == 1:
        text = f"{value.numerator:,}"
    else:
        text = f"{float(value):g}" if abs(value) < _MANY else f"{float(value):,.1f}"
    return f"{text.replace(',', _GLUED)}{_GLUED}{criterion.measure.unit}"


def difference_in_unit(criterion: Criterion, value: float) -> str:
    """A difference of means in the unit of a criterion's measure."""
    return dollars(value) if criterion.measure.is_money else f"{value:.4g}{_GLUED}{criterion.measure.unit}"


def dollars(value: float) -> str:
    """US dollars to a millionth."""
    return f"{'-' if value < 0 else ''}${abs(value):.6f}"


def e_value(logarithm: float) -> str:
    """An e-value; a large one as a power of ten."""
    return f"{math.exp(logarithm):.3g}" if logarithm < math.log(1e6) else f"10^{logarithm / math.log(10):.0f}"


def many(count: int, what: str) -> str:
    """So many of something."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def minute(moment: dt.datetime) -> str:
    """A moment in UTC, to the minute."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
