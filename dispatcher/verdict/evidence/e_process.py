"""What counted clusters say for and against a share: one e-process, pure.

A claim about a percentile is a claim about a share: "p95 at most T" is "at most 5 % above T". For the share Y_c of each
cluster's dispatches above the limit, and p₀ the share that is allowed,

    E = Σ_j w_j Π_c (1 + λ_j (p₀ - Y_c)),   λ_j = (p₀ - p_j) / (p₀ (1 - p₀)),

is an e-process under the opposite claim: a fixed mixture of bets (Waudby-Smith and Ramdas 2024, Estimating means of
bounded random variables by betting). By Ville's inequality it ever reaches 1/alpha with a chance of at most alpha,
however often one looks and whatever goes on inside a cluster. For single calls it is the mixture of likelihood ratios
Σ_j w_j (p_j/p₀)^k ((1 - p_j)/(1 - p₀))^(n - k). All logarithms are natural.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

Histogram = Mapping[tuple[int, int], float]
"""Clusters by (dispatches, dispatches above the limit); a whole number of each, but in a forecast."""

_AT_NOTHING, _AT_NO_BET = 0.35, 0.05
_PASS_BETWEEN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_FAIL_BEYOND = (1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0, 13.0)

PASS_GRID = (
    (0.0, _AT_NOTHING),
    *((times, (1 - _AT_NOTHING - _AT_NO_BET) / len(_PASS_BETWEEN)) for times in _PASS_BETWEEN),
    (1.0, _AT_NO_BET),
)
"""The shares that the pass side bets on, as multiples of p₀, with their weights.

The atom at "no bet" never moves, so no run of data makes the process 0.
"""

FAIL_GRID = ((1.0, _AT_NO_BET), *((times, (1 - _AT_NO_BET) / len(_FAIL_BEYOND)) for times in _FAIL_BEYOND))
"""The same for the fail side."""

MEAN_LOOKS_TO_ALARM = 520
"""Ten years of weekly looks: how long, on average, a detector takes to alarm where the limit is kept."""

_CLEAN = (1, 0)
_FURTHEST = 1_000_000


def log_e_pass(clusters: Histogram, p0: float) -> float:
    """The natural logarithm of E against "at least p₀ are above the limit": large where the limit is kept."""
    return _log_mixture(clusters, p0, _pass_bets(p0))


def log_e_fail(clusters: Histogram, p0: float) -> float:
    """The natural logarithm of E against "at most p₀ are above the limit": large where the limit is broken.

    A bet lies below 1 by at least a hundredth of the way from p₀, where a multiple of p₀ would reach it.
    """
    return _log_mixture(clusters, p0, _fail_bets(p0))


def fail_reaches(clusters: Histogram, p0: float, alpha: float) -> bool:
    """Whether E against "at most p₀ are above the limit" is at 1/alpha or beyond.

    Asked of each of many tenants, of which few can: ln(1 + x) <= x, so that a bet's logarithm is at most its rate times
    what all shares together exceed p₀ by.
    """
    excess = sum(count * (above / size - p0) for (size, above), count in clusters.items())
    steepest = -min(_rate(p0, bet) for bet, _ in _fail_bets(p0))
    # Twice as much as can be, far beyond what rounding does.
    return 2 * steepest * excess >= -math.log(alpha) and log_e_fail(clusters, p0) >= -math.log(alpha)


def log_detectors(looks: Iterable[Histogram], p0: float) -> Iterator[float]:
    """After each look at new clusters, ln S of a detector of a limit that was kept and is broken now.

    S_j ← (S_j + 1) · Π_c (1 + λ_j (p₀ - Y_c)) for each bet of the fail side, S = Σ_j w_j S_j: an e-detector (Shin,
    Ramdas and Rinaldo 2024, E-detectors), which forgets what was good before. While the limit is kept it takes h looks
    on average, or more, to reach h.
    """
    bets = _fail_bets(p0)
    sums = [-math.inf] * len(bets)
    for clusters in looks:
        shares = by_share(clusters)
        wealths = [_log_wealth(shares, p0, _rate(p0, bet)) for bet, _ in bets]
        sums = [_log_sum((so_far, 0.0)) + wealth for so_far, wealth in zip(sums, wealths, strict=True)]
        yield _log_sum(math.log(weight) + so_far for so_far, (_, weight) in zip(sums, bets, strict=True))


def epoch_alpha(alpha: float, epoch: int) -> float:
    """The part of alpha that epoch j may spend: 6 alpha / (π² j²), which sums to alpha over all epochs."""
    return 6 * alpha / (math.pi**2 * epoch**2)


def clean_clusters_needed(clusters: Histogram, p0: float, alpha: float, at_least: int = 0) -> int | None:
    """How many more clusters, none above the limit, make the pass side reach 1/alpha with `at_least` clusters in all.

    Found by search, since each of them raises every term of the mixture; None where a million wouldn't do.
    """
    counted = sum(clusters.values())

    def enough(more: int) -> bool:
        grown = {**clusters, _CLEAN: clusters.get(_CLEAN, 0) + more}
        return counted + more >= at_least and log_e_pass(grown, p0) >= -math.log(alpha)

    high = 1
    while not enough(high):
        if high > _FURTHEST:
            return None
        high *= 2
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def log_balance(counts: Iterable[tuple[float, int, int]]) -> float:
    """The logarithm of the Bayes factor against "units were drawn as they should be", for (share, candidate, control).

    Beta(100 θ, 100 (1 - θ)) against the point θ in each stratum (Lindon and Malek 2022, Anytime-valid inference for
    multinomial count data): an e-process, so in a healthy assignment it ever reaches 1000 with a chance of at most
    0.1 %.
    """
    total = 0.0
    for share, candidate, control in sorted(counts):
        prior_candidate, prior_control = 100 * share, 100 * (1 - share)
        total += _log_beta(prior_candidate + candidate, prior_control + control)
        total -= _log_beta(prior_candidate, prior_control)
        total -= candidate * math.log(share) + control * math.log1p(-share)
    return total


def by_share(clusters: Histogram) -> dict[float, float]:
    """How many clusters have which share of their dispatches above the limit."""
    shares: dict[float, float] = {}
    for (size, above), count in clusters.items():
        if not 0 <= above <= size or size == 0 or count < 0:
            raise ValueError(f"{count} clusters of {size} dispatches with {above} above the limit can't be")
        if count:
            shares[above / size] = shares.get(above / size, 0) + count
    return shares


def _pass_bets(p0: float) -> list[tuple[float, float]]:
    return [(p0 * times, weight) for times, weight in PASS_GRID]


def _fail_bets(p0: float) -> list[tuple[float, float]]:
    highest = 1 - (1 - p0) / 100
    return [(min(p0 * times, highest), weight) for times, weight in FAIL_GRID]


def _log_mixture(clusters: Histogram, p0: float, bets: Iterable[tuple[float, float]]) -> float:
    if not 0 < p0 < 1:
        raise ValueError(f"a share that is allowed lies between 0 and 1, not at {p0}")
    shares = by_share(clusters)
    return _log_sum(math.log(weight) + _log_wealth(shares, p0, _rate(p0, bet)) for bet, weight in bets)


def _rate(p0: float, bet: float) -> float:
    return (p0 - bet) / (p0 * (1 - p0))


def _log_sum(terms: Iterable[float]) -> float:
    """The logarithm of a sum from those of its terms, of which the bet on p₀ itself is finite, since it never moves."""
    logarithms = list(terms)
    largest = max(logarithms)
    return largest + math.log(math.fsum(math.exp(each - largest) for each in logarithms))


def _log_wealth(shares: Mapping[float, float], p0: float, rate: float) -> float:
    gains = [(1 + rate * (p0 - share), count) for share, count in shares.items()]
    if any(gain <= 0 for gain, _ in gains):
        return -math.inf
    # An exact sum, so that the order of the clusters can't matter.
    return math.fsum(count * math.log(gain) for gain, count in gains)


def _log_beta(left: float, right: float) -> float:
    return math.lgamma(left) + math.lgamma(right) - math.lgamma(left + right)
