"""Made-up paths at, below and above their limit: times, conversations, costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm

from dispatcher.verdict.sums import Sums

Draw = Callable[[Generator, int], NDArray[np.float64]]

P0, RATIO = 0.05, 1.5
WEEKS_A_MONTH = 365.25 / 12 / 7
SHAPE, SCALE = 3.616, 20_698.0


def weibull(rng: Generator, n: int) -> NDArray[np.float64]:
    """Times like those that were published: their p95 is 28 035 ms."""
    return np.ceil(SCALE * rng.weibull(SHAPE, n))


def lognormal(rng: Generator, n: int) -> NDArray[np.float64]:
    """Times with a heavy tail, of the same p95."""
    return np.ceil(28_035 * np.exp(0.6 * (rng.standard_normal(n) - norm.ppf(0.95))))


def calls_by(month: float, weeks: int) -> list[int]:
    """How many calls there have been at each look."""
    return [round(month / WEEKS_A_MONTH * week) for week in range(1, weeks + 1)]


def share_above(times: float) -> float:
    """The share above 1.5 × the true p95 of a path so many times slower."""
    return float(0.05 ** ((RATIO / times) ** SHAPE))


def counts(rng: Generator, runs: int, sizes: Sequence[int], share: float) -> NDArray[np.int64]:
    """Exceedances at each look, a row for each run."""
    more = np.diff([0, *sizes])
    return np.cumsum(rng.binomial(more, share, size=(runs, len(sizes))), axis=1)


def conversations(rng: Generator, count: int, size: int, rho: float, share: float) -> NDArray[np.int64]:
    """Exceedances in each conversation, whose calls are tied by a Gaussian copula."""
    shared = rng.standard_normal((count, 1))
    own = rng.standard_normal((count, size))
    latent = math.sqrt(rho) * shared + math.sqrt(1 - rho) * own
    above: NDArray[np.int64] = (latent > norm.isf(share)).sum(axis=1)
    return above


@dataclass(frozen=True)
class Arrivals:
    """Times of both arms in the order of their arrival, and how many of each had been seen by each look."""

    candidate: NDArray[np.float64]
    control: NDArray[np.float64]
    seen: Sequence[tuple[int, int]]


def costs(rng: Generator, n: int, mean: float, sigma: float) -> NDArray[np.float64]:
    """Lognormal costs in nano-dollars."""
    return rng.lognormal(math.log(mean * 1e7) - sigma**2 / 2, sigma, n).astype(np.int64)


def dear_costs(rng: Generator, n: int, mean: float, share: float, times: float) -> NDArray[np.int64]:
    """Costs in nano-dollars of which that share is so many times the mean 1, the rest alike, and the mean as stated."""
    usual = costs(rng, n, (mean - share * times) / (1 - share), 0.3)
    return np.where(rng.random(n) < share, int(times * 1e7), usual)


def sums_of(values: NDArray[np.int64], size: int = 1) -> Sums:
    """The sums over conversations of `size` calls each, or over single calls."""
    totals = values.reshape(-1, size).sum(axis=1)
    clusters = totals.size
    total = int(totals.sum())
    return Sums(
        clusters=clusters,
        size=size * clusters,
        size_squared=size * size * clusters,
        total=total,
        cross=size * total,
        total_squared=int((totals.astype(object) ** 2).sum()) if clusters else 0,
    )
