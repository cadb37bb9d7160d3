"""What application code gets back."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from dispatcher.action.decision import Decision
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status, Timings, Usage
from dispatcher.action.report import ResearchReport
from dispatcher.errors import AttemptFailed

NANO = Decimal(10) ** -9


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchResult:
    """How a dispatch ended, whatever the ending.

    `output` is the validated report, None where there is none. `cost_usd` is exact, None where the price or the
    tokens are unknown. `log_id` names the row in `ai_outbound_logs`.
    """

    log_id: str
    dispatch_id: str
    status: Status
    ended_by: EndedBy
    decision: Decision
    output: ResearchReport | None
    usage: Usage
    cost_nanousd: int | None
    timings: Timings
    iterations: int
    tool_calls: int
    error_type: ErrorType | None = None
    error_stage: ErrorStage | None = None
    error: str | None = None

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost in US dollars; None where unknown."""
        return None if self.cost_nanousd is None else self.cost_nanousd * NANO

    def raise_for_status(self) -> ResearchResult:
        """Return this result if the research succeeded, else raise AttemptFailed."""
        if self.status is not Status.SUCCESS:
            raise AttemptFailed(self)
        return self
