"""What a report says of a verdict, sentence by sentence; the text and the page say the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

from dispatcher.adr.criterion import Baseline, Criterion, Severity
from dispatcher.audit.record import Origin
from dispatcher.verdict.judgement.finding import Figures, Finding, Look, Reason, State
from dispatcher.verdict.judgement.judge import Outcome, Verdict
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measures import counts_exceedances
from dispatcher.verdict.report.amounts import difference_in_unit, e_value, in_unit, many, minute
from dispatcher.verdict.report.beside_evidence import stayed, watched
from dispatcher.verdict.report.document import is_observational
from dispatcher.verdict.report.unseen import unseen
from dispatcher.verdict.report.wording import LEFT_OUT
from dispatcher.verdict.report.would_decide import would_decide

DECISIONS = {
    Outcome.SHIP: "Every gate has shown that its limit is kept, and no guard stands in the way.",
    Outcome.ROLLBACK: "A gate has shown that its limit is broken; `dispatcher flags off` sends everybody to legacy.",
    Outcome.HOLD: "Nothing is decided yet:",
    Outcome.INVALID: "These figures must not decide anything:",
}
"""What each outcome means, one sentence; the last two go on with their reasons."""

# Wrong passes in per cent, at 36 and at 500 calls a month, where the limit is 1.5 times the p95 of a sample of so many
# calls and the candidate exactly 1.5 times slower than the truth behind it; each for an interpolated and a nearest-rank
# p95. Simulated on times of Weibull form: docs/verdict-simulations.md, table 3.
_CONTRACT_ERRORS = {
    36: (("6.1", "15.4"), ("20.9", "41.2")),
    150: (("4.1", "5.0"), ("18.8", "23.3")),
    1000: (("2.9", "2.9"), ("6.5", "6.5")),
}
_CONTRACT_FORM = (Fraction(95, 100), Fraction(3, 2), Fraction(5, 100))
_MOST_CONTRADICTIONS = 5
_WORTH_A_PREVIEW = Fraction(1, 10)
"""A preview of one or two more dispatches only says again what was counted."""
# What keeps the evidence at hand from counting.
_VOIDING = frozenset({Reason.TIME_SCALED, Reason.ASSIGNMENT_NOT_COMPARABLE, Reason.NOT_JUDGEABLE})


def where_it_stands(verdict: Verdict) -> Iterator[str]:
    """Whose rows, which epoch, how many looks; one sentence each."""
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
        yield (
            "Not registered."
            if verdict.shown_for is None
            else (f"Shown for {verdict.shown_for}, which isn't what was registered: for display, it decides nothing.")
        )
        return
    looks = verdict.looks
    weekly = f"{looks.done} of {looks.max_weeks} weekly looks so far"
    if looks.at_horizon:
        weekly = f"{looks.done} weekly looks so far; none after {minute(looks.at(looks.max_weeks))} can bring a pass"
    yield (
        f"Evidence counts from {minute(verdict.epoch.start)} (epoch {verdict.epoch.number}); "
        f"{weekly}, the next is on {minute(looks.at(looks.done + 1))}."
    )
    for said in verdict.contradictions[:_MOST_CONTRADICTIONS]:
        yield f"{said[0].upper()}{said[1:]}."
    for tenant in verdict.unheard:
        yield (
            f"{tenant} has less than half of the candidate's conversations that its registered weight of "
            f"{verdict.block.tenants[tenant]} says, so the others decide for it: let it take part again, or register "
            "the weights as they are now."
        )


def found(finding: Finding) -> str:
    """What was found of a criterion, with the reasons."""
    why = f" ({', '.join(finding.reasons)})" if finding.reasons else ""
    return f"{finding.state.value}{why}"


def points(finding: Finding, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What is to be said of a criterion beside its sentence: (label, text); a note has no label."""
    criterion = finding.criterion
    yield "limit", _limit(finding)
    void = _void(finding, verdict)
    if finding.looks:
        yield f"counted{', no evidence' if void else ''}", _arms(finding, finding.entered, verdict)
        if void:
            yield "evidence", f"none that counts ({', '.join(void)})"
        elif finding.limit is not None:
            yield "evidence", _evidence(finding, finding.looks[-1])
            if tail := unseen(finding):
                yield "could be unseen", tail
    if _all(finding.preview) - _all(finding.entered) > _WORTH_A_PREVIEW * _all(finding.entered):
        yield "preview, no evidence", _arms(finding, finding.preview, verdict)
    yield from watched(finding, verdict)
    yield from stayed(finding, verdict)
    if finding.tenants and len(verdict.block.tenants) > 1:
        yield "alarm for", ", ".join(finding.tenants)
    if _waits(finding) and verdict.outcome is not Outcome.INVALID:
        yield "would decide", would_decide(finding, verdict)
    if note := _contract(criterion, verdict.block.looks.alpha):
        yield "", note


def _all(figures: Mapping[Arm, Figures]) -> int:
    return sum(figures[arm].n for arm in (Arm.CANDIDATE, Arm.CONTROL))


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
    return "; ".join(f"{name} {_counted(finding.criterion, figures[arm])}" for arm, name in verdict.names.items())


def _counted(criterion: Criterion, figures: Figures) -> str:
    if not figures.n:
        return "none"
    name = "share" if criterion.aggregate == "rate" else criterion.aggregate
    value = in_unit(criterion, figures.figure)
    if figures.figure is None and criterion.quantile is not None:
        value = "beyond every value, among the failures"
    text = f"{name} {value}, n {figures.n} in {many(figures.clusters, 'conversation')}"
    if criterion.quantile is not None and figures.figure_successes != figures.figure:
        text += f", of successes alone {in_unit(criterion, figures.figure_successes)}"
    if figures.k is not None:
        text += f", {figures.k} {'above the limit' if criterion.at_most else 'short of it'}"
    text += f", {many(figures.failed, 'failure')}" if figures.failed else ""
    return text + (f", {figures.unknown} of unknown value" if figures.unknown else "")


def _evidence(finding: Finding, look: Look) -> str:
    levels = finding.levels
    if counts_exceedances(finding.criterion):
        if look.log_e_pass is None or look.log_e_fail is None:
            return "none yet"
        return (
            f"for it {e_value(look.log_e_pass)} of the {e_value(-math.log(levels.to_pass))} that a pass needs, "
            f"against it {e_value(look.log_e_fail)} of the {e_value(-math.log(levels.to_fail))} that a fail needs"
        )
    if look.difference is None:
        return (
            "none yet; a mean is looked at from 50 conversations in each arm that can be compared, of every tenant by "
            "its weight and its part of the mean"
        )
    difference = difference_in_unit(finding.criterion, look.difference)
    if look.half_width_pass is None:
        return f"none; the difference to the limit is {difference}, and the values don't vary, so it has no interval"
    assert look.half_width_fail is not None
    to_pass = difference_in_unit(finding.criterion, -look.half_width_pass)
    to_fail = difference_in_unit(finding.criterion, look.half_width_fail)
    return f"the difference to the limit is {difference}; a pass needs it at or below {to_pass}, a fail above {to_fail}"


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
    slow, busy = (" to ".join(dict.fromkeys(shares)) for shares in _CONTRACT_ERRORS[n])
    return (
        f"{claim}: in simulations, {at} in {slow} % of the cases at 36 calls a month, {busy} % at 500, by the "
        f"definition of the sample's {criterion.aggregate}"
    )


def left_out(verdict: Verdict) -> Iterator[tuple[str, str, int, str]]:
    """Who isn't counted: (arm, reason, dispatches, what they were).

    A row's reason may be anything where it was imported; what is no plain word is spelled in ASCII.
    """
    excluded = verdict.measurement.excluded
    for arm in sorted(excluded):
        for reason, count in sorted(excluded[arm].items()):
            shown = reason if reason.isascii() and reason.isidentifier() else ascii(reason)
            yield arm, shown, count, LEFT_OUT.get(reason, "by a reason of routing outside the population")
