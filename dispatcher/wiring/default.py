"""The instance behind `dispatch_research()`, built from the environment."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from dispatcher.action.event import Event, OnEvent
from dispatcher.action.request import ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.dispatch.dispatcher import Dispatcher
from dispatcher.settings import load_settings
from dispatcher.wiring.serving import build_dispatcher

if TYPE_CHECKING:
    pass


_default: Dispatcher | None = None
# A fork in the middle of the building would leave the child a half-built instance and a lock that nobody releases.
_default_lock = threading.RLock()
os.register_at_fork(
    before=_default_lock.acquire, after_in_parent=_default_lock.release, after_in_child=_default_lock.release
)


def default_dispatcher() -> Dispatcher:
    """The instance behind `dispatch_research()`, built from the environment at the first call."""
    global _default  # noqa: PLW0603 - one default instance a process is what the module-level call means
    with _default_lock:
        if _default is None:
            _default = build_dispatcher(load_settings())
            atexit.register(_default.close)
        return _default


def dispatch_research(action: ResearchAction, on_event: OnEvent | None = None) -> ResearchResult:
    """Carry out the action with the default dispatcher and wait for it; see `Dispatcher.dispatch_research`."""
    return default_dispatcher().dispatch_research(action, on_event)


async def adispatch_research(action: ResearchAction, on_event: OnEvent | None = None) -> ResearchResult:
    """Carry out the action with the default dispatcher; see `Dispatcher.adispatch_research`."""
    return await (await _ready_dispatcher()).adispatch_research(action, on_event)


async def astream_research(action: ResearchAction) -> AsyncGenerator[Event, None]:
    """The events of a dispatch with the default dispatcher; see `Dispatcher.astream_research`."""
    dispatcher = await _ready_dispatcher()
    async with aclosing(dispatcher.astream_research(action)) as events:
        async for event in events:
            yield event


async def _ready_dispatcher() -> Dispatcher:
    # The first call opens the database and imports the SDK, a second's work that must not stall the loop.
    return await asyncio.to_thread(default_dispatcher) if _default is None else _default
