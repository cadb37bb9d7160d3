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

from dispatcher.verdict.sums import Sums

FEWEST_CLUSTERS = 50
"""Clusters in each arm from which the limit theorem is trusted."""
_FAR = 25.0


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
        tuned = self.clusters * _rho_squared(alpha, t_star)
        inside = 2 * (tuned + 1) / tuned * math.log1p(math.sqrt(tuned + 1) / (2 * alpha))
        return self.standard_error * math.sqrt(inside)

    def log_e_above(self, alpha: float, t_star: float) -> float:
        """Ln of the e-value against "D is at most 0" that the interval of such a level is a bound of.

        The half-normal mixture of Robbins (1970), for a difference that varies. Asymptotic, as the interval is.
        """
        tuned = self.clusters * _rho_squared(alpha, t_star)
        place = self.difference / self.standard_error * math.sqrt(tuned / (tuned + 1))
        return math.log(2) - math.log(tuned + 1) / 2 + _log_mills(place)

    def grown(self, factor: Fraction) -> Contrast:
        """The same difference among so many times as many clusters."""
        return Contrast(self.difference, self.standard_error / math.sqrt(factor), round(self.clusters * factor))


def _rho_squared(alpha: float, t_star: float) -> float:
    tuning = -2 * math.log(2 * alpha)
    return (tuning + math.log(tuning + 1)) / t_star


def _log_mills(place: float) -> float:
    """Ln of exp(x² / 2) Φ(x), far below 0 by its limit."""
    if place < -_FAR:
        return -math.log(-place) - math.log(2 * math.pi) / 2
    return place**2 / 2 + math.log(math.erfc(-place / math.sqrt(2)) / 2)


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
