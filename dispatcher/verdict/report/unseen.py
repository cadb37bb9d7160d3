"""What a mean can't know of: dispatches too rare to have been seen, and dear enough to break its limit. Pure."""

from __future__ import annotations

from fractions import Fraction

from dispatcher.verdict.judgement.finding import Finding
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measures import counts_exceedances
from dispatcher.verdict.report.amounts import in_unit

_RULE_OF_THREE = 3
"""What wasn't seen in n draws happens, at 95 %, in at most 3/n of them (Hanley and Lippman-Hand 1983, JAMA 249)."""


def unseen(finding: Finding) -> str | None:
    """How dear the rarest kind of dispatch would have to be to break the limit unseen; None where nothing is claimed.

    The interval of a mean rests on a limit theorem, which knows nothing of a tail that no draw came from: with one
    dispatch in a hundred at thirty times the others' cost, more than half of all means exactly at their limit ship
    (docs/verdict-simulations.md, table 8).
    """
    criterion, counted = finding.criterion, finding.entered[Arm.CANDIDATE]
    if counts_exceedances(criterion) or criterion.at_most is None or not counted.clusters:
        return None
    if finding.limit is None or counted.figure is None or counted.figure >= finding.limit:
        return None
    one_in = max(1, counted.clusters // _RULE_OF_THREE)
    dear = (finding.limit - counted.figure) * Fraction(one_in)
    return f"1 conversation in {one_in} that takes {in_unit(criterion, dear)} more than the mean would break the limit"
