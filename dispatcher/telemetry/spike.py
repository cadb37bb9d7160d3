"""A spike held against production: every ratio with its denominator named, and every limit with its baseline. Pure.

A single run can illustrate and never judge, so a smoke is *indicative* whatever its ratio. A limit that every published
run passes, the spike's own included, is *vacuous*: it forbids nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from dispatcher.adr.criterion import Criterion, Measure
from dispatcher.adr.document import Record
from dispatcher.errors import InvalidRecord
from dispatcher.telemetry.published import Production, Published, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A named wall time in milliseconds that others are divided by, or that a limit is a multiple of."""

    name: str
    value_ms: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A run's wall time over a denominator."""

    run: str
    value_ms: int
    denominator: Baseline

    @property
    def value(self) -> Fraction:
        """The exact quotient."""
        return self.value_ms / self.denominator.value_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What the criterion's words mean under one baseline; `in_force` marks the one that the record itself names."""

    baseline: Baseline
    limit_ms: Fraction
    vacuous: bool
    in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a run took an iteration, and how many such iterations fit into the limit in force."""

    run: str
    iterations: int
    ms_per_iteration: Fraction
    iterations_within_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeComparison:
    """The published runs of a record against its latency criterion: at most `multiple` times current's `aggregate`."""

    record: str
    criterion: str
    aggregate: str
    multiple: Decimal
    production: Production
    runs: tuple[Run, ...]
    ratios: tuple[Ratio, ...]
    limits: tuple[Limit, ...]
    paces: tuple[Pace, ...]


def compare(published: Published, record: Record) -> SpikeComparison:
    """Hold the published runs against production and against the record's latency criterion.

    Raises InvalidRecord where the record has no criterion on the response time that is a multiple of a published
    figure.
    """
    criterion, multiple, current = _latency_criterion(record)
    production = _production_bases(published, criterion.aggregate)
    limits = tuple(
        _limit(base, multiple, published.runs, in_force=base.value_ms == Fraction(current))
        for base in (*production, *_spike_bases(published))
    )
    named = [Baseline(name=f"limit of {criterion.id}", value_ms=limit.limit_ms) for limit in limits if limit.in_force]
    if not named:
        problem = f"{criterion.id} is a multiple of {current:f} ms, which is not among the published figures"
        raise InvalidRecord(record.id, [problem])
    in_force = named[0]
    return SpikeComparison(
        record=published.record,
        criterion=criterion.id,
        aggregate=criterion.aggregate,
        multiple=multiple,
        production=published.production,
        runs=published.runs,
        ratios=tuple(
            Ratio(run=run.label, value_ms=run.response_time_ms, denominator=denominator)
            for run in published.runs
            for denominator in (*production, in_force)
        ),
        limits=limits,
        paces=tuple(_pace(run, run.iterations, in_force) for run in published.runs if run.iterations is not None),
    )


def _latency_criterion(record: Record) -> tuple[Criterion, Decimal, Decimal]:
    for criterion in record.acceptance.criteria if record.acceptance else ():
        multiple = criterion.bound.times_baseline
        current = None if criterion.baseline is None else criterion.baseline.value
        if criterion.measure is Measure.RESPONSE_TIME_MS and multiple is not None and current is not None:
            return criterion, multiple, current
    raise InvalidRecord(record.id, ["has no criterion that limits the response time to a multiple of a baseline"])


def _production_bases(published: Published, aggregate: str) -> tuple[Baseline, ...]:
    stated = dict(published.production.response_time_ms)
    names = [name for name in dict.fromkeys((aggregate, "p50")) if name in stated]
    return tuple(Baseline(name=f"production {name}", value_ms=Fraction(stated[name])) for name in names)


def _spike_bases(published: Published) -> tuple[Baseline, ...]:
    return tuple(
        Baseline(name=run.label, value_ms=Fraction(run.response_time_ms))
        for run in published.runs
        if run.kind == "spike" and run.path is published.production.path
    )


def _limit(baseline: Baseline, multiple: Decimal, runs: tuple[Run, ...], *, in_force: bool) -> Limit:
    limit = Fraction(multiple) * baseline.value_ms
    return Limit(
        baseline=baseline,
        limit_ms=limit,
        vacuous=all(run.response_time_ms <= limit for run in runs),
        in_force=in_force,
    )


def _pace(run: Run, iterations: int, limit: Baseline) -> Pace:
    each = Fraction(run.response_time_ms, iterations)
    return Pace(
        run=run.label,
        iterations=iterations,
        ms_per_iteration=each,
        iterations_within_limit=limit.value_ms // each,
    )
