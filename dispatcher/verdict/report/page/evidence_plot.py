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
    ends = [0.0, to_pass, to_fail]
    ends += [_log10(value) for look in finding.looks for value in (look.log_e_pass, look.log_e_fail)]
    # Far beyond the line it makes no difference how far.
    high = min(max(ends) * 1.15, 3 * max(to_pass, to_fail))
    x, y = _weeks(finding), plot.vertical(max(min(ends), _FLOOR), high)
    drawn = plot.axes(x, y, _week_marks(finding), _power_marks(y), "weekly look")
    drawn += plot.across(y(to_pass), "needed", f"a pass needs {e_value(to_pass * _LN10)}", beneath=to_pass < to_fail)
    if to_fail != to_pass:
        drawn += plot.across(y(to_fail), "broken", f"a fail needs {e_value(to_fail * _LN10)}")
    for name, class_ in (("log_e_fail", "broken"), ("log_e_pass", "candidate")):
        places = [(x(week), y(_log10(getattr(look, name)))) for week, look in _numbered(finding)]
        drawn.append(plot.line([(x(0), y(0)), *places], class_))
        drawn += [
            plot.dot(*place, class_, _said(week, look))
            for place, (week, look) in zip(places, _numbered(finding), strict=True)
        ]
    return plot.drawing(f"{finding.criterion.id}: evidence for and against the claim at each weekly look", *drawn)


def _differences(finding: Finding, looks: list[Look]) -> Element:
    half = [look.half_width_fail or 0.0 for look in looks] + [look.half_width_pass or 0.0 for look in looks]
    middle = [look.difference or 0.0 for look in looks]
    reach = max(abs(each) + width for each, width in zip(middle * 2, half, strict=True)) * 1.1
    x, y = _weeks(finding), plot.vertical(-reach, reach)
    up = [Mark(value, f"{value:+.3g}") for value in round_marks(-reach, reach)]
    drawn = plot.axes(x, y, _week_marks(finding), up, "weekly look")
    drawn += plot.across(y(0), "needed", f"the limit, difference in {finding.criterion.measure.unit} a dispatch")
    for week, look in _numbered(finding):
        if look.half_width_pass is None or look.difference is None:
            continue
        low, high = look.difference - look.half_width_pass, look.difference + look.half_width_pass
        middle_low_high = (difference_in_unit(finding.criterion, each) for each in (look.difference, low, high))
        said = "look {}, {}: {}, {} to {}".format(week, minute(look.at), *middle_low_high)
        drawn.append(plot.line([(x(week), y(low)), (x(week), y(high))], "candidate"))
        drawn.append(plot.dot(x(week), y(look.difference), "candidate", said))
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
