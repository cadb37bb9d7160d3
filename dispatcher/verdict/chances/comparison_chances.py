"""The chances of what is held against a sample, mostly the control's: by seeded simulation. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dispatcher.verdict.chances.assumed import FAILURES, SHAPE, SIGMA, stands_at
from dispatcher.verdict.chances.chance_model import Model
from dispatcher.verdict.chances.crossing import Chances
from dispatcher.verdict.chances.simulated import (
    RUNS,
    SEED,
    MeansCase,
    PercentilesCase,
    mean_chances,
    percentile_chances,
)
from dispatcher.verdict.chances.simulated_rates import RatesCase, rate_chances
from dispatcher.verdict.claims import allowed_beside
from dispatcher.verdict.evidence.contrast import FEWEST_CLUSTERS as FEWEST_OF_A_MEAN
from dispatcher.verdict.evidence.rates import EDGES
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS
from dispatcher.verdict.measured import Arm

if TYPE_CHECKING:
    from numpy.random import Generator

    from dispatcher.verdict.chances.simulated import Values

_RUNS_OF_PERCENTILES = 500
_RUNS_OF_RATES = 200
_EVERY = 4
"""Of the verdict's cells so many are taken together: the chances are at least these."""


@dataclass(frozen=True)
class MeanModel(Model):
    """A mean against the control's, or against a number."""

    method: str = f"{RUNS} simulated histories, seed {SEED}"

    @property
    def because(self) -> tuple[str, ...]:
        """As in `Model`."""
        spread = f"values are lognormal; their logarithms spread by {SIGMA:g}"
        stated = stands_at(self.criterion)
        where = "the candidate's mean is the control's" if stated is None else (
            f"the candidate's mean is {float(stated):.3g} × the limit, as the record expects"
        )  # fmt: skip
        return (where, spread, *super().because)

    def at(self, position: float, weeks: int) -> Chances:
        """As in `Model`."""
        return mean_chances(self._case(position, weeks))

    def naive(self, position: float, weeks: int) -> Chances:
        """The same of a weekly look at the two means themselves."""
        return mean_chances(replace(self._case(position, weeks), naive=True, fewest=2, to_fail=None))

    def _case(self, position: float, weeks: int) -> MeansCase:
        times = self.criterion.bound.times_control
        ratio = 0.0 if times is None else float(times)
        return MeansCase(
            candidate=self.sizes(Arm.CANDIDATE, weeks),
            control=None if times is None else self.sizes(Arm.CONTROL, weeks),
            mean=position * (ratio or 1.0),
            ratio=ratio,
            sigma=SIGMA,
            limit=1.0 if times is None else 0.0,
            to_pass=self.to_pass,
            to_fail=self.to_fail,
            t_star=self._t_star,
        )

    def earliest(self, weeks: int) -> int | None:
        """As in `Model`."""
        arms = [Arm.CANDIDATE] + ([Arm.CONTROL] if self.criterion.bound.times_control is not None else [])
        return self._first(arms, FEWEST_OF_A_MEAN, weeks)

    @property
    def _t_star(self) -> float:
        stated = self.block.looks.t_star
        if stated is not None:
            return float(stated)
        arms = [Arm.CANDIDATE] + ([Arm.CONTROL] if self.criterion.bound.times_control is not None else [])
        at_half = sum(self.sizes(arm, self.block.looks.max_weeks)[-1] for arm in arms) / 2
        return max(at_half, 1.0)


@dataclass(frozen=True)
class SampledModel(Model):
    """A percentile against another one that is only known by a sample: a concurrent control's, or pinned ranks."""

    method: str = f"{_RUNS_OF_PERCENTILES} simulated histories, seed {SEED}"
    longest: int = 104
    most: int = 20_000

    @property
    def because(self) -> tuple[str, ...]:
        """As in `Model`."""
        stated = stands_at(self.criterion)
        where = "the candidate is the control itself" if stated is None else (
            f"the candidate's {self.criterion.aggregate} is {float(stated):.3g} × the limit, as the record expects"
        )  # fmt: skip
        shape = f"both arms' values are a Weibull's of shape {SHAPE:g}, {100 * FAILURES:g} % of the candidate's fail"
        return (where, shape, *super().because)

    def at(self, position: float, weeks: int) -> Chances:
        """As in `Model`; no failures at the limit itself, which would lie beyond it."""
        quantile, baseline = self.criterion.quantile, self.criterion.baseline
        assert quantile is not None
        assert baseline is not None
        pinned = self.criterion.bound.times_control is None
        control = (baseline.n or 0,) * weeks if pinned else self.sizes(Arm.CONTROL, weeks)
        ratio = float(self.criterion.bound.number)
        case = PercentilesCase(
            candidate=self.sizes(Arm.CANDIDATE, weeks),
            control=control,
            sample=_weibull,
            times=position * ratio,
            ratio=ratio,
            p0=float(1 - quantile),
            failures=0.0 if position == 1 else FAILURES,
            to_pass=self.to_pass,
            to_fail=self.to_fail,
            fewest=FEWEST_CLUSTERS,
        )
        return percentile_chances(case, _RUNS_OF_PERCENTILES)

    def earliest(self, weeks: int) -> int | None:
        """As in `Model`; the first look with enough clusters of the candidate."""
        return self._first([Arm.CANDIDATE], FEWEST_CLUSTERS, weeks)


@dataclass(frozen=True)
class RatesModel(Model):
    """A rate against the control's in the same weeks."""

    method: str = f"{_RUNS_OF_RATES} simulated histories, seed {SEED}"
    longest: int = 104
    most: int = 20_000

    @property
    def because(self) -> tuple[str, ...]:
        """As in `Model`."""
        return (f"{100 * FAILURES:g} % of the control's dispatches are on the wrong side", *super().because)

    def _expected_position(self) -> float:
        """Of a rate the position is that of the bad share; expected is that of the control itself."""
        allowed = allowed_beside(self.criterion)(FAILURES)
        return FAILURES / allowed if allowed > 0 else 1.0

    def control(self, weeks: int) -> Chances:
        """As in `Model`."""
        return self.at(self._expected_position(), weeks)

    def at(self, position: float, weeks: int) -> Chances:
        """As in `Model`; the position is that of the bad share."""
        allowed = allowed_beside(self.criterion)
        case = RatesCase(
            candidate=self.sizes(Arm.CANDIDATE, weeks),
            control=self.sizes(Arm.CONTROL, weeks),
            bad=(min(max(position * allowed(FAILURES), 0.0), 1.0), FAILURES),
            allowed=allowed,
            to_pass=self.to_pass,
            to_fail=self.to_fail,
            fewest=FEWEST_CLUSTERS,
            edges=EDGES[::_EVERY],
        )
        return rate_chances(case, _RUNS_OF_RATES)

    def earliest(self, weeks: int) -> int | None:
        """As in `Model`; the first look with enough clusters of the candidate."""
        return self._first([Arm.CANDIDATE], FEWEST_CLUSTERS, weeks)


def _weibull(rng: Generator, count: int) -> Values:
    return rng.weibull(SHAPE, count)
