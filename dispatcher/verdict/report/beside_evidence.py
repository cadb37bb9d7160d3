"""What a report says beside the evidence: what is watched since a pass, and what the weeks alone did."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.evidence.e_process import FAIL_GRID, MEAN_LOOKS_TO_ALARM, log_e_pass
from dispatcher.verdict.judgement.drift import drift_threshold
from dispatcher.verdict.judgement.finding import Drift, Finding, Levels, State
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measures import allowed_share
from dispatcher.verdict.report.amounts import e_value, in_unit


def watched(finding: Finding, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What a detector says since the first pass, and where nothing that comes could turn one: (label, text)."""
    said = [look.log_detector for look in finding.looks if look.log_detector is not None]
    if finding.state is State.PASS and len(finding.looks) > 1:
        alarm = e_value(math.log(MEAN_LOOKS_TO_ALARM))
        text = (
            f"{e_value(said[-1])} of the {alarm} that alarm"
            if said
            else f"too little for a detector so far, which alarms at {alarm}"
        )
        yield "what came since its pass", f"{text}; the evidence against it goes on counting all weeks"
    grid = verdict.measurement.grids.get(finding.criterion.id)
    n = None if grid is None or grid.sample is None else grid.sample.n
    if n is not None and not _can_fail(finding.criterion, finding.levels, n):
        text = (
            f"{n} pinned rows can carry a pass and no fail, whatever comes: a candidate that becomes slower "
            "isn't rolled back by this criterion; it takes a larger sample, a contract, or a guard against a number"
        )
        yield "not watched", text


def stayed(finding: Finding, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What the weeks alone did to tenants that stayed with the control, where a flag set the others: (label, text)."""
    by_flag = verdict.block.assignment.kind == "tenant_flag"
    if not by_flag or not finding.criterion.measure.is_duration or not verdict.looks.done:
        return
    control = verdict.block.control.variant
    if not finding.drift:
        yield f"tenants that stayed with {control}", "none was seen, so what the weeks alone did isn't known"
        return
    needed = drift_threshold(finding.levels.to_pass, finding.drift)
    told = "; ".join(_drifted(finding.criterion, each, needed) for each in finding.drift)
    yield f"tenants that stayed with {control}", f"{told}; {e_value(needed)} is needed to show either"


def _drifted(criterion: Criterion, drift: Drift, needed: float) -> str:
    name = criterion.aggregate if criterion.quantile is not None else "p95"
    before, since = (_figure(criterion, value) for value in (drift.before, drift.since))
    text = f"{drift.tenant} {name} {before} before (n {drift.n_before}), {since} since (n {drift.n_since}): "
    if max(drift.log_e_slower, drift.log_e_faster) >= needed:
        return f"{text}shown to be {'slower' if drift.log_e_slower >= needed else 'faster'}"
    return f"{text}slower {e_value(drift.log_e_slower)}, faster {e_value(drift.log_e_faster)}"


def _figure(criterion: Criterion, value: int | None) -> str:
    return "beyond every value" if value is None else in_unit(criterion, Fraction(value))


def _can_fail(criterion: Criterion, levels: Levels, n: int) -> bool:
    """Whether a sample could ever carry a fail: beyond all of it, the bet on no change is all that is left."""
    if claim_of(criterion) is not Claim.PERCENTILE:
        return True
    most = log_e_pass({(1, 0): n}, allowed_share(criterion)) + math.log(FAIL_GRID[0][1])
    return most >= -math.log(levels.to_fail)
