"""What application code gets back."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from dispatcher.action.decision import Decision
from dispatcher.action.failure import FailureViews, failure_views
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status, Timings, Usage
from dispatcher.action.report import ResearchReport
from dispatcher.action.transcript import NO_TURNS, Message, Transcript
from dispatcher.errors import AttemptFailed

NANO = Decimal(10) ** -9


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchResult:
    """How a dispatch ended, whatever the ending.

    `output` is the validated report, None where there is none. `cost_usd` is exact and of all attempts, None where the
    price or the tokens are unknown. `log_id` names the last attempt's row in `ai_outbound_logs` and `attempts` counts
    them. `work` is what was said in this turn, whatever the ending: the partial work of one that a limit cut short.
    `transcript` is what the conversation's next turn takes as its `history`: the answered turns up to this one. Where
    `repeated` is set, the result is a kept one of the same idempotency key and nothing was spent for it now.
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
    attempts: int = 1
    repeated: bool = False
    work: tuple[Message, ...] = field(default=(), repr=False)
    transcript: Transcript = field(default=NO_TURNS, repr=False)
    error_type: ErrorType | None = None
    error_stage: ErrorStage | None = None
    error: str | None = None

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost in US dollars; None where unknown."""
        return None if self.cost_nanousd is None else self.cost_nanousd * NANO

    @property
    def failure(self) -> FailureViews:
        """What the user felt and who can do something about it; of an answer, too."""
        return failure_views(self.status, self.ended_by, self.error_type, self.error_stage)

    def raise_for_status(self) -> ResearchResult:
        """Return this result if the research succeeded, else raise AttemptFailed."""
        if self.status is not Status.SUCCESS:
            raise AttemptFailed(self)
        return self
