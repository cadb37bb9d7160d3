"""What each rule of deciding does with a made-up path: the look of the first crossing, 0 for none.

The rules that are ours call the verdict's own functions. Where one number stands for many runs (the most exceedances of
n with which a look passes), it is found by those functions too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm
from ship_worlds import P0

from dispatcher.verdict.evidence.contrast import FEWEST_CLUSTERS as FEWEST_OF_A_MEAN
from dispatcher.verdict.evidence.contrast import Stratum, contrast
from dispatcher.verdict.evidence.e_process import epoch_alpha, log_e_fail, log_e_pass
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS
from dispatcher.verdict.sums import Sums

Firsts = NDArray[np.int64]


@dataclass(frozen=True)
class Rule:
    """What a pass takes: undivided alpha without a floor, as the published tables have it, or as in the first epoch."""

    alpha: float
    fewest: int

    @property
    def threshold(self) -> float:
        return -math.log(self.alpha)


UNDIVIDED = Rule(0.05, 0)
AS_JUDGED = Rule(epoch_alpha(0.05, 1), FEWEST_CLUSTERS)


# --- counts of single calls -------------------------------------------------------------------------------------------


def first(crossing: NDArray[np.bool_]) -> Firsts:
    """The look of the first crossing in each run, 0 for none."""
    return np.where(crossing.any(axis=1), crossing.argmax(axis=1) + 1, 0)


def below(k: NDArray[np.int64], most: Sequence[int]) -> Firsts:
    return first(k <= np.array(most))


@cache
def most_to_pass(n: int, rule: Rule, p0: float = P0) -> int:
    """The most exceedances of n with which our evidence passes; -1 for none."""
    if n < max(rule.fewest, 1):
        return -1
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        passes = log_e_pass({(1, 0): n - middle, (1, 1): middle}, p0) >= rule.threshold
        low, high = (middle, high) if passes else (low, middle)
    return low


@cache
def fewest_to_fail(n: int, rule: Rule, p0: float = P0) -> int:
    """The fewest exceedances of n with which our evidence fails; n + 1 for none."""
    low, high = -1, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        fails = log_e_fail({(1, 0): n - middle, (1, 1): middle}, p0) >= rule.threshold
        low, high = (low, middle) if fails else (middle, high)
    return high


def our_pass(k: NDArray[np.int64], sizes: Sequence[int], rule: Rule) -> Firsts:
    return below(k, [most_to_pass(n, rule) for n in sizes])


def our_fail(k: NDArray[np.int64], sizes: Sequence[int], rule: Rule) -> Firsts:
    return first(k >= np.array([fewest_to_fail(n, rule) for n in sizes]))


def point_rank(n: int, p0: float = P0) -> int:
    """The most exceedances with which the nearest-rank percentile keeps the limit."""
    return n - math.ceil(round((1 - p0) * n, 9)) if n else -1


def naive_pass(k: NDArray[np.int64], sizes: Sequence[int], fewest: int = 1) -> Firsts:
    return below(k, [point_rank(n) if n >= fewest else -1 for n in sizes])


def rolling_pass(k: NDArray[np.int64], sizes: Sequence[int], weeks: int = 4) -> Firsts:
    """The point estimate over the last four weeks only."""
    seen, total = np.array(sizes), np.array(k)
    seen[weeks:] -= np.array(sizes)[:-weeks]
    total[:, weeks:] -= k[:, :-weeks]
    return below(total, [point_rank(int(n)) for n in seen])


def exact_pass(k: NDArray[np.int64], sizes: Sequence[int], alpha: float) -> Firsts:
    """An exact binomial test at every look, as if it were the only one."""
    return first(binom.cdf(k, np.array(sizes), P0) <= alpha)


# --- conversations ----------------------------------------------------------------------------------------------------


def cluster_pass(above: NDArray[np.int64], size: int, ends: Sequence[int], rule: Rule) -> int:
    """The first look at which whole conversations pass; `ends` are how many had entered by each look."""
    clusters: Counter[tuple[int, int]] = Counter()
    begin = 0
    for look, end in enumerate(ends, start=1):
        clusters.update((size, int(k)) for k in above[begin:end])
        begin = end
        if end >= rule.fewest and log_e_pass(clusters, P0) >= rule.threshold:
            return look
    return 0


# --- means ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostCase:
    """Half of the control's mean as the limit."""

    t_star: float
    ratio: Fraction = Fraction(1, 2)


def mean_first(weeks: Sequence[tuple[Sums, Sums]], case: CostCase, rule: Rule) -> int:
    """The first look at which the difference of the means passes."""
    candidate, control = Sums(), Sums()
    for look, (more, of_control) in enumerate(weeks, start=1):
        candidate, control = candidate + more, control + of_control
        if min(candidate.clusters, control.clusters) < (FEWEST_OF_A_MEAN if rule.fewest else 50):
            continue
        found = contrast([Stratum(Fraction(1), candidate, control)], ratio=case.ratio)
        if found.difference + found.half_width(rule.alpha, case.t_star) <= 0:
            return look
    return 0


def welch_first(weeks: Sequence[tuple[Sums, Sums]], case: CostCase, level: float | None) -> int:
    """The same with a fixed-sample interval at every look; without a level, the point estimate alone."""
    candidate, control = Sums(), Sums()
    for look, (more, of_control) in enumerate(weeks, start=1):
        candidate, control = candidate + more, control + of_control
        if min(candidate.clusters, control.clusters) <= 1:
            continue
        found = contrast([Stratum(Fraction(1), candidate, control)], ratio=case.ratio)
        width = 0.0 if level is None else float(norm.isf(level)) * found.standard_error
        if found.difference + width <= 0:
            return look
    return 0


# --- figures ----------------------------------------------------------------------------------------------------------


def shipped(firsts: Sequence[int] | Firsts) -> float:
    """The share of runs that crossed."""
    return float(np.mean(np.asarray(firsts) > 0))


def cell(firsts: Sequence[int] | Firsts) -> str:
    """The same in per cent, with the median look of those that did where half did."""
    crossed = np.asarray(firsts)[np.asarray(firsts) > 0]
    percent = 100 * crossed.size / len(firsts)
    text = "100" if percent > 99.95 else f"{percent:.1f}" if percent > 0 else "0"  # noqa: PLR2004
    return f"{text} ({int(np.median(crossed))})" if percent >= 50 else text  # noqa: PLR2004


def most_by_chance(runs: int, share: float, sure: float = 0.999) -> int:
    """How many of so many runs cross at most, but once in a thousand, where each does with that chance."""
    return int(binom.ppf(sure, runs, share))
