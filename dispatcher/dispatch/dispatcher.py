"""One dispatch from end to end, for async callers and for blocking ones."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from dispatcher.action.decision import Decision, PathName
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.request import ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.audit.log import Log
from dispatcher.audit.record import AttemptOpening, new_log_id
from dispatcher.dispatch.bridge import Bridge, refuse_on_event_loop
from dispatcher.dispatch.rows import Began, Setting, ending_of, opening_of, result_of
from dispatcher.errors import LogUnavailable
from dispatcher.paths.observation import Observer, Session
from dispatcher.paths.path import Job, Outcome, Path
from dispatcher.paths.repository import Checkout, resolve
from dispatcher.prices import PriceTable
from dispatcher.routing.router import Router

logger = logging.getLogger(__name__)

CANCELLED = Outcome(
    status=Status.CANCELLED,
    ended_by=EndedBy.CANCEL,
    error_type=ErrorType.CANCELLED,
    error="the caller cancelled",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a dispatcher is made of.

    `settle` waits for what the running event loop's attempts left to wind down at the provider.
    """

    router: Router
    paths: Mapping[PathName, Path]
    log: Log
    prices: PriceTable
    setting: Setting
    settle: Callable[[], Coroutine[Any, Any, None]]


class Dispatcher:
    """Carries out research actions, each with one decision and one row in the log.

    `assemble` makes the parts. They are made at once, and again in a child after a fork, since neither a thread nor a
    connection survives one; it is handed the parent's parts then, None otherwise. Safe to share between threads and
    event loops.
    """

    def __init__(self, assemble: Callable[[Parts | None], Parts]) -> None:
        self._assemble = assemble
        self._parts: Parts | None = assemble(None)
        self._inherited: Parts | None = None
        self._kept: list[object] = []
        self._lock = threading.Lock()
        self._bridge = Bridge()
        _ALIVE.add(self)

    def dispatch_research(self, action: ResearchAction) -> ResearchResult:
        """Carry out the action and wait for it; see `adispatch_research`.

        Raises CalledOnEventLoop on the thread of a running event loop.
        """
        return self._bridge.run(self.adispatch_research(action))

    async def adispatch_research(self, action: ResearchAction) -> ResearchResult:
        """Decide, open the row, run the path, close the row, answer.

        Every ending of the research itself is a result. Raises InvalidAction or RepositoryUnusable for an action that
        can't be carried out and LogUnavailable where the log can't take the row: nothing is spent then. A cancellation
        closes the row, with its usage, before it propagates.
        """
        began = Began(at=dt.datetime.now(dt.UTC), ns=time.monotonic_ns())
        parts = await asyncio.to_thread(self._ready_parts) if self._parts is None else self._parts
        parts.router.refuse_foreign_repository(action)
        checkout = await asyncio.to_thread(resolve, action.repository)
        dispatch_id = new_log_id()
        mountable = parts.router.mountable(action, has_commit=checkout.commit_sha is not None)
        decision = parts.router.decide(action, mountable=mountable, unit=action.conversation_id or dispatch_id)
        opening = opening_of(
            action, decision, checkout, parts.setting, began, log_id=new_log_id(), dispatch_id=dispatch_id
        )
        attempt = _Attempt(parts, action, decision, checkout, opening, began)
        return await attempt.carry_out()

    async def settle(self) -> None:
        """Wait for what this event loop's dispatches left to wind down at the provider, some seconds at most.

        Answers don't wait for it. Belongs at the end of a program that awaits; one that blocks has `close`.
        """
        if self._parts is not None:
            await self._parts.settle()

    def close(self) -> None:
        """Cancel what blocking callers still wait for, settle it, and free the threads and connections.

        Raises CalledOnEventLoop on the thread of a running event loop.
        """
        refuse_on_event_loop()
        parts, self._parts = self._parts, None
        if parts is not None:
            self._bridge.close(parts.settle())
            parts.log.shutdown()

    def _ready_parts(self) -> Parts:
        with self._lock:
            if self._parts is None:
                self._parts = self._assemble(self._inherited)
            return self._parts

    def _forget_inherited(self) -> None:
        # The parent's connections and locks live on in this copy: they are kept, untouched, so that no destructor
        # closes what the parent still uses.
        # A child that forks again before it ever dispatched passes on what it was given.
        self._kept += [self._parts, self._bridge, self._lock]
        self._inherited = self._parts or self._inherited
        self._parts, self._bridge, self._lock = None, Bridge(), threading.Lock()


_ALIVE: weakref.WeakSet[Dispatcher] = weakref.WeakSet()


def _forget_what_was_inherited() -> None:
    for dispatcher in tuple(_ALIVE):
        dispatcher._forget_inherited()  # noqa: SLF001 - the fork hook is the class's own


os.register_at_fork(after_in_child=_forget_what_was_inherited)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One run of one path, between the opening of its row and the closing."""

    parts: Parts
    action: ResearchAction
    decision: Decision
    checkout: Checkout
    opening: AttemptOpening
    began: Began

    async def carry_out(self) -> ResearchResult:
        # Every step runs in this very task: a loop that ends cancels all its tasks, and one that was only just made for
        # the closing would never begin.
        observer = self._observer()
        await self._open(observer)
        try:
            outcome = await self._run(observer)
        except asyncio.CancelledError:
            await self._close(CANCELLED, observer)
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as defect:
            await self._close(_internal(defect), observer)
            raise
        return await self._close(outcome, observer)

    def _observer(self) -> Observer:
        async def note_session(session: Session) -> None:
            await self.parts.log.note_session(
                self.opening.log_id, session.session_id, session.agent_id, session.agent_version
            )

        return Observer(
            prices=self.parts.prices,
            on=self.began.at.date(),
            clock=time.monotonic_ns,
            started_ns=self.began.ns,
            note_session=note_session,
        )

    async def _open(self, observer: Observer) -> None:
        try:
            await self.parts.log.open(self.opening)
        except asyncio.CancelledError:
            # The log has settled it: the row is there and ends now, or it was refused and there is none to end.
            await self._close(CANCELLED, observer, perhaps_refused=True)
            raise

    async def _run(self, observer: Observer) -> Outcome:
        variant = self.decision.variant
        job = Job(
            log_id=self.opening.log_id,
            tenant=self.action.tenant,
            question=self.action.question,
            variant=variant,
            iteration_cap=self.decision.iteration_cap,
            checkout=self.checkout,
        )
        waited_s = (time.monotonic_ns() - self.began.ns) / 1e9
        try:
            async with asyncio.timeout(self.decision.deadline_s - waited_s) as deadline:
                return await self.parts.paths[variant.path].run(job, observer)
        except LogUnavailable as error:
            return Outcome(
                status=Status.ERROR,
                ended_by=EndedBy.FAILURE,
                error_type=ErrorType.LOG_UNAVAILABLE,
                error_stage=ErrorStage.SESSION,
                error=str(error),
            )
        except TimeoutError:
            if not deadline.expired():
                raise
            # A report accepted in time is the answer, however long the rest took.
            return observer.accepted or Outcome(
                status=Status.ERROR,
                ended_by=EndedBy.DEADLINE,
                error_type=ErrorType.DEADLINE,
                error=f"no answer within the deadline of {self.decision.deadline_s:g} s",
            )

    async def _close(self, outcome: Outcome, observer: Observer, *, perhaps_refused: bool = False) -> ResearchResult:
        seen = observer.observed()
        response_time_ms = (time.monotonic_ns() - self.began.ns) // 1_000_000
        ending = ending_of(outcome, seen, response_time_ms, dt.datetime.now(dt.UTC), self.parts.prices.version)
        try:
            await self.parts.log.close(self.opening.log_id, ending, seen.calls)
        except LogUnavailable as error:
            # The action was accepted and its row is durable as `started`; the answer isn't withheld for it.
            if not perhaps_refused:
                logger.error("row %s stays open, its ending could not be written: %s", self.opening.log_id, error)  # noqa: TRY400
        return result_of(self.opening, self.decision, outcome, seen, response_time_ms)


def _internal(defect: BaseException) -> Outcome:
    return Outcome(
        status=Status.ERROR,
        ended_by=EndedBy.FAILURE,
        error_type=ErrorType.INTERNAL,
        error=f"a defect of the dispatcher: {type(defect).__name__}",
    )
