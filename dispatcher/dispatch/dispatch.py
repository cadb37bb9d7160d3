"""One dispatch: one decision, its attempt, and at most one fallback."""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass

from dispatcher.action.decision import DEFAULT_VARIANT, Decision, PathName, Reason
from dispatcher.action.event import Decided, OnEvent
from dispatcher.action.policy import Budget, Period
from dispatcher.action.request import FEATURE, ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.audit.record import Kept, Room, new_log_id
from dispatcher.dispatch.attempt import Attempt
from dispatcher.dispatch.conversation import Past, form_of, seed_for
from dispatcher.dispatch.fallback import fallback_decision
from dispatcher.dispatch.keeping import kept_of
from dispatcher.dispatch.outcomes import outcome_of_break
from dispatcher.dispatch.parts import Commission, Parts
from dispatcher.dispatch.rows import Began, Claim, Ended, opening_of, result_of
from dispatcher.errors import (
    ActionInProgress,
    BudgetExhausted,
    ConversationBusy,
    DuplicateAction,
    IdempotencyKeyReused,
    LogUnavailable,
)
from dispatcher.paths.path import Outcome
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.routing.assignment import NOTHING_ASSIGNED
from dispatcher.routing.evaluation import attributes_of

logger = logging.getLogger(__name__)

_BRAKED = frozenset(
    {
        Reason.FORCED,
        Reason.FORCE_INVALID,
        Reason.UNKNOWN_FLAG,
        Reason.STALE,
        Reason.ERROR,
        Reason.OFF,
        Reason.REMOVED,
        Reason.REPOSITORY_NOT_MOUNTABLE,
    }
)
"""The reasons by which an operator, or the lack of a usable flag state, keeps an action on `legacy`."""

_KEY_GONE = (ActionInProgress, DuplicateAction, IdempotencyKeyReused)
"""Another dispatch took the key, because this one's row was given up for lost."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A decided action on its way to its answer."""

    parts: Parts
    commission: Commission
    decision: Decision
    began: Began

    @classmethod
    async def decided(
        cls, parts: Parts, action: ResearchAction, checkout: Checkout, past: Past, began: Began, tell: OnEvent
    ) -> Dispatch:
        """Decide. Raises InvalidAction where the action pins a variant that isn't registered."""
        recalled = NOTHING_ASSIGNED
        if action.conversation_id is not None and past.logged:
            recalled = await parts.recall.of(action.tenant, FEATURE, action.conversation_id)
        dispatch_id = new_log_id()
        mountable = parts.router.mountable(action, has_commit=checkout.commit_sha is not None)
        decision = parts.router.decide(action, mountable=mountable, unit=dispatch_id, recalled=recalled)
        _note(decision, action)
        tell(Decided(dispatch_id=dispatch_id, decision=decision))
        commission = Commission(
            action=action,
            checkout=checkout,
            past=past,
            dispatch_id=dispatch_id,
            deadline_ns=began.ns + round(decision.deadline_s * 1e9),
            room=_room(parts.conduct.budget_of(action.tenant), began.at),
            tell=tell,
        )
        return cls(parts, commission, decision, began)

    async def answer(self) -> ResearchResult:
        """Carry it out. Raises what `Attempt.open` raises for the first attempt; nothing is spent then."""
        attempt = self._attempt(self.decision, 1, self.began)
        await attempt.open()
        attempts: list[Ended] = []
        while True:
            outcome = await attempt.run()
            try:
                following = await self._following(attempt, outcome)
            except BaseException:
                await attempt.close(outcome)
                raise
            attempts.append(await self._closed(attempt, outcome, attempts, following))
            if following is None:
                return self._result(attempts)
            attempt = following

    async def _closed(
        self, attempt: Attempt, outcome: Outcome, before: list[Ended], following: Attempt | None
    ) -> Ended:
        try:
            return await attempt.close(outcome, kept=lambda ended: self._kept([*before, ended]))
        except BaseException as cause:
            if following is not None:
                await following.close(outcome_of_break(cause))
            raise

    async def _following(self, attempt: Attempt, outcome: Outcome) -> Attempt | None:
        """The opened fallback attempt, None where there is none.

        It is opened before the first one's row is closed, so that at every moment one row of a dispatch under way is
        `started` and an idempotency key stays taken.
        """
        name, number = attempt.decision.variant.fallback, attempt.opening.attempt
        # A plan of two at most, so that no attempt goes back to what was tried.
        if name is None or number > 1 or not self._allowed(name):
            return None
        fallback = self.parts.router.policies.variants[name]
        decision = fallback_decision(
            attempt.decision, fallback, outcome, attempt.observed(), self.commission.action.limits
        )
        began = Began(at=dt.datetime.now(dt.UTC), ns=time.monotonic_ns())
        if decision is None or began.ns >= self.commission.deadline_ns:
            return None
        following = self._attempt(decision, number + 1, began)
        try:
            await following.open()
        except (LogUnavailable, BudgetExhausted, ConversationBusy, *_KEY_GONE) as error:
            logger.warning("no fallback to %s: %s", name, error)
            return None
        return following

    def _allowed(self, name: str) -> bool:
        """Whether the fallback may be taken: nothing gets around a brake or mounts what can't be mounted."""
        if name == DEFAULT_VARIANT:
            return True
        action, checkout = self.commission.action, self.commission.checkout
        # What moved a conversation brakes as it does elsewhere.
        reason = self.decision.moved_by or self.decision.reason
        if reason in _BRAKED or self.parts.router.look_at_kill_switch() is not None:
            return False
        managed = self.parts.router.policies.variants[name].path is PathName.MANAGED
        return not managed or self.parts.router.mountable(action, has_commit=checkout.commit_sha is not None)

    def _attempt(self, decision: Decision, number: int, began: Began) -> Attempt:
        commission, conduct = self.commission, self.parts.conduct
        seed = seed_for(commission.past, decision.variant, session_ttl=conduct.session_ttl, now=began.at)
        claim = Claim(
            log_id=new_log_id(),
            dispatch_id=commission.dispatch_id,
            attempt=number,
            routed_variant=self.decision.variant.name,
            turn=commission.past.turn,
            transcript_form=form_of(seed, decision.variant),
            began=began,
            deadline_at=self.began.at + dt.timedelta(seconds=self.decision.deadline_s),
            reserved_nanousd=None if commission.room is None else decision.caps.cost_nanousd,
        )
        opening = opening_of(commission.action, decision, commission.checkout, self.parts.setting, claim)
        return Attempt(self.parts, commission, decision, opening, began)

    def _kept(self, attempts: list[Ended]) -> Kept | None:
        conduct = self.parts.conduct
        if conduct.conversations is None and conduct.results is None:
            return None
        return kept_of(self.commission.action, self._result(attempts), conduct, dt.datetime.now(dt.UTC))

    def _result(self, attempts: list[Ended]) -> ResearchResult:
        waited_ms = (time.monotonic_ns() - self.began.ns) // 1_000_000
        # The one attempt's row and the answer say the same time, to the millisecond.
        ms = attempts[0].response_time_ms if len(attempts) == 1 else waited_ms
        return result_of(attempts, self.commission.action, self.commission.past, ms)


def _note(decision: Decision, action: ResearchAction) -> None:
    """Say in the program's log where the action goes; aloud only where its conversation is moved."""
    level = logging.DEBUG if decision.moved_by is None else logging.INFO
    if logger.isEnabledFor(level):
        words = action.tenant, decision.variant.name, decision.reason
        logger.log(level, "tenant %s goes to %s: %s", *words, extra=attributes_of(decision, action.tenant))


def _room(budget: Budget | None, now: dt.datetime) -> Room | None:
    if budget is None:
        return None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Room(nanousd=budget.nanousd, since=midnight.replace(day=1) if budget.per is Period.MONTH else midnight)
