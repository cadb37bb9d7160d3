"""Blocking work, awaited: on a thread that keeps neither an event loop nor a program from ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from dispatcher.audit.threads import Threads

T = TypeVar("T")

_LEAVING_S = 2.0


class Blocking:
    """A thread of one's own for what waits for a database.

    The event loop's own threads are waited for when it ends, and when the interpreter does, be it for a database that
    hangs.
    """

    def __init__(self, name: str) -> None:
        self._thread = Threads(1, name)

    async def done(self, work: Callable[..., T], *arguments: Any) -> T:
        """What the work returns. A cancellation waits for it, some seconds at most; it goes on then."""
        working = asyncio.wrap_future(self._thread.submit(partial(work, *arguments)))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait((working,), timeout=_LEAVING_S)
            # Nobody looks at how it ends.
            if not working.cancel() and not working.cancelled():
                working.exception()
            raise

    def shutdown(self) -> bool:
        """Take nothing more; blocks for some seconds at most. False where work hangs: it goes on."""
        return self._thread.shutdown(0.0 if self._thread.hanging_s() else _LEAVING_S)
