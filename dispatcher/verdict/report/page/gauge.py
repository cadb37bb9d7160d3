"""The figures of both arms and the limit as places on one line; the legend above it says the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from dispatcher.verdict.judgement.finding import Figures, Finding
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.report.amounts import in_unit
from dispatcher.verdict.report.page import plot
from dispatcher.verdict.report.page.element import element
from dispatcher.verdict.report.page.scale import Scale

_WIDTH, _HEIGHT, _LINE = 560, 36, 18


def gauge(finding: Finding) -> Element | None:
    """Where the candidate, the control and the limit lie; None where neither arm has a figure."""
    figures = {arm: shown(finding)[arm].figure for arm in (Arm.CONTROL, Arm.CANDIDATE)}
    known = [float(figure) for figure in figures.values() if figure is not None]
    if not known:
        return None
    x = _scale(finding, known)
    drawn = [element("line", class_="axis", x1=x.start, x2=x.end, y1=_LINE, y2=_LINE), *_limit(finding, x)]
    drawn += [
        plot.dot(x(float(figure)), _LINE, arm.value, in_unit(finding.criterion, figure), radius=7)
        for arm, figure in figures.items()
        if figure is not None
    ]
    return plot.drawing(f"{finding.criterion.id}: the figures beside the limit", *drawn, width=_WIDTH, height=_HEIGHT)


def shown(finding: Finding) -> Mapping[Arm, Figures]:
    """What the looks took in, which is what counts; while they took nothing of an arm, everything up to the moment."""
    missing = any(figures.n and not finding.entered[arm].n for arm, figures in finding.preview.items())
    return finding.preview if missing else finding.entered


def _scale(finding: Finding, known: list[float]) -> Scale:
    limits = [] if finding.limit is None else [float(finding.limit)]
    if finding.criterion.aggregate == "rate":
        # What matters is how far from certain it is.
        low = min([*known, *(1 - 3 * (1 - limit) for limit in limits)])
        return Scale(max(0.0, low), 1.0, 8, _WIDTH - 8)
    return Scale(0, max([*known, *limits]) * 1.15 or 1.0, 8, _WIDTH - 8)


def _limit(finding: Finding, x: Scale) -> list[Element]:
    if finding.limit is None:
        return []
    at = x(float(finding.limit))
    ends = (at, x.end) if finding.criterion.at_most else (x.start, at)
    return [
        element("line", class_="forbidden", x1=ends[0], x2=ends[1], y1=_LINE, y2=_LINE),
        element("line", class_="limit", x1=at, x2=at, y1=_LINE - 12, y2=_LINE + 12),
    ]
