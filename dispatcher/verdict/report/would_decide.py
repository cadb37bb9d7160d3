"""What a report says would decide a criterion that waits."""

from __future__ import annotations

from fractions import Fraction

from dispatcher.adr.criterion import Measure
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.judgement.finding import Finding, Forecast, Reason
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measures import counts_exceedances
from dispatcher.verdict.report.amounts import in_unit, many, minute


def would_decide(finding: Finding, verdict: Verdict) -> str:
    """What it takes, and by when; where no number of conversations would do, what would."""
    if Reason.UNKNOWN_SHARE in finding.reasons:
        return _known_values(finding, verdict)
    return _no_forecast(finding) if finding.forecast is None else _forecast(finding, finding.forecast)


def _known_values(finding: Finding, verdict: Verdict) -> str:
    """Where too many values are unknown, no number of conversations decides."""
    worse = max(finding.entered.values(), key=lambda arm: Fraction(arm.unknown, arm.n) if arm.n else Fraction(0))
    bound = 100 * verdict.block.max_unknown_share
    text = f"fewer unknown values: {worse.unknown} of {worse.n} are unknown in the worse arm, and {bound:f} % may be"
    verbs = "; `dispatcher logs sweep` and `prices reprice` make known what can be"
    known = verbs if finding.criterion.measure.is_money else ""
    return text + known


def _forecast(finding: Finding, forecast: Forecast) -> str:
    traffic = "the traffic so far" if forecast.alike else "the record's traffic"
    when = f", about {many(forecast.weeks, 'week')} at {traffic}"
    if forecast.earliest is not None:
        return f"{_more(finding, forecast)}{when}, so at the look of {minute(forecast.earliest)} at the earliest"
    registered = Reason.NOT_REGISTERED not in finding.reasons
    last = ", which is beyond its last look" if registered else " once it is registered"
    return f"{_more(finding, forecast)}{when}{last}"


def _more(finding: Finding, forecast: Forecast) -> str:
    criterion, more = finding.criterion, many(forecast.more, "more conversation")
    if forecast.alike:
        return f"about {more} like those so far"
    if not counts_exceedances(criterion):
        return f"{more} in an arm, from where on it depends on how much the values vary"
    if criterion.measure is Measure.OUTPUT_VALID:
        return f"{more}, every dispatch with a valid report"
    if criterion.aggregate == "rate":
        return f"{more}, every dispatch on the right side"
    return f"{more}, no dispatch above {in_unit(criterion, finding.limit)}"


def _no_forecast(finding: Finding) -> str:
    """Why no number of conversations can be named."""
    if Reason.TIME_SCALED in finding.reasons:
        return "only rows with time_scale 1; no number of scaled ones would"
    if Reason.ASSIGNMENT_NOT_COMPARABLE in finding.reasons:
        return "only arms that are drawn; no number of these conversations would"
    if finding.failed_once:
        return "nothing in this epoch, which has shown the limit broken at one look and kept at another"
    if not counts_exceedances(finding.criterion):
        return "more conversations; how many depends on how much the values vary"
    if claim_of(finding.criterion) is not Claim.SHARE:
        return "more conversations in both arms, unlike those so far: more of the same wouldn't by the last look"
    return "nothing within a million more conversations, even if every one kept the limit"
