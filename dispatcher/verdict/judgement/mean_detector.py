"""Watching a mean after a pass: the interval begun anew at later looks. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.evidence.contrast import Contrast
from dispatcher.verdict.evidence.e_process import MEAN_LOOKS_TO_ALARM
from dispatcher.verdict.judgement.figures import Strata
from dispatcher.verdict.measured import Cell
from dispatcher.verdict.sums import Sums

Difference = Callable[[Sequence[Strata]], Contrast | None]


def log_mean_detectors(
    looks: Sequence[Sequence[Strata]], difference: Difference, t_star: float
) -> Iterator[float | None]:
    """At each look ln S of what came in since the first of them; None where too little came for an interval.

    S is the sum, over beginnings, of the e-value of the interval since then. All of them would be an e-detector (Shin,
    Ramdas and Rinaldo 2024); those 1, 2, 4, … looks ago are a part of that sum, so below it. `looks` are what each look
    took in of each arm. Asymptotic, as the interval is.
    """
    for last in range(1, len(looks) + 1):
        terms = [_log_e(looks[last - length : last], difference, t_star) for length in _lengths(last)]
        reached = [term for term in terms if term > -math.inf]
        if not reached:
            yield None
            continue
        largest = max(reached)
        yield largest + math.log(math.fsum(math.exp(term - largest) for term in reached))


def taken_in(cells: Sequence[Cell], criterion: Criterion) -> Strata:
    """The sums of clusters that one look took in, without what changed of earlier ones."""
    strata: Strata = {}
    for cell in cells:
        valued, key = cell.valued[criterion.id], (cell.tenant, cell.share)
        strata[key] = strata.get(key, Sums()) + (valued.sums - valued.late)
    return strata


def _lengths(last: int) -> Iterator[int]:
    length = 1
    while length <= last:
        yield length
        length *= 2


def _log_e(looks: Sequence[Sequence[Strata]], difference: Difference, t_star: float) -> float:
    arms: list[Strata] = [{} for _ in looks[0]]
    for look in looks:
        for sums, entering in zip(arms, look, strict=True):
            for key, more in entering.items():
                sums[key] = sums.get(key, Sums()) + more
    found = difference(arms)
    varies = found is not None and found.standard_error > 0
    return found.log_e_above(1 / MEAN_LOOKS_TO_ALARM, t_star) if found is not None and varies else -math.inf
