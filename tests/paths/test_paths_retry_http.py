"""Sending again over real HTTP: which answers of a provider lead to a second request, and when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from paths_world import AT_ONCE, make_observer
from pydantic import SecretStr
from scripted_provider import Answer, provider, refused

from dispatcher.action.event import Event, OnEvent, RetryScheduled
from dispatcher.action.observation import ErrorType
from dispatcher.paths.claude import Claude, Failure
from dispatcher.paths.observation import Observer
from dispatcher.paths.retry import failure_in, retried

MESSAGE = Answer(b'{"id": "msg_1", "type": "message"}', content_type="application/json")
NEVER = Answer(b"", ending="cut", content_type="application/json")
"""The connection ends in the middle of the response's body."""


async def again(send: Any, observer: Observer) -> Any:
    deadline_ns = time.monotonic_ns() + 60 * 10**9
    return await retried(send, policy=AT_ONCE, observer=observer, deadline_ns=deadline_ns)


async def over_http(script: Sequence[Answer], tell: OnEvent = lambda _event: None) -> tuple[Any, int, Observer]:
    """Ask a scripted provider for a message; what came of it, the requests it saw, and what was observed."""
    observer = make_observer(tell)
    async with provider(script) as scripted:
        claude = Claude(api_key=SecretStr("k"), base_url=scripted.base_url, simulated=False)

        async def send() -> Any:
            return await claude.client().messages.create(model="m", max_tokens=1, messages=[])

        try:
            result = await again(send, observer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            result = failure_in(error)
        return result, len(scripted.requests), observer


def told_to(answer: Answer, *, retry: str) -> Answer:
    return replace(answer, headers={"x-should-retry": retry})


@pytest.mark.parametrize(
    ("first", "sent_again"),
    [
        (refused(429, "rate_limit_error"), True),
        (refused(408, "timeout_error"), True),
        (refused(500, "api_error"), True),
        (refused(529, "overloaded_error"), True),
        (Answer(b"<html>Bad gateway</html>", status=502, content_type="text/html"), True),
        (NEVER, True),
        (refused(400, "invalid_request_error"), False),
        (refused(401, "authentication_error"), False),
        (refused(402, "billing_error"), False),
        (refused(403, "permission_error"), False),
        (refused(404, "not_found_error"), False),
        (refused(409, "conflict_error"), False),
        (refused(413, "request_too_large"), False),
        (refused(429, "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}), False),
        (Answer(b"<html>Log in</html>", content_type="text/html"), False),
        (told_to(refused(500, "api_error"), retry="false"), False),
        (told_to(refused(429, "rate_limit_error"), retry="false"), False),
        (told_to(refused(409, "conflict_error"), retry="true"), True),
        (told_to(refused(401, "authentication_error"), retry="true"), False),
    ],
)
async def test_only_what_may_do_well_a_moment_later_is_sent_again(first: Answer, *, sent_again: bool) -> None:
    result, requests, observer = await over_http([first, MESSAGE])

    assert requests == 1 + sent_again
    assert observer.observed().retries == sent_again
    assert isinstance(result, Failure) != sent_again


@pytest.mark.parametrize(
    ("headers", "least_s"),
    [
        ({"retry-after-ms": "30"}, 0.03),
        ({"retry-after": "0.03"}, 0.03),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after-ms": "-1", "retry-after": "0.03"}, 0.03),
    ],
)
async def test_the_provider_is_not_asked_before_it_wants_to_be(headers: dict[str, str], least_s: float) -> None:
    busy = Answer(refused(429, "rate_limit_error").body, 429, headers, "application/json")
    told: list[Event] = []
    _, requests, observer = await over_http([busy, MESSAGE], told.append)
    [planned] = [event.wait_s for event in told if isinstance(event, RetryScheduled)]

    assert requests == 2
    assert least_s <= planned <= max(least_s, AT_ONCE.longest_wait_s)
    assert observer.observed().retry_wait_ms >= least_s * 1000


async def test_a_longer_wait_than_there_is_time_for_is_raised_with_what_was_asked() -> None:
    busy = Answer(refused(429, "rate_limit_error").body, 429, {"retry-after": "3600"}, "application/json")
    result, requests, _ = await over_http([busy])

    assert (requests, result.retry_after_s) == (1, 3600.0)


async def test_a_provider_that_is_not_there_is_tried_again_and_ran_nothing() -> None:
    observer = make_observer()
    claude = Claude(api_key=SecretStr("k"), base_url="http://127.0.0.1:9", simulated=False)
    with pytest.raises(Exception, match="Connection") as raised:
        await again(lambda: claude.client().messages.create(model="m", max_tokens=1, messages=[]), observer)

    failure = failure_in(raised.value)
    assert failure is not None
    assert (failure.error_type, failure.transient, failure.ran) == (ErrorType.CONNECTION, True, False)
    assert observer.observed().retries == AT_ONCE.attempts - 1
