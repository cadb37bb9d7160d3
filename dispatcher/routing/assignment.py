"""What a conversation was assigned before: asked of the log once, in bounded time, and remembered."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from dispatcher.action.decision import Assignment

LOOK_UP_BOUND_S = 0.05
"""How long a decision waits for the log; a conversation that isn't known by then is decided afresh."""
MOST_REMEMBERED = 10_000
"""Of how many conversations a process remembers the assignment; beyond it, whoever was asked for longest ago goes."""

Key = tuple[str, str, str]
"""A conversation: tenant, feature, conversation_id."""


class Assignments(Protocol):
    """Where the assignments of conversations are kept. It may be asked from several threads and event loops."""

    def look_up(self, tenant: str, feature: str, conversation_id: str) -> Future[Assignment | None]:
        """Begin to look for the conversation's assignment, which never changes once there is one; None without one.

        Returns at once. A cancelled look-up that hasn't begun never does. Whatever keeps it from being answered is
        the future's exception.
        """
        ...

    def shutdown(self) -> None:
        """Free what the look-ups need; later ones fail. Blocks until the one that runs has ended, a second at most."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What is known of a conversation's assignment; `problem` says why nothing could be found out in time."""

    assignment: Assignment | None = None
    problem: str | None = None


NOTHING_ASSIGNED = Recalled()


class Recall:
    """The assignments of conversations as this process knows them.

    What was found is remembered, since it never changes; that there was none isn't, since the next turn may find one.
    Safe to share between threads and event loops. A forked child makes its own.
    """

    def __init__(
        self, assignments: Assignments, *, bound_s: float = LOOK_UP_BOUND_S, most: int = MOST_REMEMBERED
    ) -> None:
        self._assignments = assignments
        self._bound_s = bound_s
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, Recalled] = OrderedDict()

    async def of(self, tenant: str, feature: str, conversation_id: str) -> Recalled:
        """The conversation's assignment; never raises for a log that fails and never waits longer than the bound."""
        key = (tenant, feature, conversation_id)
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
        if known is not None:
            return known
        found = self._assignments.look_up(*key)
        # What comes too late for this turn is there for the next one.
        found.add_done_callback(partial(self._remember, key))
        answered = asyncio.wrap_future(found)
        try:
            await asyncio.wait({answered}, timeout=self._bound_s)
            if not answered.done():
                return Recalled(problem=f"the log did not answer within {self._bound_s * 1000:g} ms")
        finally:
            # Also where the caller is cancelled: nobody waits any more, and a loop that ends must not be told.
            answered.cancel()
        if answered.cancelled():
            return Recalled(problem="the look-up was cancelled")
        error = answered.exception()
        return Recalled(assignment=answered.result()) if error is None else Recalled(problem=str(error))

    def shutdown(self) -> None:
        """Free what the look-ups need; blocks until the one that runs has ended, a second at most."""
        self._assignments.shutdown()

    def _remember(self, key: Key, found: Future[Assignment | None]) -> None:
        if found.cancelled() or found.exception() is not None:
            return
        assignment = found.result()
        if assignment is None:
            return
        with self._lock:
            self._known[key] = Recalled(assignment=assignment)
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
