"""How the evidence on a criterion grew, look by look, with the line that it must reach."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from dispatcher.verdict.judgement.finding import Finding, Look
from dispatcher.verdict.measures import counts_exceedances
from dispatcher.verdict.report.amounts import difference_in_unit, e_value, many, minute
from dispatcher.verdict.report.page import plot
from dispatcher.verdict.report.page.plot import Mark
from dispatcher.verdict.report.page.scale import Scale, round_marks

_LN10 = math.log(10)
_FLOOR = -4.0
"""Evidence below 1 : 10 000 is drawn there."""
_MARKS_ALONG = 8


def evidence_plot(finding: Finding) -> Element | None:
    """The plot of a finding; None before its first look."""
    if not finding.looks:
        return None
    if counts_exceedances(finding.criterion):
        return _processes(finding)
    differences = [look for look in finding.looks if look.half_width_pass is not None]
    return _differences(finding, differences) if differences else None


def _processes(finding: Finding) -> Element:
    to_pass, to_fail = -math.log10(finding.levels.to_pass), -math.log10(finding.levels.to_fail)
    ends = [0.0, to_pass, to_fail, *_evidence(finding)]
    x, y = _weeks(finding), plot.vertical(max(min(ends), _FLOOR), min(max(ends) * 1.15, _ceiling(finding)))
    curves = {
        class_: [(x(0), y(0)), *((x(week), y(_log10(getattr(look, name)))) for week, look in _numbered(finding))]
        for name, class_ in (("log_e_fail", "broken"), ("log_e_pass", "candidate"))
    }
    drawn = plot.axes(x, y, _week_marks(finding), _power_marks(y), "weekly look")
    told, clear_of = f"a pass needs {e_value(to_pass * _LN10)}", [*curves.values()]
    drawn += plot.across(y(to_pass), "needed", told, beneath=to_pass < to_fail, clear_of=clear_of)
    if to_fail != to_pass:
        drawn += plot.across(y(to_fail), "broken", f"a fail needs {e_value(to_fail * _LN10)}", clear_of=clear_of)
    for class_, places in curves.items():
        drawn.append(plot.line(places, class_))
        drawn += [
            plot.dot(*place, class_, _said(week, look))
            for place, (week, look) in zip(places[1:], _numbered(finding), strict=True)
        ]
    return plot.drawing(f"{finding.criterion.id}: evidence for and against the claim at each weekly look", *drawn)


def cut_at(finding: Finding) -> str | None:
    """The evidence beyond which it isn't drawn how far it goes; None where none goes there."""
    if not finding.looks or not counts_exceedances(finding.criterion):
        return None
    ceiling = _ceiling(finding)
    return _power(round(ceiling)) if max(_evidence(finding)) > ceiling else None


def _evidence(finding: Finding) -> list[float]:
    return [_log10(value) for look in finding.looks for value in (look.log_e_pass, look.log_e_fail)]


def _ceiling(finding: Finding) -> float:
    """Far beyond the lines it makes no difference how far."""
    return float(math.ceil(3 * max(-math.log10(finding.levels.to_pass), -math.log10(finding.levels.to_fail))))


def _differences(finding: Finding, looks: list[Look]) -> Element:
    reached = [(look.difference or 0.0) + sign * (look.half_width_pass or 0.0) for look in looks for sign in (-1, 1)]
    low, high = min(0.0, *reached), max(0.0, *reached)
    room = (high - low) / 8
    x, y = _weeks(finding), plot.vertical(low - room, high + room)
    up = [Mark(value, f"{value:+.3g}" if value else "0") for value in round_marks(low, high)]
    drawn = plot.axes(x, y, _week_marks(finding), up, "weekly look")
    bars, dots = [], []
    for week, look in _numbered(finding):
        if look.half_width_pass is None or look.difference is None:
            continue
        low, high = look.difference - look.half_width_pass, look.difference + look.half_width_pass
        middle_low_high = (difference_in_unit(finding.criterion, each) for each in (look.difference, low, high))
        said = "look {}, {}: {}, {} to {}".format(week, minute(look.at), *middle_low_high)
        bars.append([(x(week), y(low)), (x(week), y(high))])
        dots.append(plot.dot(x(week), y(look.difference), "candidate", said))
    told = f"the limit, difference in {finding.criterion.measure.unit} a dispatch"
    drawn += plot.across(y(0), "needed", told, clear_of=bars)
    drawn += [each for bar, dot in zip(bars, dots, strict=True) for each in (plot.line(bar, "candidate"), dot)]
    label = f"{finding.criterion.id}: difference to the limit at each weekly look, with its confidence sequence"
    return plot.drawing(label, *drawn)


def _numbered(finding: Finding) -> list[tuple[int, Look]]:
    return list(enumerate(finding.looks, start=1))


def _weeks(finding: Finding) -> Scale:
    return plot.horizontal(0, max(4, len(finding.looks)))


def _week_marks(finding: Finding) -> list[Mark]:
    last = max(4, len(finding.looks))
    step = -(-last // _MARKS_ALONG)
    return [Mark(week, str(week)) for week in range(0, last + 1, step)]


def _power_marks(y: Scale) -> list[Mark]:
    step = max(1, round((y.high - y.low) / 5))
    first = math.ceil(y.low / step) * step
    return [Mark(power, _power(power)) for power in range(first, math.floor(y.high) + 1, step)]


def _power(power: int) -> str:
    if abs(power) <= 3:  # noqa: PLR2004 - up to a thousand it is easier to read in full
        return f"{10.0**power:g}"
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _log10(natural: float | None) -> float:
    """A look without evidence stands where all of them begin."""
    if natural is None:
        return 0.0
    return _FLOOR if natural == -math.inf else natural / _LN10


def _said(week: int, look: Look) -> str:
    k = "" if look.k is None else f", k {look.k}"
    evidence = "no evidence yet"
    if look.log_e_pass is not None and look.log_e_fail is not None:
        evidence = f"for {e_value(look.log_e_pass)}, against {e_value(look.log_e_fail)}"
    return f"look {week}, {minute(look.at)}: n {look.n}{k}, {many(look.clusters, 'conversation')}; {evidence}"
