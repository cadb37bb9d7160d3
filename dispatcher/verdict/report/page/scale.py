"""Values to places on an axis, and where its marks are."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from values in [low, high] to places in [start, end]; a value beyond an end is put on it."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)


def round_marks(low: float, high: float, about: int = 4) -> list[float]:
    """Marks at round values (1, 2 or 5 times a power of ten apart) inside [low, high]."""
    step = _round_step((high - low) / about)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(times * power for times in (1, 2, 5, 10) if times * power >= rough * (1 - 1e-9)))
