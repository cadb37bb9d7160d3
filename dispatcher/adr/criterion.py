"""One acceptance criterion: what is measured, the limit it must keep, and the measurement that limit refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Context, Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from dispatcher.adr.baseline import Baseline, Source
from dispatcher.adr.measure import Measure
from dispatcher.document.notation import Contradictions, Positive, Strict, Text, plain

__all__ = ["Baseline", "Bound", "Criterion", "Measure", "Severity", "Source"]

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


class Criterion(Strict):
    """One acceptance criterion. `says` is the sentence for people and states the same numbers.

    `aggregate` is `mean`, `rate` or a percentile `p1` … `p99`. Exactly one of `at_most` and `at_least` is stated.
    `expected` is where the authors expect the candidate to be.
    """

    id: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*(-[A-Za-z0-9]+)*$")]
    says: Text
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
                measured = "production-telemetry, spike or theoretical"
                known = measured if form == "times_baseline" else "concurrent-control"
                yield f"{form} is a multiple of something measured: name its baseline, and its source: {known}"
            return
        concurrent = baseline.source is Source.CONCURRENT_CONTROL
        if (form == "times_control") != concurrent:
            yield f"times_control and source concurrent-control belong together; here {form} has {baseline.source}"
        if form == "times_baseline" and baseline.source is Source.OWN_TARGET:
            yield "an own target is a number, not a multiple: state it as value"
        if baseline.treat_as == "sample" and (self.quantile is None or form != "times_baseline"):
            yield "treat_as: sample goes with a multiple of a percentile, whose order statistics carry the uncertainty"
        if form == "value" and not concurrent and baseline.value is not None:
            yield "value is a number of its own, so a baseline value beside it would be ignored: state times_baseline"
        if self.quantile is not None and form == "times_baseline" and baseline.n is None and not baseline.awaits_pin:
            yield f"a {self.aggregate} is only as good as its sample: state the baseline's n"

    def _limit_problems(self) -> Iterator[str]:
        limit = self.limit
        if self.aggregate == "rate" and limit is not None and limit >= 1:
            if self.at_least is not None:
                yield f"a rate of at least {plain(limit)} can never be shown: state a limit below 1"
            else:
                yield f"a rate of at most {plain(limit)} is kept by everything: state a limit below 1"
        if self.expected is None:
            return
        reached, allowed = self._resolved(self.expected), limit
        if self.expected.form == self.bound.form:
            reached, allowed = self.expected.number, self.bound.number
        if reached is None or allowed is None:
            return
        if reached > allowed if self.measure.lower_is_better else reached < allowed:
            yield "expected lies on the failing side of the limit"
