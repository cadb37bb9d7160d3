"""One dispatch from end to end, for async callers and for blocking ones."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import logging
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable

from dispatcher.action.event import Event, Finished, OnEvent
from dispatcher.action.request import FEATURE, ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.dispatch.bridge import Bridge, refuse_on_event_loop
from dispatcher.dispatch.conversation import Past, past_of
from dispatcher.dispatch.dispatch import Dispatch
from dispatcher.dispatch.keeping import read_result
from dispatcher.dispatch.parts import Parts
from dispatcher.dispatch.rows import Began
from dispatcher.dispatch.under_way import UnderWay
from dispatcher.errors import DuplicateAction, InvalidAction
from dispatcher.paths.repository.checkout import resolve

logger = logging.getLogger(__name__)


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
        self._under_way = UnderWay()
        _ALIVE.add(self)

    def dispatch_research(self, action: ResearchAction, on_event: OnEvent | None = None) -> ResearchResult:
        """Carry out the action and wait for it; see `adispatch_research`.

        Raises CalledOnEventLoop on the thread of a running event loop.
        """
        return self._bridge.run(self.adispatch_research(action, on_event))

    async def adispatch_research(self, action: ResearchAction, on_event: OnEvent | None = None) -> ResearchResult:
        """Decide, open the row, run the path, close the row, answer.

        Every ending of the research itself is a result. An action that isn't carried out is an error, and nothing is
        spent then: InvalidAction or RepositoryUnusable where it can't be, ConversationContinues or ConversationBusy
        where its conversation can't go on, ActionInProgress, DuplicateAction or IdempotencyKeyReused where its key is
        taken, BudgetExhausted where the tenant's budget has no room, and LogUnavailable where the log can't take the
        row. A cancellation closes the row, with its usage, before it propagates. `on_event` is told of the progress on
        the event loop's thread; an exception of it is logged and ends the telling, not the dispatch.
        """
        with self._under_way.counted():
            return await self._carry_out(action, on_event)

    async def _carry_out(self, action: ResearchAction, on_event: OnEvent | None) -> ResearchResult:
        began = Began(at=dt.datetime.now(dt.UTC), ns=time.monotonic_ns())
        tell = _ignore if on_event is None else Telling(on_event)
        parts = await asyncio.to_thread(self._ready_parts) if self._parts is None else self._parts
        parts.router.refuse_foreign_repository(action)
        checkout = await asyncio.to_thread(resolve, action.repository)
        try:
            await _refuse_taken_key(parts, action)
            past = await _past(parts, action, began)
            dispatch = await Dispatch.decided(parts, action, checkout, past, began, tell)
            result = await dispatch.answer()
        except DuplicateAction:
            kept = await _kept_result(parts, action, began)
            if kept is None:
                raise
            result = kept
        tell(Finished(result=result))
        return result

    async def astream_research(self, action: ResearchAction) -> AsyncGenerator[Event, None]:
        """The events of a dispatch as they happen, `Finished` with the result last; see `adispatch_research`.

        Whoever leaves before the end, by `aclose()` or by cancellation, cancels the dispatch and waits until its row
        is closed. A generator that is only dropped is left by the garbage collector, later.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        task = asyncio.ensure_future(self.adispatch_research(action, events.put_nowait))
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def settle(self) -> None:
        """Wait for what this event loop's dispatches left to wind down at the provider, some seconds at most.

        Answers don't wait for it. Belongs at the end of a program that awaits; one that blocks has `close`.
        """
        if self._parts is not None:
            await self._parts.settle()

    def close(self) -> None:
        """Cancel what is under way, on every event loop, settle it, and free the threads and connections.

        Raises CalledOnEventLoop on the thread of a running event loop.
        """
        refuse_on_event_loop()
        parts, self._parts = self._parts, None
        if parts is not None:
            self._under_way.end()
            self._bridge.close(parts.settle())
            if parts.sweep is not None:
                parts.sweep.shutdown()
            parts.router.flags.stop()
            parts.recall.shutdown()
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
        self._parts, self._bridge, self._lock, self._under_way = None, Bridge(), threading.Lock(), UnderWay()


_ALIVE: weakref.WeakSet[Dispatcher] = weakref.WeakSet()


def _forget_what_was_inherited() -> None:
    for dispatcher in tuple(_ALIVE):
        dispatcher._forget_inherited()  # noqa: SLF001 - the fork hook is the class's own


os.register_at_fork(after_in_child=_forget_what_was_inherited)


class Telling:
    """Passes events on to a callback of the application, until that fails, in whatever way.

    Raises InvalidAction where the callback would have to be awaited: it would never run.
    """

    def __init__(self, on_event: OnEvent) -> None:
        if inspect.iscoroutinefunction(on_event):
            raise InvalidAction("on_event", ["is an async function; give a plain one, or use astream_research()"])
        self._on_event: OnEvent | None = on_event

    def __call__(self, event: Event) -> None:
        """Pass on an event."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except BaseException:
            # Even a SystemExit of a display mustn't end a dispatch that is paid for.
            logger.exception("on_event failed and is told nothing more; the dispatch goes on")
            self._on_event = None


def _ignore(_event: Event) -> None:
    """Nobody follows the dispatch."""


async def _refuse_taken_key(parts: Parts, action: ResearchAction) -> None:
    # A repeated turn would otherwise hear of the conversation that it has itself carried on.
    if action.idempotency_key is not None and action.conversation_id is not None:
        key = (action.tenant, FEATURE, action.idempotency_key)
        await parts.log.refuse_taken_key(*key, action.request_hash)


async def _past(parts: Parts, action: ResearchAction, began: Began) -> Past:
    if action.conversation_id is None:
        return Past()
    key = (action.tenant, FEATURE, action.conversation_id)
    return past_of(action, await parts.log.conversation(*key, origin=parts.setting.origin, now=began.at))


async def _kept_result(parts: Parts, action: ResearchAction, began: Began) -> ResearchResult | None:
    if parts.conduct.results is None or action.idempotency_key is None:
        return None
    key = (action.tenant, FEATURE, action.idempotency_key)
    text = await parts.log.kept_result(*key, origin=parts.setting.origin, now=began.at)
    return None if text is None else read_result(text)
