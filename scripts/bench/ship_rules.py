"""What each rule of deciding does with a made-up path: the look of the first crossing, 0 for none.

The rules that are ours call the verdict's own functions. Where one number stands for many runs (the most exceedances of
n with which a look passes), it is found by those functions too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm
from ship_worlds import P0, RATIO, Arrivals

from dispatcher.verdict.evidence.contrast import FEWEST_CLUSTERS as FEWEST_OF_A_MEAN
from dispatcher.verdict.evidence.contrast import Stratum, contrast
from dispatcher.verdict.evidence.e_process import FAIL_GRID, PASS_GRID, epoch_alpha, log_e_fail, log_e_pass
from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, Arms, Tail, bucket_of
from dispatcher.verdict.evidence.rates import EDGES, log_e_pass_rates
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


# --- a percentile against a sample ------------------------------------------------------------------------------------


def tail(buckets: NDArray[np.float64]) -> Tail:
    """Single calls by their bucket, in whole numbers."""
    values, counted = np.unique(buckets, return_counts=True)
    return Tail({(1, 1): {int(value): int(count) for value, count in zip(values, counted, strict=True)}})


@np.vectorize
def bucketed(value: float) -> int:
    """A time as the measurement counts it; infinite where it failed."""
    if math.isinf(value):
        return ALWAYS if value > 0 else NEVER
    return bucket_of(math.ceil(value))


def grid_firsts(arrivals: Arrivals) -> tuple[int, int, int]:
    """The first looks at which our bound over all thresholds passes: at undivided alpha, as judged; and fails."""
    candidate, control = bucketed(arrivals.candidate / RATIO), bucketed(arrivals.control)
    passed, judged, failed = 0, 0, 0
    for look, (m, n) in enumerate(arrivals.seen, start=1):
        arms = Arms(tail(candidate[:m]), tail(control[:n]))
        if not judged:
            log_e = arms.log_e_pass(P0)
            passed = passed or (look if log_e >= UNDIVIDED.threshold else 0)
            judged = look if log_e >= AS_JUDGED.threshold and m >= AS_JUDGED.fewest else 0
        if not failed and arms.log_e_fail(P0) >= UNDIVIDED.threshold:
            failed = look
        if failed or judged:
            break
    return passed, judged, failed


def naive_ratio_first(arrivals: Arrivals, fewest: int = 1) -> int:
    """The first look at which the ratio of the two nearest-rank percentiles keeps the limit."""
    for look, (m, n) in enumerate(arrivals.seen, start=1):
        if min(m, n) >= fewest and nearest(arrivals.candidate[:m]) <= RATIO * nearest(arrivals.control[:n]):
            return look
    return 0


def rank_intervals_first(arrivals: Arrivals, alpha: float = 0.05) -> int:
    """The first look at which an upper bound of the candidate lies below the limit of a lower bound of the control."""
    for look, (m, n) in enumerate(arrivals.seen, start=1):
        upper = int(binom.ppf(1 - alpha / 2, m, 1 - P0)) + 1
        lower = int(binom.ppf(alpha / 2, n, 1 - P0))
        if upper > m or lower < 1:
            continue
        if np.partition(arrivals.candidate[:m], upper - 1)[upper - 1] <= RATIO * np.partition(
            arrivals.control[:n], lower - 1
        )[lower - 1]:  # fmt: skip
            return look
    return 0


def interpolated(values: NDArray[np.float64]) -> float:
    """The p95 between two ranks, as most tools give it."""
    return float(np.quantile(values, 1 - P0))


def nearest(values: NDArray[np.float64], share: float = 1 - P0) -> float:
    rank = math.ceil(round(share * values.size, 9))
    return float(np.partition(values, rank - 1)[rank - 1])


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


# --- rates ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FastRates:
    """`log_e_pass_rates` for single calls, all cells at once; a test holds the two against each other."""

    margin: float

    def allowed(self, share: float) -> float:
        return share + self.margin

    def log_e_pass(self, m: int, k_m: int, n: int, k_n: int) -> float:
        return float((self._kept(m, k_m) + self._broken(n, k_n)).min())

    def exact(self, m: int, k_m: int, n: int, k_n: int) -> float:
        return log_e_pass_rates({(1, 0): m - k_m, (1, 1): k_m}, {(1, 0): n - k_n, (1, 1): k_n}, self.allowed)

    def _kept(self, n: int, k: int) -> NDArray[np.float64]:
        p0 = np.minimum(np.array([self.allowed(edge) for edge in EDGES[:-1]]), 1 - 1e-9)
        return _mixture(n, k, p0, pass_side=True)

    def _broken(self, n: int, k: int) -> NDArray[np.float64]:
        sums = _mixture(n, k, np.minimum(np.array(EDGES[1:]), 1 - 1e-12), pass_side=False)
        sums[-1] = 0.0
        return sums


def _mixture(n: int, k: int, p0: NDArray[np.float64], *, pass_side: bool) -> NDArray[np.float64]:
    terms = [
        weight + k * above + (n - k) * kept for weight, above, kept in _coefficients(tuple(p0), pass_side=pass_side)
    ]
    return np.logaddexp.reduce(np.array(terms), axis=0)


@cache
def _coefficients(
    p0: tuple[float, ...], *, pass_side: bool
) -> list[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    allowed = np.array(p0)
    highest = 1 - (1 - allowed) / 100
    found = []
    for times, weight in PASS_GRID if pass_side else FAIL_GRID:
        bet = allowed * times if pass_side else np.minimum(allowed * times, highest)
        above = np.full_like(allowed, -1e300) if not times else np.log(bet / allowed)
        found.append((math.log(weight), above, np.log((1 - bet) / (1 - allowed))))
    return found


def rates_first(k: Sequence[NDArray[np.int64]], sizes: Sequence[int], margin: float, rule: Rule) -> Iterator[int]:
    """The first look at which a rate beside the control's passes, for each run."""
    fast = FastRates(margin)
    held: dict[tuple[int, int, int], bool] = {}
    for candidate, control in zip(*k, strict=True):
        yield next(
            (
                look
                for look, n in enumerate(sizes, start=1)
                if n >= max(rule.fewest, 1)
                and _held(fast, held, n, int(candidate[look - 1]), int(control[look - 1]), rule)
            ),
            0,
        )


def _held(fast: FastRates, held: dict[tuple[int, int, int], bool], n: int, k_m: int, k_n: int, rule: Rule) -> bool:
    key = (n, k_m, k_n)
    if key not in held:
        held[key] = fast.log_e_pass(n, k_m, n, k_n) >= rule.threshold
    return held[key]


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
