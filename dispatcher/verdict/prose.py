"""A verdict as text, for a terminal and as Markdown alike."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

from dispatcher.adr.criterion import Baseline, Criterion, Measure, Severity
from dispatcher.audit.record import Origin
from dispatcher.verdict.amounts import dollars, e_value, in_unit, many, minute
from dispatcher.verdict.finding import Figures, Finding, Look, Reason, State
from dispatcher.verdict.judge import Outcome, Verdict
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measures import counts_exceedances
from dispatcher.verdict.report import PERCENTILES, is_observational, title_of
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
_CONTRACT_FORM = (Fraction(95, 100), Fraction(3, 2), Fraction(5, 100))
# What keeps the evidence at hand from counting.
_VOIDING = frozenset({Reason.TIME_SCALED, Reason.ASSIGNMENT_NOT_COMPARABLE, Reason.NOT_JUDGEABLE})


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
    yield f"{rows}, as of {minute(verdict.as_of)}."
    if is_observational(verdict):
        yield (
            "The flag was set by tenant, without a draw, so this verdict is observational: a difference between the "
            "arms may come from the tenants or the weeks instead of the candidate."
        )
    if verdict.epoch is None:
        yield "Not registered."
        return
    looks = verdict.looks
    following = "none follows" if looks.at_horizon else f"the next is on {minute(looks.at(looks.done + 1))}"
    yield (
        f"Evidence counts from {minute(verdict.epoch.start)} (epoch {verdict.epoch.number}); "
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
    void = _void(finding, verdict)
    if finding.looks:
        yield f"- counted{', no evidence' if void else ''}: {_arms(finding, finding.entered, verdict)}"
        if void:
            yield f"- evidence: none that counts ({', '.join(void)})"
        elif finding.limit is not None:
            yield f"- evidence: {_evidence(finding, finding.looks[-1])}"
    if finding.preview[Arm.CANDIDATE].n + finding.preview[Arm.CONTROL].n > entered.n + finding.entered[Arm.CONTROL].n:
        yield f"- preview, no evidence: {_arms(finding, finding.preview, verdict)}"
    if finding.tenants:
        yield f"- alarm for: {', '.join(finding.tenants)}"
    if _waits(finding) and verdict.outcome is not Outcome.INVALID:
        yield f"- would decide: {_forecast(finding) if finding.forecast is not None else _no_forecast(finding)}"
    note = _contract(criterion, verdict.block.looks.alpha)
    if note:
        yield f"- {note}"


def _void(finding: Finding, verdict: Verdict) -> list[Reason]:
    """Why nothing that was counted for a criterion is evidence; empty where it is."""
    if verdict.outcome is Outcome.INVALID:
        return [*verdict.reasons]
    return [reason for reason in finding.reasons if reason in _VOIDING]


def _waits(finding: Finding) -> bool:
    """Whether a decision is still awaited; a guard needs none."""
    return finding.state is State.INCONCLUSIVE and finding.criterion.severity is not Severity.GUARD


def _limit(finding: Finding) -> str:
    criterion, bound = finding.criterion, finding.criterion.bound
    side = "at most" if criterion.at_most else "at least"
    value = f"{side} {in_unit(criterion, finding.limit)}" if finding.limit is not None else "not known yet"
    if bound.times_control is not None:
        return f"{value}, {bound.times_control:f} x the control's"
    if bound.times_baseline is None or criterion.baseline is None:
        return f"{value}, a number of the record's own"
    return f"{value}, {bound.times_baseline:f} x {_baseline(criterion, criterion.baseline)}"


def _baseline(criterion: Criterion, baseline: Baseline) -> str:
    assert baseline.value is not None
    parts = [in_unit(criterion, Fraction(baseline.value)), f"({baseline.source.value}"]
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
    value = in_unit(criterion, figures.figure)
    if figures.figure is None and criterion.measure is Measure.RESPONSE_TIME_MS:
        value = "beyond every time, among the failures"
    text = f"{name} {value}, n {figures.n} in {many(figures.clusters, 'conversation')}"
    if criterion.measure is Measure.RESPONSE_TIME_MS and figures.figure_successes != figures.figure:
        text += f", of successes alone {in_unit(criterion, figures.figure_successes)}"
    if figures.k is not None:
        text += f", {figures.k} {'above the limit' if criterion.at_most else 'short of it'}"
    text += f", {many(figures.failed, 'failure')}" if figures.failed else ""
    return text + (f", {figures.unknown} of unknown value" if figures.unknown else "")


def _evidence(finding: Finding, look: Look) -> str:
    levels = finding.levels
    if counts_exceedances(finding.criterion):
        assert look.log_e_pass is not None
        assert look.log_e_fail is not None
        return (
            f"for it {e_value(look.log_e_pass)} of the {e_value(-math.log(levels.to_pass))} that a pass needs, "
            f"against it {e_value(look.log_e_fail)} of the {e_value(-math.log(levels.to_fail))} that a fail needs"
        )
    if look.difference is None:
        return "none yet; a mean is looked at from 50 conversations in each arm that can be compared, of every tenant"
    if look.half_width_pass is None:
        return (
            f"none; the difference to the limit is {dollars(look.difference)}, and the costs don't vary, so there is "
            "no interval around it"
        )
    assert look.half_width_fail is not None
    return (
        f"the difference to the limit is {dollars(look.difference)}; a pass needs it at or below "
        f"{dollars(-look.half_width_pass)}, a fail above {dollars(look.half_width_fail)}"
    )


def _forecast(finding: Finding) -> str:
    assert finding.forecast is not None
    forecast, criterion = finding.forecast, finding.criterion
    what = f"{many(forecast.more, 'more conversation')}"
    if not counts_exceedances(criterion):
        what += " in an arm, from where on it depends on how much the costs vary"
    elif criterion.at_most:
        what += f", no dispatch above {in_unit(criterion, finding.limit)}"
    else:
        what += ", every dispatch with a valid report"
    when = f", about {many(forecast.weeks, 'week')} at the record's traffic"
    if forecast.earliest is not None:
        return f"{what}{when}, so at the look of {minute(forecast.earliest)} at the earliest"
    registered = Reason.NOT_REGISTERED not in finding.reasons
    return f"{what}{when}{', which is beyond its last look' if registered else ' once it is registered'}"


def _no_forecast(finding: Finding) -> str:
    """Why no number of conversations can be named."""
    if Reason.TIME_SCALED in finding.reasons:
        return "only rows with time_scale 1; no number of scaled ones would"
    if Reason.ASSIGNMENT_NOT_COMPARABLE in finding.reasons:
        return "only arms that are drawn; no number of these conversations would"
    if finding.failed_once:
        return "nothing in this epoch, which has shown the limit broken at one look and kept at another"
    if not counts_exceedances(finding.criterion):
        return "more conversations; how many depends on how much the costs vary"
    return "nothing within a million more conversations, even if every one kept the limit"


def _contract(criterion: Criterion, alpha: Decimal) -> str | None:
    """What alpha is worth against the truth behind a contract's number."""
    n = criterion.baseline.n if criterion.baseline is not None else None
    times = criterion.bound.times_baseline
    if times is None or criterion.quantile is None or n is None:
        return None
    claim = (
        f"alpha is claimed against that number, not against the true {criterion.aggregate} that {many(n, 'call')} are "
        "a sample of"
    )
    at = f"a candidate exactly at {times:f} x the truth passes"
    form = (Fraction(criterion.quantile), Fraction(times), Fraction(alpha))
    if form != _CONTRACT_FORM or n not in _CONTRACT_ERRORS:
        return f"{claim}; how often {at} isn't known for this form"
    slow, busy = _CONTRACT_ERRORS[n]
    return f"{claim}: in simulations, {at} in about {slow} % of the cases at 36 calls a month, {busy} % at 500"


def _left_out(verdict: Verdict) -> Iterator[str]:
    excluded = verdict.measurement.excluded
    if not excluded:
        yield "Nobody."
    for arm in sorted(excluded):
        for reason, count in sorted(excluded[arm].items()):
            yield f"- {arm}: {count} {reason}, {LEFT_OUT.get(reason, 'by a reason of routing outside the population')}"
