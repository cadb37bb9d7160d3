"""Sending again: what is transient, how long the wait is, and that nothing is applied twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths_world import AT_ONCE, make_observer

from dispatcher.action.event import Event, RetryScheduled
from dispatcher.action.observation import ErrorType
from dispatcher.action.policy import RetryPolicy
from dispatcher.paths.claude import Failure, UnexpectedReply
from dispatcher.paths.observation import Observer
from dispatcher.paths.retry import retried, wait_s


class Wrapped(Exception):
    """An error that says itself what it means."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure)


def wrapped(*, transient: bool = True, ran: bool | None = None, retry_after_s: float | None = None) -> Wrapped:
    return Wrapped(
        Failure(
            error_type=ErrorType.CONNECTION,
            http_status=None,
            message="no",
            transient=transient,
            retry_after_s=retry_after_s,
            ran=ran,
        )
    )


@dataclass
class Scripted:
    """Raises or returns what the script says, one step a call."""

    script: Sequence[Any]
    calls: int = 0

    async def __call__(self) -> Any:
        self.calls += 1
        step = self.script[self.calls - 1]
        if isinstance(step, BaseException):
            raise step
        return step


def in_s(seconds: float) -> int:
    return time.monotonic_ns() + int(seconds * 1e9)


async def again(
    send: Callable[[], Any],
    *,
    policy: RetryPolicy = AT_ONCE,
    observer: Observer | None = None,
    deadline_ns: int | None = None,
    landed: Any = None,
) -> Any:
    return await retried(
        send, policy=policy, observer=observer or make_observer(), deadline_ns=deadline_ns or in_s(60), landed=landed
    )


policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 10),
    first_wait_s=st.floats(0.001, 100),
    longest_wait_s=st.floats(0.001, 1000),
)


@given(policies, st.integers(1, 1000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0.001, 1e9))
def test_a_wait_is_between_half_and_the_whole_and_never_less_than_asked_for(
    policy: RetryPolicy, failures: int, drawn: float, asked: float | None
) -> None:
    whole = min(policy.first_wait_s * 2 ** min(failures - 1, 60), policy.longest_wait_s)
    waited = wait_s(policy, failures, drawn, asked)

    if asked is None:
        assert whole / 2 <= waited <= whole
    else:
        assert waited == max(asked, wait_s(policy, failures, drawn, None))


def test_waits_double_from_the_first_to_the_longest() -> None:
    policy = RetryPolicy(attempts=9, first_wait_s=0.5, longest_wait_s=8.0)

    assert [wait_s(policy, n, 0.0, None) for n in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 4, 4]


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_as_many_attempts_as_the_policy_says_and_the_last_failure_is_raised(attempts: int) -> None:
    errors = [wrapped() for _ in range(attempts)]
    send = Scripted(errors)
    observer = make_observer()
    with pytest.raises(Wrapped) as raised:
        await again(send, policy=RetryPolicy(attempts=attempts, first_wait_s=0.001), observer=observer)

    assert raised.value is errors[-1]
    assert (send.calls, observer.observed().retries) == (attempts, attempts - 1)


async def test_each_wait_is_told_before_it_begins_and_counted() -> None:
    told: list[Event] = []
    observer = make_observer(told.append)
    policy = RetryPolicy(attempts=3, first_wait_s=0.002, longest_wait_s=0.004)
    assert await again(Scripted([wrapped(), wrapped(), "done"]), policy=policy, observer=observer) == "done"

    waits = [event.wait_s for event in told if isinstance(event, RetryScheduled)]
    assert len(waits) == len(told) == 2
    assert 0.001 <= waits[0] <= 0.002 <= waits[1] <= 0.004
    assert observer.observed().retry_wait_ms >= int(sum(waits) * 1000), "as long as the waits took, which is no less"


@pytest.mark.parametrize("error", [wrapped(transient=False), ValueError("x"), UnexpectedReply("a page")])
async def test_what_is_not_transient_is_raised_at_once(error: Exception) -> None:
    send = Scripted([error])
    with pytest.raises(type(error)) as raised:
        await again(send)

    assert (raised.value, send.calls) == (error, 1)


async def test_a_wait_that_would_not_end_before_the_deadline_is_not_begun() -> None:
    observer = make_observer()
    send = Scripted([wrapped(retry_after_s=3600.0)])
    began = time.monotonic()
    with pytest.raises(Wrapped):
        await again(send, observer=observer, deadline_ns=in_s(60))

    assert (send.calls, observer.observed().retries) == (1, 0)
    assert time.monotonic() - began < 5


async def test_a_cancellation_ends_the_wait_and_the_sending() -> None:
    waiting = asyncio.Event()
    observer = make_observer(lambda _: waiting.set())
    send = Scripted([wrapped(retry_after_s=30.0)])
    running = asyncio.create_task(again(send, observer=observer))
    await asyncio.wait_for(waiting.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert send.calls == 1


async def test_a_cancellation_of_the_sending_itself_passes_at_once() -> None:
    send = Scripted([asyncio.CancelledError()])
    with pytest.raises(asyncio.CancelledError):
        await again(send)

    assert send.calls == 1


async def test_what_landed_is_the_result_and_nothing_is_sent_again() -> None:
    send, landed = Scripted([wrapped()]), Scripted(["found"])

    assert await again(send, landed=landed) == "found"
    assert (send.calls, landed.calls) == (1, 1)


async def test_what_did_not_land_is_sent_again_and_looked_for_before_every_further_sending() -> None:
    """A request may land late, so one look is not enough."""
    send, landed = Scripted([wrapped(), wrapped(ran=False), "sent"]), Scripted([None, None])

    assert await again(send, landed=landed) == "sent"
    assert (send.calls, landed.calls) == (3, 2)


async def test_what_was_refused_is_sent_again_without_looking() -> None:
    send, landed = Scripted([wrapped(ran=False), "sent"]), Scripted([])

    assert await again(send, landed=landed) == "sent"
    assert (send.calls, landed.calls) == (2, 0)


@pytest.mark.parametrize("looking", [wrapped(), wrapped(transient=False)])
async def test_where_looking_fails_nothing_is_sent_again_and_the_failure_before_is_raised(looking: Wrapped) -> None:
    first = wrapped()
    send, landed = Scripted([first]), Scripted([looking])
    with pytest.raises(Wrapped) as raised:
        await again(send, landed=landed)

    assert raised.value is first
    assert (send.calls, landed.calls) == (1, 1)


async def test_a_defect_while_looking_is_told_as_one() -> None:
    send, landed = Scripted([wrapped()]), Scripted([KeyError("x")])
    with pytest.raises(KeyError):
        await again(send, landed=landed)

    assert send.calls == 1
