"""The sums of the clusters of one arm that a mean is judged from. Pure."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from fractions import Fraction


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

    def __sub__(self, other: Sums) -> Sums:
        """The sums without those of the other."""
        return Sums(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

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
