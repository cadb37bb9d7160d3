"""The way into a path: its breaker and its places."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dispatcher.action.decision import PathName
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.policy import Conduct
from dispatcher.dispatch.breaker import Breaker, Health, Permit
from dispatcher.dispatch.turnstile import QueueFull, Turnstile
from dispatcher.paths.path import Outcome


class Barred(Exception):
    """The path isn't entered; `outcome` is how the attempt ends for it."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.error)


class Gate:
    """The way into one path, for all attempts of this process."""

    def __init__(self, path: PathName, conduct: Conduct, clock: Callable[[], int]) -> None:
        self._path = path
        self._breaker = Breaker(conduct.breaker, clock)
        self._turnstile = Turnstile(conduct.concurrency[path], conduct.queue)

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Permit]:
        """Inside the path, after a wait for a place. Raises Barred."""
        # Who finds it shut need not wait for a place; who waited asks again, since it may have shut meanwhile.
        if self._breaker.is_shut:
            raise self._circuit_open()
        try:
            await self._turnstile.enter()
        except QueueFull:
            message = f"too many attempts wait for the {self._path} path in this process"
            raise Barred(_barred(ErrorType.QUEUE_FULL, message)) from None
        try:
            permit = self._breaker.admit()
            if permit is None:
                raise self._circuit_open()
            try:
                yield permit
            finally:
                permit.report(Health.UNKNOWN)
        finally:
            self._turnstile.leave()

    def _circuit_open(self) -> Barred:
        return Barred(_barred(ErrorType.CIRCUIT_OPEN, f"the {self._path} path was failing and is left alone"))


def _barred(error_type: ErrorType, message: str) -> Outcome:
    return Outcome(
        status=Status.ERROR,
        ended_by=EndedBy.FAILURE,
        error_type=error_type,
        error_stage=ErrorStage.QUEUE,
        error=f"{message}; nothing was sent",
    )
