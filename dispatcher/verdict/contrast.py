"""What counted clusters say for and against a ratio of means, without dividing: pure.

"The mean of the candidate is at most R times that of the control" is "D = Σ_s w_s (μ_candidate - R μ_control) is at
most 0" (Fieller 1954). A mean is Σx_c / Σn_c over clusters, and its variance is that of the cluster residuals
x_c - μ n_c, since dispatches of one cluster aren't independent. The half-width is the one-sided asymptotic confidence
sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024, Time-uniform central limit theory), valid at all
looks together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

FEWEST_CLUSTERS = 50
"""Clusters in each arm from which the limit theorem is trusted."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What is needed of the clusters of one arm: how many, and the sums of n, n², x, x·n and x² over them.

    n counts a cluster's dispatches whose value is known, x is the sum of these values. All exact integers.
    """

    clusters: int = 0
    size: int = 0
    size_squared: int = 0
    total: int = 0
    cross: int = 0
    total_squared: int = 0

    def __add__(self, other: Sums) -> Sums:
        """The sums over the clusters of both."""
        return Sums(
            self.clusters + other.clusters,
            self.size + other.size,
            self.size_squared + other.size_squared,
            self.total + other.total,
            self.cross + other.cross,
            self.total_squared + other.total_squared,
        )

    @property
    def mean(self) -> Fraction:
        """The mean over dispatches, Σx / Σn."""
        return Fraction(self.total, self.size)

    @property
    def variance_of_mean(self) -> Fraction:
        """N / (N - 1) · Σ (x - μ n)² / (Σn)², of at least two clusters."""
        mean = self.mean
        residuals = self.total_squared - 2 * mean * self.cross + mean**2 * self.size_squared
        return residuals * Fraction(self.clusters, (self.clusters - 1) * self.size**2)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Clusters that may be compared with each other, and their weight; no control where the limit is a number."""

    weight: Fraction
    candidate: Sums
    control: Sums | None = None


@dataclass(frozen=True, slots=True)
class Contrast:
    """D and its standard error, both in the unit of x, over `clusters` clusters of both arms."""

    difference: float
    standard_error: float
    clusters: int

    def half_width(self, alpha: float, t_star: float) -> float:
        """One-sided half-width at level alpha, tightest when there are `t_star` clusters."""
        tuning = -2 * math.log(2 * alpha)
        rho_squared = (tuning + math.log(tuning + 1)) / t_star
        spread = self.clusters * rho_squared + 1
        inside = 2 * spread / (self.clusters * rho_squared) * math.log1p(math.sqrt(spread) / (2 * alpha))
        return self.standard_error * math.sqrt(inside)

    def grown(self, factor: Fraction) -> Contrast:
        """The same difference among so many times as many clusters."""
        return Contrast(self.difference, self.standard_error / math.sqrt(factor), round(self.clusters * factor))


def contrast(strata: Iterable[Stratum], *, ratio: Fraction = Fraction(0), limit: Fraction = Fraction(0)) -> Contrast:
    """D = Σ w (μ_candidate - ratio · μ_control) - limit; at least two clusters in every arm of a stratum."""
    difference, variance, clusters = -limit, Fraction(0), 0
    for stratum in strata:
        arms = [(stratum.candidate, Fraction(1))]
        if stratum.control is not None:
            arms.append((stratum.control, -ratio))
        for sums, factor in arms:
            difference += stratum.weight * factor * sums.mean
            variance += (stratum.weight * factor) ** 2 * sums.variance_of_mean
            clusters += sums.clusters
    return Contrast(float(difference), math.sqrt(variance), clusters)
