"""How what failed for a moment is sent again: one policy for both paths, inside the caller's deadline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from tenacity import AsyncRetrying, RetryCallState

from dispatcher.action.policy import RetryPolicy
from dispatcher.paths.claude import Failure, failure_of
from dispatcher.paths.observation import Observer

T = TypeVar("T")


async def retried(
    send: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    observer: Observer,
    deadline_ns: int,
    landed: Callable[[], Awaitable[T | None]] | None = None,
) -> T:
    """What `send` returns, sent again after a transient failure, `policy.attempts` times in all.

    Each wait is told to the observer before it begins, and noted by the time it took, also where it is cut short; only
    after one that came to its end a retry is counted. One that wouldn't end before `deadline_ns`, on the observer's
    clock, isn't begun. What an error means is its attribute `failure`, else what it is to the SDK; whatever means none
    passes at once, as does a cancellation. The last failure is raised as it came.

    `landed` is for what must not be applied twice. Once a sending may have been applied although it failed, `landed`
    is asked before every further one: what it finds is the result; where it fails itself nothing is sent again, and the
    failure before it is raised.
    """
    sending = _Sending(send, landed)
    waits = _Waits(policy, observer, deadline_ns)
    retrying = AsyncRetrying(
        sleep=waits.sleep,
        retry=sending.may_be_repeated,
        wait=waits.next_s,
        stop=waits.are_over,
        before_sleep=waits.announce,
        reraise=True,
    )
    return cast("T", await retrying(sending.once))


def wait_s(policy: RetryPolicy, failures: int, drawn: float, retry_after_s: float | None) -> float:
    """The seconds to wait after so many failures: doubling from the first wait to the longest, half of it drawn.

    `drawn` is in [0, 1). Never less than the provider asks for.
    """
    whole = min(policy.first_wait_s * 2.0 ** (failures - 1), policy.longest_wait_s)
    return max(whole * (1 + drawn) / 2, retry_after_s or 0.0)


def failure_in(error: BaseException) -> Failure | None:
    """What an error means: the failure it carries, else what it is to the SDK; None for any other error."""
    carried = getattr(error, "failure", None)
    return carried if isinstance(carried, Failure) else failure_of(error)


def _latest(state: RetryCallState) -> Failure:
    assert state.outcome is not None
    error = state.outcome.exception()
    failure = None if error is None else failure_in(error)
    assert failure is not None
    return failure


@dataclass(frozen=True, slots=True)
class _Waits:
    """The waits between the sendings of one request."""

    policy: RetryPolicy
    observer: Observer
    deadline_ns: int

    def are_over(self, state: RetryCallState) -> bool:
        ends_ns = self.observer.clock() + state.upcoming_sleep * 1e9
        return state.attempt_number >= self.policy.attempts or ends_ns >= self.deadline_ns

    def next_s(self, state: RetryCallState) -> float:
        drawn = random.random()  # noqa: S311 - spreads load, hides nothing
        return wait_s(self.policy, state.attempt_number, drawn, _latest(state).retry_after_s)

    def announce(self, state: RetryCallState) -> None:
        self.observer.schedule_retry(_latest(state).error_type, state.upcoming_sleep)

    async def sleep(self, seconds: float) -> None:
        began_ns = self.observer.clock()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.observer.waited(self.observer.clock() - began_ns)
        self.observer.retry()


@dataclass(slots=True)
class _Sending(Generic[T]):
    """The request at hand, and the first of its failures that may have been none to the other side."""

    send: Callable[[], Awaitable[T]]
    landed: Callable[[], Awaitable[T | None]] | None
    ambiguous: Exception | None = None
    latest: Exception | None = None
    looking_failed: bool = False

    async def once(self) -> T:
        if self.landed is not None and self.ambiguous is not None:
            found = await self._look(self.landed)
            if found is not None:
                return found
        return await self.send()

    async def _look(self, landed: Callable[[], Awaitable[T | None]]) -> T | None:
        try:
            return await landed()
        except Exception as error:
            if failure_in(error) is None or self.latest is None:
                raise
            self.looking_failed = True
            raise self.latest from error

    def may_be_repeated(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None and state.outcome.failed else None
        failure = None if error is None else failure_in(error)
        if failure is None or self.looking_failed or not isinstance(error, Exception):
            return False
        self.latest = error
        if failure.ambiguous and self.ambiguous is None:
            self.ambiguous = error
        return failure.transient
