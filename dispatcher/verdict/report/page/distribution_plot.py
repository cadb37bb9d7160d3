"""How the values of both arms are distributed, with the limit and the baseline drawn in."""

from __future__ import annotations

import itertools
from fractions import Fraction
from xml.etree.ElementTree import Element

from dispatcher.adr.criterion import Measure
from dispatcher.document.notation import plain
from dispatcher.verdict.judgement.finding import Finding
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measured import Arm, Distribution
from dispatcher.verdict.report.page import plot
from dispatcher.verdict.report.page.plot import Mark, Point
from dispatcher.verdict.report.page.scale import Scale, round_marks

_BEYOND = Fraction(13, 10)
"""The plot reaches at least so many times as far as the limit."""
_MOST_STEPS = 400
"""A finer line couldn't be told from this one."""


def distribution_plot(finding: Finding, verdict: Verdict) -> Element | None:
    """Cumulative shares of both arms' values, failures never reached; None where no value is known.

    A pinned sample that the criterion refers to is a third line.
    """
    criterion, measured = finding.criterion, verdict.measurement
    if criterion.quantile is None:
        return None
    lines = {
        arm.value: measured.times(arm, entered_only=False, measure=criterion.measure)
        for arm in (Arm.CONTROL, Arm.CANDIDATE)
    }
    grid = measured.grids.get(criterion.id)
    if grid is not None and grid.sample is not None:
        lines["baseline"] = grid.sample
    known = [value for values in lines.values() for value in values.successes]
    if not known:
        return None
    ends = [max(known), *([int(finding.limit * _BEYOND)] if finding.limit is not None else [])]
    x, y = plot.horizontal(0, max(1, *ends)), plot.vertical(0, 1)
    up = [Mark(share / 100, f"{share} %") for share in (0, 25, 50, 75, 100)]
    drawn = plot.axes(x, y, _marks(x, criterion.measure), up, _caption(criterion.measure))
    level = y(float(criterion.quantile))
    drawn.append(plot.across(level, "needed", "")[0])
    drawn.append(plot.words(f"{plain(100 * criterion.quantile)} %", plot.LEFT + 4, level + 13, "needed words"))
    drawn += [plot.line(_steps(values, x, y), class_) for class_, values in lines.items() if values.n]
    drawn += _uprights(finding, x)
    return plot.drawing(f"{criterion.id}: share of the dispatches that stay at or below a value", *drawn)


def _uprights(finding: Finding, x: Scale) -> list[Element]:
    drawn = []
    baseline, measure = finding.criterion.baseline, finding.criterion.measure
    if baseline is not None and baseline.value is not None:
        value = float(baseline.value)
        drawn += plot.upright(x(value), "baseline", f"baseline {_shown(value, measure)}", on_left=True)
    if finding.limit is not None:
        value = float(finding.limit)
        drawn += plot.upright(x(value), "limit", f"limit {_shown(value, measure)}", on_left=False)
    return drawn


def _shown(value: float, measure: Measure) -> str:
    return f"{value / 1000:.4g} s" if measure.is_duration else f"{value:.4g}"


def _caption(measure: Measure) -> str:
    return f"{measure.value.removesuffix('_ms')}, {'s' if measure.is_duration else measure.unit}".replace("_", " ")


def _marks(x: Scale, measure: Measure) -> list[Mark]:
    scale = 1000 if measure.is_duration else 1
    return [Mark(value * scale, f"{value:g}") for value in round_marks(0, x.high / scale, 5)]


def _steps(times: Distribution, x: Scale, y: Scale) -> list[Point]:
    """The corners of the line; of more than can be seen, evenly many ranks."""
    values = sorted(times.successes)
    so_far = list(itertools.accumulate(times.successes[value] for value in values))
    every = -(-len(values) // _MOST_STEPS)
    points = [(x(0), y(0))]
    for index, (value, count) in enumerate(zip(values, so_far, strict=True), start=1):
        if index % every and index != len(values):
            continue
        points += [(x(value), points[-1][1]), (x(value), y(count / times.n))]
    return [*points, (x.end, points[-1][1])]
