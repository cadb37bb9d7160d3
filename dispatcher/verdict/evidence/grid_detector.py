"""Watching a percentile against another one that is only known by a sample, after a pass. Pure.

At the other's true percentile the product of both sides' bets is watched by a detector. Nobody knows that threshold,
and the candidate's side falls and the other's rises with it; so between two neighbours the candidate's at the upper and
the other's at the lower one are a bound, and the least of these counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dispatcher.verdict.evidence.detectors import least_log_detectors, product_weights, products
from dispatcher.verdict.evidence.e_process import log_e_pass
from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, GridCounts, GridRow, Side, Tail, tail_of_sample
from dispatcher.verdict.evidence.wealths import Wealths
from dispatcher.verdict.measured import Arm

if TYPE_CHECKING:
    from dispatcher.verdict.evidence.wealths import Values

_POINTS = 96


def log_grid_detectors(counts: GridCounts, p0: float, looks: Iterable[int]) -> Iterator[float]:
    """After each of these looks, ln S of what they took in; against a pinned sample as far as the sample reaches."""
    numbers = list(looks)
    candidate, control = (_tails(counts, arm, numbers) for arm in (Arm.CANDIDATE, Arm.CONTROL))
    sample = None if counts.sample is None else tail_of_sample(counts.sample, Side.FAIL)
    points = _points([*candidate, *control, *([sample] if sample is not None else [])])
    above = _bets(candidate, points[1:], p0, passing=False)
    shape = (len(numbers), len(points) - 1)
    if sample is not None:
        beside = np.array([log_e_pass(sample.above(point), p0) for point in points[:-1]])
        return least_log_detectors(_gained(above, shape), above.log_weights, beside)
    below = _bets(control, points[:-1], p0, passing=True)
    weights = product_weights(above.log_weights, below.log_weights)
    return least_log_detectors(products(_gained(above, shape), _gained(below, shape)), weights)


def _bets(tails: Iterable[Tail], points: Sequence[int], p0: float, *, passing: bool) -> Wealths:
    """The bets on what each look took in, one threshold after the other."""
    return Wealths([tail.above(point) for tail in tails for point in points], np.array([p0]), passing=passing)


def _gained(bets: Wealths, shape: tuple[int, int]) -> Values:
    """The same by look, threshold and bet."""
    return bets.gained.reshape(*shape, bets.log_weights.size)


def _tails(counts: GridCounts, arm: Arm, looks: Iterable[int]) -> list[Tail]:
    """What each look took in of one arm, as the fail side has it."""
    ranked: dict[int, dict[tuple[int, int], dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in counts.rows:
        if row.arm is arm and row.side is Side.FAIL:
            _add(ranked[row.look][row.size, row.rank], row)
    return [Tail(dict(ranked[number])) for number in looks]


def _add(counted: dict[int, float], row: GridRow) -> None:
    counted[row.bucket] = counted.get(row.bucket, 0) + row.clusters


def _points(tails: Iterable[Tail]) -> list[int]:
    """Thresholds, ends included: of the buckets there are, the nearer to the slowest the more."""
    buckets = sorted(set().union(*(tail.buckets for tail in tails)))
    if len(buckets) > _POINTS:
        from_slowest = np.unique(np.geomspace(1, len(buckets), _POINTS).round().astype(int))
        buckets = sorted(buckets[-place] for place in from_slowest.tolist())
    return [NEVER, *buckets, ALWAYS - 1]
