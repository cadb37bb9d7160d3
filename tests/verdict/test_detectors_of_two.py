"""Detectors of limits that nobody knows: below the sum over all beginnings at whatever is true, and rarely alarmed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from dispatcher.verdict.evidence.contrast import Contrast, Stratum, contrast
from dispatcher.verdict.evidence.e_process import MEAN_LOOKS_TO_ALARM, log_e_fail, log_e_pass
from dispatcher.verdict.evidence.grid import NEVER, GridCounts, GridRow, Side, bucket_of, grid_rows, tail_of_sample
from dispatcher.verdict.evidence.grid_detector import log_grid_detectors
from dispatcher.verdict.evidence.rates import Beside
from dispatcher.verdict.judgement.figures import Strata
from dispatcher.verdict.judgement.mean_detector import log_mean_detectors
from dispatcher.verdict.measured import Arm, Distribution
from dispatcher.verdict.sums import Sums

P0 = 0.05
ALARM = math.log(MEAN_LOOKS_TO_ALARM)
LOOKS = range(1, 7)
Clusters = dict[tuple[int, int], int]


def worse(share: float) -> float:
    return share + 0.02


def above(values: list[int], threshold: int) -> Clusters:
    k = sum(value > threshold for value in values)
    return {(1, 0): len(values) - k, (1, 1): k}


def added(looks: list[Clusters]) -> Clusters:
    return {key: sum(each.get(key, 0) for each in looks) for key in ((1, 0), (1, 1))}


def log_sum(terms: list[float]) -> float:
    return math.log(sum(map(math.exp, terms)))


def drawn(rng: np.random.Generator, factor: float, count: int = 30) -> list[list[int]]:
    return [[int(value) for value in factor * 20_698 * rng.weibull(3.616, count)] for _ in LOOKS]


def counts(arms: dict[Arm, list[list[int]]], sample: Distribution | None = None) -> GridCounts:
    rows: list[GridRow] = []
    for arm, looks in arms.items():
        for number, values in zip(LOOKS, looks, strict=True):
            rows += grid_rows(number, arm, Side.FAIL, [[bucket_of(value)] for value in values])
    return GridCounts(tuple(rows), sample)


@pytest.mark.parametrize("threshold", [NEVER + 1, 12_000, 20_000, 25_000, 27_500, 31_000, 60_000])
def test_beside_a_control_it_is_below_the_sum_over_all_beginnings_at_every_threshold(threshold: int) -> None:
    rng = np.random.default_rng(5)
    candidate, control = drawn(rng, 1.4), drawn(rng, 1.0)
    said = list(log_grid_detectors(counts({Arm.CANDIDATE: candidate, Arm.CONTROL: control}), P0, LOOKS))
    threshold = bucket_of(threshold)

    for look in LOOKS:
        terms = [
            log_e_fail(added([above(each, threshold) for each in candidate[begun:look]]), P0)
            + log_e_pass(added([above(each, threshold) for each in control[begun:look]]), P0)
            for begun in range(look)
        ]
        assert said[look - 1] <= log_sum(terms) + 0.02  # a value is known by its bucket


@pytest.mark.parametrize("threshold", [12_000, 25_000, 31_000, 10**9])
def test_beside_a_sample_the_samples_own_evidence_is_a_factor_at_every_threshold(threshold: int) -> None:
    rng = np.random.default_rng(6)
    candidate = drawn(rng, 1.4)
    sample = Distribution({18_000 + 90 * n: 1 for n in range(150)})
    said = list(log_grid_detectors(counts({Arm.CANDIDATE: candidate}, sample), P0, LOOKS))
    known = log_e_pass(tail_of_sample(sample, Side.FAIL).above(bucket_of(threshold)), P0)

    for look in LOOKS:
        terms = [
            log_e_fail(added([above(each, threshold) for each in candidate[begun:look]]), P0) for begun in range(look)
        ]
        assert said[look - 1] <= log_sum(terms) + known + 0.02


@pytest.mark.parametrize("share", [0.005, 0.04, 0.11, 0.3])
def test_of_rates_it_is_below_the_sum_over_all_beginnings_at_every_share(share: float) -> None:
    rng = np.random.default_rng(7)
    one, other = ([{(1, 0): 40 - int(k), (1, 1): int(k)} for k in rng.binomial(40, p, 6)] for p in (0.2, 0.1))
    said = list(Beside(one, other, worse).log_detectors())

    for look in LOOKS:
        terms = [
            log_e_fail(added(one[begun:look]), worse(share)) + log_e_pass(added(other[begun:look]), share)
            for begun in range(look)
        ]
        assert said[look - 1] <= log_sum(terms) + 0.3  # the bets of a cell are those of its edges


def test_a_means_evidence_is_what_its_interval_is_a_bound_of() -> None:
    """Where the half-width at alpha is the difference itself, the evidence at that tuning is 1/alpha or little more."""
    for alpha in (0.05, 0.001, 1 / MEAN_LOOKS_TO_ALARM):
        one = Contrast(1.0, 0.4, 180)
        at_the_edge = Contrast(one.half_width(alpha, 200), 0.4, 180)

        assert -math.log(alpha) <= at_the_edge.log_e_above(alpha, 200) <= -math.log(alpha) + 0.1


@pytest.mark.parametrize("clusters", [60, 400, 9000])
def test_at_the_limit_a_means_evidence_is_1_on_average_and_far_below_it_still_a_number(clusters: int) -> None:
    """The mean over what a difference may come to, by its limit law, is that of a martingale."""
    places = np.linspace(-150, 150, 12_001)
    logs = np.array([Contrast(float(z), 1.0, clusters).log_e_above(0.002, 400) - z**2 / 2 for z in places])

    assert float(np.trapezoid(np.exp(logs), places)) / math.sqrt(2 * math.pi) == pytest.approx(1, abs=1e-3)
    near, far = (Contrast(z, 1.0, clusters).log_e_above(0.002, 400) for z in (-40.0, -400.0))
    assert -20 < far < near < 0


def test_a_mean_at_its_limit_alarms_as_rarely_as_it_is_said_to() -> None:
    """Once in 520 looks on average, or later: in 40 looks at the limit 8 runs in 100 at most."""
    rng, looks, runs = np.random.default_rng(8), 40, 60
    alarms = 0
    for _ in range(runs):
        arms = [[{("t", None): sums(rng.lognormal(-0.18, 0.6, 40))} for _ in range(2)] for _ in range(looks)]
        said = log_mean_detectors(arms, at_least_fifty, 400)
        alarms += any(each is not None and each >= ALARM for each in said)

    assert alarms <= 5


def test_without_enough_for_an_interval_a_mean_has_no_detector() -> None:
    arms = [[{("t", None): Sums(10, 10, 10, 100, 100, 1010)} for _ in range(2)]]

    assert list(log_mean_detectors(arms, at_least_fifty, 400)) == [None]


def sums(values: NDArray[np.float64]) -> Sums:
    whole = [int(1e6 * value) for value in values]
    return Sums(len(whole), len(whole), len(whole), sum(whole), sum(whole), sum(each**2 for each in whole))


def at_least_fifty(seen: Sequence[Strata]) -> Contrast | None:
    candidate, control = (arm["t", None] for arm in seen)
    if min(candidate.clusters, control.clusters) < 50:
        return None
    return contrast([Stratum(Fraction(1), candidate, control)], ratio=Fraction(1))
