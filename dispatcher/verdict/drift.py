"""Whether everything has become slower or faster, the candidate or not: tenants that stayed with the control. Pure."""

from __future__ import annotations

import math

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.finding import State
from dispatcher.verdict.grid import Side
from dispatcher.verdict.standing import Case

_ALLOWED = 0.05


def drifted(case: Case, criterion: Criterion, state: State) -> bool:
    """Whether a fail, or a pass, may be that of the weeks and not of the candidate.

    Where tenants were set by a flag, those that stayed with the control show what the weeks alone do: the 95th
    percentile of any of them, against its own before the start, is shown to be higher (or lower) at an equal part of
    alpha. It says nothing of what isn't a time.
    """
    tenants = case.measurement.drift
    if not criterion.measure.is_duration or not tenants:
        return False
    threshold = math.log(len(tenants)) - math.log(case.levels.to_pass)
    for counts in tenants.values():
        for sides in counts.at_looks(case.looks.done):
            slower = sides[Side.FAIL].log_e_fail(_ALLOWED)
            if (slower if state is State.FAIL else sides[Side.PASS].log_e_pass(_ALLOWED)) >= threshold:
                return True
    return False
