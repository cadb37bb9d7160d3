"""What the words of a report mean, one sentence each: the reasons of a verdict, and why dispatches were left out."""

from __future__ import annotations

from dispatcher.action import decision
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.measured import LeftOut

REASONS = {
    Reason.NOT_REGISTERED: "what is judged here isn't registered for these rows, so none of them is evidence and what "
    "is shown is a preview; `dispatcher adr register` starts a record's clock",
    Reason.NO_DATA: "there is no row in the population; it takes dispatches that the flag assigns to both arms",
    Reason.NEEDS_TIME: "there are rows, and no weekly look has taken one in yet; a conversation counts at the first "
    "look after it has settled",
    Reason.THIN_DATA: "a look has been, with too few conversations that can be compared, or with costs that "
    "don't vary and leave no interval; it takes more of them",
    Reason.NEAR_MARGIN: "there is enough data and it lies too near the limit for either side; it takes more of it, or "
    "a candidate that differs more",
    Reason.GUARD_ALARM: "a guard shows that its limit is broken; it takes a better candidate, which starts a new epoch",
    Reason.TENANT_ALARM: "one tenant's own dispatches break the limit, whatever the others do; it takes a better "
    "candidate for that tenant",
    Reason.UNKNOWN_SHARE: "too many values are unknown to judge by the others; it takes rows with a known value",
    Reason.LEFT_OUT_SHARE: "more of an arm's drawn dispatches are left out, recorded late, decided otherwise later "
    "on, moved to the other side or run by another definition, than may be unknown; find out why, and wait until they "
    "are few, or start anew with `dispatcher adr register --again`",
    Reason.TIME_SCALED: "waits were scaled by the simulator, so these times say nothing about a limit in real time; "
    "it takes rows with time_scale 1",
    Reason.ASSIGNMENT_NOT_COMPARABLE: "the arms weren't assigned so that they could be compared; it takes a drawn "
    "assignment that every registered tenant is in",
    Reason.CONTROL_CHANGED: "the control has run under more than one definition since the start, and the limit is a "
    "multiple of what it does; keep its policy as it is, and start anew with `dispatcher adr register --again`",
    Reason.UNDECIDABLE_AT_TRAFFIC: "at this traffic no decision is in sight by the last look, for a limit that is a "
    "number not even if every dispatch kept it, for another one not by more of the same; it takes more traffic, a "
    "larger share, or another criterion",
    Reason.UNDECIDED_AT_HORIZON: "the last registered look has been without a decision; people decide now, and the "
    "record says how",
    Reason.LATE_ALARM: "what came after a pass breaks the limit again; people look at what changed, and decide",
    Reason.NO_GATES: "the record has no gate, so nothing can let it ship; it takes a criterion of severity gate",
    Reason.RECORD_CHANGED: "the acceptance block isn't the one that was registered; undo the change, or register again "
    "and start a new epoch",
    Reason.BASELINE_NOT_REPRODUCIBLE: "the order statistics that were pinned aren't those that the record states; "
    "bring their file back, or pin the baseline again and register",
    Reason.HISTORY_CHANGED: "an earlier look, computed again, has another result than was stored; find out which rows "
    "changed, and bring them back or start anew with `dispatcher adr register --again`",
    Reason.LOG_GAP: "the log is known to have lost dispatches since the start, and nobody knows how they ended; "
    "start anew with `dispatcher adr register --again`",
    Reason.NOT_JUDGEABLE: "there is nothing to hold the criterion against; pin its baseline",
    Reason.VARIANT_NOT_AS_ROUTED: "more than 0.1 % of the first attempts ran another variant than was routed; what "
    "was measured isn't what was decided",
    Reason.SAMPLE_RATIO_MISMATCH: "the arms' sizes don't fit the shares of the draw, so something chose who is in "
    "them; find out what",
}
"""Why, and what would decide it."""

LEFT_OUT: dict[str, str] = {
    LeftOut.OTHER_VARIANT: "routed to neither arm",
    LeftOut.OTHER_TENANT: "of a tenant that the record doesn't name",
    LeftOut.OTHER_CANDIDATE: "by another definition of the candidate than the newest",
    LeftOut.NO_REASON: "without a reason of routing",
    LeftOut.NOT_DRAWN: "drawn where one side had everything",
    LeftOut.OVERRIDDEN: "drawn, and decided otherwise later in the same window",
    LeftOut.SWITCHED_VARIANT: "in a conversation that changed sides",
    LeftOut.BEFORE_START: "in a conversation that began before the start",
    LeftOut.BEFORE_ALL_TENANTS: "from before every registered tenant was in the assignment",
    LeftOut.LATE: "recorded after the look that it belongs to",
    LeftOut.AFTER_WINDOW: "later in a conversation than its window reaches",
    LeftOut.RUNNING: "still running",
    decision.Reason.FORCED: "braked by the kill switch",
    decision.Reason.FORCE_INVALID: "braked by a kill switch of unknown value",
    decision.Reason.UNKNOWN_FLAG: "decided without the flag, which wasn't known",
    decision.Reason.STALE: "decided without the flag, whose state was too old",
    decision.Reason.ERROR: "decided without the flag, which couldn't be evaluated",
    decision.Reason.OFF: "while the flag was off",
    decision.Reason.REMOVED: "of a tenant that was taken out",
    decision.Reason.REPOSITORY_NOT_MOUNTABLE: "whose repository the managed path couldn't mount",
    decision.Reason.PINNED: "pinned by the action",
    decision.Reason.FLAG: "set by tenant, without a draw",
    decision.Reason.SHARE: "drawn, in an assignment by tenant",
    decision.Reason.STICKY: "kept on what was drawn before, in an assignment by tenant",
    decision.Reason.STICKY_OVERRIDDEN: "moved by an operator from what was drawn before",
    decision.Reason.STICKY_UNAVAILABLE: "drawn again, because the log couldn't say what was drawn before",
    decision.Reason.UNKNOWN_VARIANT: "decided without the flag, which named no registered variant",
    decision.Reason.DEFAULT: "that no rule assigned",
}
"""What a dispatch was that isn't counted. A conversation with one such dispatch is left out whole."""
