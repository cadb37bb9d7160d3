"""One acceptance criterion: what is measured, the limit it must keep, and the measurement that limit refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Context, Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from dispatcher.document.notation import Contradictions, Date, Name, Positive, Strict, as_tuple, plain

_PERCENTILE = re.compile(r"p([1-9][0-9]?)")
_EXACT = Context(prec=100)  # two factors of at most 15 + 30 digits: nothing is rounded


class Severity(StrEnum):
    """What a criterion does to the verdict."""

    GATE = "gate"
    """It must pass for SHIP, and its failure is a ROLLBACK."""
    GUARD = "guard"
    """It needn't pass, but evidence against it, or too little data to look, blocks SHIP."""
    INFO = "info"
    """It is shown and changes nothing."""


class Measure(StrEnum):
    """A named quantity that can be computed from the log; closed."""

    RESPONSE_TIME_MS = "response_time_ms"
    """The caller's wall time of a dispatch, in milliseconds; a failure exceeds every limit."""
    COST = "cost"
    """The cost of a dispatch, all its attempts, in US dollars."""
    OUTPUT_VALID = "output_valid"
    """Whether the dispatch ended with a valid report; as a rate, in [0, 1]."""

    @property
    def unit(self) -> str:
        """The unit that limits and baselines of this measure are written in."""
        return {"response_time_ms": "ms", "cost": "USD"}.get(self.value, "")

    @property
    def lower_is_better(self) -> bool:
        """Whether a limit is an upper one (`at_most`)."""
        return self is not Measure.OUTPUT_VALID

    def allows(self, aggregate: str) -> bool:
        """Whether the aggregate means something: a time is a percentile (a failure has no finite time, so there is no
        mean), a cost is a mean, validity is a rate.
        """
        if self is Measure.RESPONSE_TIME_MS:
            return _PERCENTILE.fullmatch(aggregate) is not None
        return aggregate == ("mean" if self is Measure.COST else "rate")


class Bound(Strict):
    """A limit in exactly one of three forms: a multiple of the baseline's value, a multiple of the control in the same
    weeks, or a number in the measure's unit.
    """

    times_baseline: Positive | None = None
    times_control: Positive | None = None
    value: Positive | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Bound:
        if len([number for _, number in self if number is not None]) != 1:
            raise ValueError("state exactly one of times_baseline, times_control and value")
        return self

    @property
    def form(self) -> str:
        """The name of the form that is stated."""
        return next(name for name, number in self if number is not None)

    @property
    def number(self) -> Decimal:
        """The multiplier, or the value itself."""
        number: Decimal = getattr(self, self.form)
        return number


class Source(StrEnum):
    """Where the value that a limit refers to was measured."""

    PRODUCTION_TELEMETRY = "production-telemetry"
    SPIKE = "spike"
    THEORETICAL = "theoretical"
    CONCURRENT_CONTROL = "concurrent-control"
    """Rows of the control in the same weeks; there is no number to state beforehand."""
    OWN_TARGET = "own-target"
    """A number that the record's authors chose."""


class Where(Strict):
    """The rows that the baseline was measured on; what isn't named was not filtered."""

    feature: Name
    status: Name | None = None
    tenant: Name | None = None


class Baseline(Strict):
    """The measured value that a criterion refers to, and how it was come by.

    `window` is [from, to], two days; `n` counts the rows; `value` is in the measure's unit. `published` marks a quoted
    figure: its rows aren't here, so it is a contract and is never run again. `treat_as: contract` means that the
    number itself is the limit's base, whatever its own uncertainty.
    """

    source: Annotated[Source, Field(strict=False)]
    published: bool = False
    where: Where | None = None
    window: Annotated[tuple[Date, Date], BeforeValidator(as_tuple)] | None = None
    n: Annotated[int, Field(gt=0)] | None = None
    value: Positive | None = None
    treat_as: Literal["contract", "sample"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Baseline:
        problems = list(self._problems())
        if problems:
            raise Contradictions(problems)
        return self

    def _problems(self) -> Iterator[str]:
        if self.window is not None and self.window[0] >= self.window[1]:
            yield f"window ends on {self.window[1]}, which is not after its start {self.window[0]}"
        if self.treat_as == "sample":
            yield (
                "treat_as: sample is not supported by this version, which can't read pinned order statistics; "
                "state treat_as: contract"
            )
        if self.treat_as == "contract" and self.value is None:
            yield "treat_as: contract makes the number itself the limit's base, so state value"
        if self.source in {Source.CONCURRENT_CONTROL, Source.OWN_TARGET}:
            stated = self.model_fields_set - {"source"}
            if stated:
                yield f"source {self.source} has no rows of the past, so it takes no {', '.join(sorted(stated))}"
        elif self.value is None:
            yield f"source {self.source} needs the value that was found"
        if self.source is Source.PRODUCTION_TELEMETRY:
            missing = [name for name in ("where", "window", "n") if getattr(self, name) is None]
            if missing:
                yield f"production telemetry is a figure from a query, so state its {', '.join(missing)}"


class Criterion(Strict):
    """One acceptance criterion. `says` is the sentence for people and states the same numbers.

    `aggregate` is `mean`, `rate` or a percentile `p1` … `p99`. Exactly one of `at_most` and `at_least` is stated.
    `expected` is where the authors expect the candidate to be.
    """

    id: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*(-[A-Za-z0-9]+)*$")]
    says: Annotated[str, Field(min_length=1)]
    severity: Annotated[Severity, Field(strict=False)]
    measure: Annotated[Measure, Field(strict=False)]
    aggregate: Annotated[str, Field(pattern=r"^(mean|rate|p[1-9][0-9]?)$")]
    at_most: Bound | None = None
    at_least: Bound | None = None
    expected: Bound | None = None
    baseline: Baseline | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Criterion:
        if (self.at_most is None) == (self.at_least is None):
            raise Contradictions(["state exactly one of at_most and at_least"])
        problems = [*self._measure_problems(), *self._baseline_problems(), *self._limit_problems()]
        if problems:
            raise Contradictions(problems)
        return self

    @property
    def bound(self) -> Bound:
        """The limit as it is stated."""
        bound = self.at_most or self.at_least
        assert bound is not None
        return bound

    @property
    def limit(self) -> Decimal | None:
        """The limit in the measure's unit, exactly; None where it is a multiple of a control yet to be measured."""
        return self._resolved(self.bound)

    @property
    def quantile(self) -> Decimal | None:
        """The percentile as a share, `p95` as 0.95; None for a mean or a rate."""
        match = _PERCENTILE.fullmatch(self.aggregate)
        return None if match is None else Decimal(match[1]) / 100

    def _resolved(self, bound: Bound) -> Decimal | None:
        if bound.times_baseline is not None and self.baseline is not None and self.baseline.value is not None:
            return Decimal(plain(_EXACT.multiply(bound.times_baseline, self.baseline.value)))
        return bound.value

    def _measure_problems(self) -> Iterator[str]:
        if not self.measure.allows(self.aggregate):
            yield f"{self.aggregate} of {self.measure} is not a measurable quantity"
        if self.measure.lower_is_better != (self.at_most is not None):
            right = "at_most" if self.measure.lower_is_better else "at_least"
            yield f"the limit of {self.measure} is stated with {right}"

    def _baseline_problems(self) -> Iterator[str]:
        form, baseline = self.bound.form, self.baseline
        if baseline is None:
            if form != "value":
                yield f"{form} is a multiple of something measured: name its baseline, and its source"
            return
        concurrent = baseline.source is Source.CONCURRENT_CONTROL
        if (form == "times_control") != concurrent:
            yield f"times_control and source concurrent-control belong together; here {form} has {baseline.source}"
        if form == "times_baseline" and baseline.source is Source.OWN_TARGET:
            yield "an own target is a number, not a multiple: state it as value"
        if form == "value" and not concurrent and baseline.value is not None:
            yield "value is a number of its own, so a baseline value beside it would be ignored: state times_baseline"
        if self.quantile is not None and form == "times_baseline" and baseline.n is None:
            yield f"a {self.aggregate} is only as good as its sample: state the baseline's n"

    def _limit_problems(self) -> Iterator[str]:
        limit = self.limit
        if self.aggregate == "rate" and limit is not None and limit >= 1:
            yield f"a rate of at least {plain(limit)} can never be shown: state a limit below 1"
        if self.expected is None:
            return
        reached, allowed = self._resolved(self.expected), limit
        if self.expected.form == self.bound.form:
            reached, allowed = self.expected.number, self.bound.number
        if reached is None or allowed is None:
            return
        if reached > allowed if self.measure.lower_is_better else reached < allowed:
            yield "expected lies on the failing side of the limit"
