"""A verdict as text, for a terminal and as Markdown alike."""

from __future__ import annotations

import datetime as dt
import math
import textwrap
from collections.abc import Iterator, Mapping
from fractions import Fraction

from dispatcher.adr.criterion import Baseline, Criterion, Measure
from dispatcher.audit.record import Origin
from dispatcher.verdict.finding import Figures, Finding, Look, Reason
from dispatcher.verdict.judge import Outcome, Verdict
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measures import counts_exceedances
from dispatcher.verdict.report import PERCENTILES, title_of
from dispatcher.verdict.wording import LEFT_OUT, REASONS

_WIDTH = 100
_DECISIONS = {
    Outcome.SHIP: "Every gate has shown that its limit is kept, and no guard stands in the way.",
    Outcome.ROLLBACK: "A gate has shown that its limit is broken.",
    Outcome.HOLD: "Nothing is decided yet:",
    Outcome.INVALID: "These figures must not decide anything:",
}
# Wrong passes in per cent, at 36 and at 500 calls a month, where the limit is 1.5 times the p95 of a sample of so many
# calls and the candidate exactly 1.5 times slower than the truth behind it: simulated on times of Weibull form.
_CONTRACT_ERRORS = {36: (10.7, 21.1), 150: (6.7, 18.4), 1000: (3.4, 6.4)}


def as_text(verdict: Verdict) -> str:
    """The whole report: what is decided, why, each criterion with its evidence, and who was left out."""
    lines = [f"# {title_of(verdict)}", "", *_standing(verdict), "", _DECISIONS[verdict.outcome], ""]
    lines += [f"- {reason}: {REASONS[reason]}." for reason in verdict.reasons]
    lines += [""] if verdict.reasons else []
    for finding in verdict.findings:
        lines += [*_finding(finding, verdict), ""]
    lines += ["## Left out", "", *_left_out(verdict), "", f"Percentiles are {PERCENTILES}."]
    lines.append("Every figure carries its SQL in `dispatcher verdict --json`.")
    return "\n".join(map(_wrapped, lines)) + "\n"


def _wrapped(line: str) -> str:
    """A line as a paragraph of the width of a terminal; a heading stays one line."""
    if line.startswith("#"):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _standing(verdict: Verdict) -> Iterator[str]:
    rows = f"Rows of origin {verdict.origin.value}"
    if verdict.origin is not Origin.PRODUCTION:
        rows += ", not of production"
    yield f"{rows}, as of {_minute(verdict.as_of)}."
    if verdict.epoch is None:
        yield "Not registered."
        return
    looks = verdict.looks
    following = "none follows" if looks.at_horizon else f"the next is on {_minute(looks.at(looks.done + 1))}"
    yield (
        f"Evidence counts from {_minute(verdict.epoch.start)} (epoch {verdict.epoch.number}); "
        f"{looks.done} of {looks.max_weeks} weekly looks so far, {following}."
    )


def _finding(finding: Finding, verdict: Verdict) -> Iterator[str]:
    criterion = finding.criterion
    why = f" ({', '.join(finding.reasons)})" if finding.reasons else ""
    yield f"## {criterion.id}, {criterion.severity.value}: {finding.state.value}{why}"
    yield ""
    yield f"{criterion.says}."
    yield ""
    yield f"- limit: {_limit(finding)}"
    entered = finding.entered[Arm.CANDIDATE]
    if finding.looks:
        yield f"- counted: {_arms(finding, finding.entered, verdict)}"
        if finding.limit is not None:
            yield f"- evidence: {_evidence(finding, finding.looks[-1])}"
    if finding.preview[Arm.CANDIDATE].n + finding.preview[Arm.CONTROL].n > entered.n + finding.entered[Arm.CONTROL].n:
        yield f"- preview, no evidence: {_arms(finding, finding.preview, verdict)}"
    if finding.tenants:
        yield f"- alarm for: {', '.join(finding.tenants)}"
    if finding.forecast is not None:
        yield f"- would decide: {_forecast(finding)}"
    note = _contract(criterion)
    if note:
        yield f"- {note}"


def _limit(finding: Finding) -> str:
    criterion, bound = finding.criterion, finding.criterion.bound
    side = "at most" if criterion.at_most else "at least"
    value = f"{side} {_figure(criterion, finding.limit)}" if finding.limit is not None else "not known yet"
    if bound.times_control is not None:
        return f"{value}, {bound.times_control:f} x the control's"
    if bound.times_baseline is None or criterion.baseline is None:
        return f"{value}, a number of the record's own"
    return f"{value}, {bound.times_baseline:f} x {_baseline(criterion, criterion.baseline)}"


def _baseline(criterion: Criterion, baseline: Baseline) -> str:
    assert baseline.value is not None
    parts = [_figure(criterion, Fraction(baseline.value)), f"({baseline.source.value}"]
    parts.append(f"n {baseline.n}" if baseline.n is not None else "n not stated")
    if baseline.window is not None:
        parts.append(f"{baseline.window[0]} to {baseline.window[1]}")
    return f"{parts[0]} {', '.join(parts[1:])}{', published' if baseline.published else ''})"


def _arms(finding: Finding, figures: Mapping[Arm, Figures], verdict: Verdict) -> str:
    names = {Arm.CANDIDATE: verdict.block.candidate.variant, Arm.CONTROL: verdict.block.control.variant}
    return "; ".join(f"{names[arm]} {_counted(finding.criterion, figures[arm])}" for arm in names)


def _counted(criterion: Criterion, figures: Figures) -> str:
    if not figures.n:
        return "none"
    name = "share" if criterion.aggregate == "rate" else criterion.aggregate
    value = _figure(criterion, figures.figure)
    if figures.figure is None and criterion.measure is Measure.RESPONSE_TIME_MS:
        value = "beyond every time, among the failures"
    text = f"{name} {value}, n {figures.n} in {_many(figures.clusters, 'conversation')}"
    if criterion.measure is Measure.RESPONSE_TIME_MS and figures.figure_successes != figures.figure:
        text += f", of successes alone {_figure(criterion, figures.figure_successes)}"
    if figures.k is not None:
        text += f", {figures.k} {'above the limit' if criterion.at_most else 'short of it'}"
    text += f", {_many(figures.failed, 'failure')}" if figures.failed else ""
    return text + (f", {figures.unknown} of unknown value" if figures.unknown else "")


def _evidence(finding: Finding, look: Look) -> str:
    levels = finding.levels
    if counts_exceedances(finding.criterion):
        assert look.log_e_pass is not None
        assert look.log_e_fail is not None
        return (
            f"for it {_e(look.log_e_pass)} of the {_e(-math.log(levels.to_pass))} that a pass needs, "
            f"against it {_e(look.log_e_fail)} of the {_e(-math.log(levels.to_fail))} that a fail needs"
        )
    if look.difference is None:
        return "none yet; a mean is looked at from 50 conversations in each arm whose costs differ"
    assert look.half_width_pass is not None
    assert look.half_width_fail is not None
    return (
        f"the difference to the limit is {_dollars(look.difference)}; a pass needs it at or below "
        f"{_dollars(-look.half_width_pass)}, a fail above {_dollars(look.half_width_fail)}"
    )


def _forecast(finding: Finding) -> str:
    assert finding.forecast is not None
    forecast, criterion = finding.forecast, finding.criterion
    what = f"{_many(forecast.more, 'more conversation')}"
    if not counts_exceedances(criterion):
        what += " in an arm, from where on it depends on how much the costs vary"
    elif criterion.at_most:
        what += f", no dispatch above {_figure(criterion, finding.limit)}"
    else:
        what += ", every dispatch with a valid report"
    when = f", about {_many(forecast.weeks, 'week')} at the record's traffic"
    if forecast.earliest is not None:
        return f"{what}{when}, so at the look of {_minute(forecast.earliest)} at the earliest"
    registered = Reason.NOT_REGISTERED not in finding.reasons
    return f"{what}{when}{', which is beyond its last look' if registered else ' once it is registered'}"


def _contract(criterion: Criterion) -> str | None:
    """What alpha is worth against the truth behind a contract's number."""
    n = criterion.baseline.n if criterion.baseline is not None else None
    if criterion.bound.times_baseline is None or criterion.quantile is None or n is None:
        return None
    known = [size for size in _CONTRACT_ERRORS if size <= n]
    size = max(known) if known else min(_CONTRACT_ERRORS)
    slow, busy = _CONTRACT_ERRORS[size]
    than = "about" if known else "more than"
    return (
        f"alpha is claimed against that number, not against the true {criterion.aggregate} that {_many(n, 'call')} are "
        f"a sample of: in simulations with {size}, a candidate exactly at 1.5 x the truth passes in {than} {slow} % of "
        f"the cases at 36 calls a month, {busy} % at 500"
    )


def _left_out(verdict: Verdict) -> Iterator[str]:
    excluded = verdict.measurement.excluded
    if not excluded:
        yield "Nobody."
    for arm in sorted(excluded):
        for reason, count in sorted(excluded[arm].items()):
            yield f"- {arm}: {count} {reason}, {LEFT_OUT.get(reason, 'by a reason of routing outside the population')}"


def _figure(criterion: Criterion, value: Fraction | None) -> str:
    if value is None:
        return "none"
    if criterion.measure is Measure.COST:
        return _dollars(float(value))
    if criterion.measure is Measure.OUTPUT_VALID:
        return f"{float(100 * value):.4g} %"
    whole = f"{math.floor(value):,}".replace(",", " ")
    return f"{whole} ms" if value.denominator == 1 else f"{float(value):g} ms"


def _dollars(value: float) -> str:
    return f"{'-' if value < 0 else ''}${abs(value):.6f}"


def _e(logarithm: float) -> str:
    """An e-value; a large one as a power of ten."""
    return f"{math.exp(logarithm):.3g}" if logarithm < math.log(1e6) else f"10^{logarithm / math.log(10):.0f}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _minute(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
