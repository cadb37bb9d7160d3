"""One attempt: one run of one path, and its one row."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable

from dispatcher.action.decision import Decision
from dispatcher.action.event import AttemptFinished, AttemptStarted
from dispatcher.action.observation import ErrorStage
from dispatcher.audit.doubts import RowInDoubt
from dispatcher.audit.record import AttemptOpening, Kept
from dispatcher.dispatch.breaker import Health, Permit
from dispatcher.dispatch.conversation import seed_for
from dispatcher.dispatch.fallback import health_of
from dispatcher.dispatch.gate import Barred
from dispatcher.dispatch.outcomes import CANCELLED, REFUSED, outcome_of_break, session_unlogged, too_late
from dispatcher.dispatch.parts import Commission, Parts
from dispatcher.dispatch.rows import Began, Ended, ending_of
from dispatcher.errors import LogUnavailable
from dispatcher.paths.observation import Observation, Observer, Session
from dispatcher.paths.path import Job, Outcome

logger = logging.getLogger(__name__)


class Attempt:
    """One run of one path, between the opening of its row and the closing.

    Every step runs in the caller's own task: a loop that ends cancels all its tasks, and one that was only just made
    for the closing would never begin.
    """

    def __init__(
        self, parts: Parts, commission: Commission, decision: Decision, opening: AttemptOpening, began: Began
    ) -> None:
        self.decision = decision
        self.opening = opening
        self.began = began
        self._parts = parts
        self._commission = commission
        self._queued_ns: int | None = None
        self._queue_ns = 0
        self._ended_ns: int | None = None
        self._observer = self._new_observer()

    async def open(self) -> None:
        """Commit the row, with its claims, in the time that the action has left.

        Raises LogUnavailable and the errors of a refused claim.
        """
        action = self._commission.action
        request_hash = None if action.idempotency_key is None else action.request_hash
        try:
            await self._parts.log.open(
                self.opening,
                request_hash=request_hash,
                room=self._commission.room,
                # A gap counts dispatches, and one whose fallback can't be logged has its first attempt's answer.
                fail_open=self._parts.router.policies.fail_open and self.opening.attempt == 1,
                within_s=self._left_s(),
            )
        except RowInDoubt:
            await self.close(REFUSED, perhaps_refused=True)
            raise
        except asyncio.CancelledError:
            # The log has settled it: the row is there and ends now, or it was refused and there is none to end.
            await self.close(CANCELLED, perhaps_refused=True)
            raise
        self._commission.tell(
            AttemptStarted(log_id=self.opening.log_id, attempt=self.opening.attempt, variant=self.decision.variant.name)
        )

    async def run(self) -> Outcome:
        """Run the path. Where that is cancelled or fails by a defect, the row is closed before it is raised."""
        try:
            outcome = await self._in_time()
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as cause:
            await self.close(outcome_of_break(cause))
            raise
        self._ended_ns = time.monotonic_ns()
        return outcome

    def observed(self) -> Observation:
        """What was seen of the attempt so far."""
        return self._observer.observed()

    async def close(
        self, outcome: Outcome, *, kept: Callable[[Ended], Kept | None] | None = None, perhaps_refused: bool = False
    ) -> Ended:
        """End the row, with what is kept of its content; says how the attempt ended."""
        ended = self._ended(outcome)
        prices = self._parts.prices.version
        ending = ending_of(ended, self._commission.past, dt.datetime.now(dt.UTC), prices)
        try:
            await self._parts.log.close(self.opening.log_id, ending, ended.seen.calls, _safely(kept, ended))
        except LogUnavailable as error:
            # The action was accepted and its row is durable as `started`; the answer isn't withheld for it.
            if not perhaps_refused:
                logger.error("row %s stays open, its ending could not be written: %s", self.opening.log_id, error)  # noqa: TRY400
        else:
            if self._parts.sweep is not None and ended.seen.session is not None and ended.seen.cost_nanousd is None:
                # What the session tells once it is at rest is appended then.
                self._parts.sweep.again()
            self._commission.tell(
                AttemptFinished(
                    log_id=self.opening.log_id,
                    status=outcome.status,
                    ended_by=outcome.ended_by,
                    error_type=outcome.error_type,
                )
            )
        return ended

    def _ended(self, outcome: Outcome) -> Ended:
        now_ns = self._ended_ns or time.monotonic_ns()
        # Who is still in the queue has waited there until now.
        queue_ns = self._queue_ns if self._queued_ns is None else now_ns - self._queued_ns
        return Ended(
            opening=self.opening,
            decision=self.decision,
            outcome=outcome,
            seen=self._observer.observed(),
            response_time_ms=(now_ns - self.began.ns) // 1_000_000,
            queue_ms=queue_ns // 1_000_000,
        )

    async def _in_time(self) -> Outcome:
        try:
            async with asyncio.timeout(self._left_s()) as deadline:
                return await self._through_the_gate()
        except Barred as barred:
            return barred.outcome
        except LogUnavailable as error:
            return session_unlogged(error)
        except TimeoutError:
            if not deadline.expired():
                raise
            # A report accepted in time is the answer, however long the rest took.
            return self._observer.accepted or too_late(
                self.decision.deadline_s, ErrorStage.QUEUE if self._queued_ns is not None else None
            )

    def _left_s(self) -> float:
        return (self._commission.deadline_ns - time.monotonic_ns()) / 1e9

    async def _through_the_gate(self) -> Outcome:
        path = self.decision.path
        self._queued_ns = time.monotonic_ns()
        async with self._parts.gates[path].entered() as permit:
            # The parts of the time to first token are the path's; the wait for a place is a figure of its own.
            self._queue_ns, self._queued_ns = time.monotonic_ns() - self._queued_ns, None
            self._observer.started_ns += self._queue_ns
            try:
                outcome = await self._parts.paths[path].run(self._job(), self._observer)
            except asyncio.CancelledError:
                self._report_deadline(permit)
                raise
            permit.report(health_of(outcome, self.observed()))
            return outcome

    def _report_deadline(self, permit: Permit) -> None:
        """Hold the variant's own deadline against a provider from which no reply came.

        A caller's tighter one, or his cancel, says nothing: one tenant's impatience must not stop the others.
        """
        in_hand_s = (time.monotonic_ns() - self._observer.started_ns) / 1e9
        if in_hand_s >= self.decision.variant.deadline_s and not self.observed().calls:
            permit.report(Health.BAD)

    def _job(self) -> Job:
        commission, decision = self._commission, self.decision
        return Job(
            log_id=self.opening.log_id,
            tenant=commission.action.tenant,
            project=commission.action.project,
            question=commission.action.question,
            variant=decision.variant,
            caps=decision.caps,
            deadline_ns=commission.deadline_ns,
            checkout=commission.checkout,
            seed=seed_for(
                commission.past,
                decision.variant,
                session_ttl=self._parts.conduct.session_ttl,
                now=self.began.at,
            ),
            keeps_session=commission.action.conversation_id is not None,
            retries=self._parts.conduct.retries,
        )

    def _new_observer(self) -> Observer:
        async def note_session(session: Session) -> None:
            await self._parts.log.note_session(
                self.opening.log_id, session.session_id, session.agent_id, session.agent_version
            )

        return Observer(
            prices=self._parts.prices,
            on=self.began.at.date(),
            clock=time.monotonic_ns,
            started_ns=self.began.ns,
            note_session=note_session,
            tell=self._commission.tell,
            transcript_form=self.opening.transcript_form,
        )


def _safely(kept: Callable[[Ended], Kept | None] | None, ended: Ended) -> Kept | None:
    """What is kept; nothing where that fails, since the row's ending is worth more."""
    try:
        return None if kept is None else kept(ended)
    except Exception:
        logger.exception("nothing is kept of row %s", ended.opening.log_id)
        return None
