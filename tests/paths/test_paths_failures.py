"""What every error of the SDK means, in one total classification."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import httpx2
import pytest

from dispatcher.action.observation import ErrorType
from dispatcher.paths.claude import Failure, OriginMismatch, UnexpectedReply, failure_of, one_sentence
from dispatcher.paths.stream_events import ErrorEvent

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/messages", headers={"authorization": "Bearer sk-ant-secret"})


def status_error(
    status: int, error: dict[str, Any] | None, headers: dict[str, str] | None = None
) -> anthropic.APIStatusError:
    body: Any = None if error is None else {"type": "error", "error": error}
    client = anthropic.Anthropic(api_key="sk-ant-secret", base_url="http://127.0.0.1")
    text = "" if body is None else json.dumps(body)
    response = httpx2.Response(status, request=REQUEST, text=text, headers=headers)
    return client._make_status_error("raw text", body=body, response=response)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"type": "invalid_request_error", "message": "m"}, ErrorType.INVALID_REQUEST),
        (401, {"type": "authentication_error", "message": "m"}, ErrorType.AUTHENTICATION),
        (402, {"type": "billing_error", "message": "m"}, ErrorType.BILLING),
        (403, {"type": "permission_error", "message": "m"}, ErrorType.PERMISSION),
        (404, {"type": "not_found_error", "message": "m"}, ErrorType.NOT_FOUND),
        (408, None, ErrorType.PROVIDER_ERROR),
        (409, {"type": "conflict_error", "message": "m"}, ErrorType.INVALID_REQUEST),
        (413, {"type": "request_too_large", "message": "m"}, ErrorType.INVALID_REQUEST),
        (422, None, ErrorType.INVALID_REQUEST),
        (429, {"type": "rate_limit_error", "message": "m"}, ErrorType.RATE_LIMITED),
        (500, {"type": "api_error", "message": "m"}, ErrorType.PROVIDER_ERROR),
        (502, None, ErrorType.PROVIDER_ERROR),
        (504, {"type": "timeout_error", "message": "m"}, ErrorType.PROVIDER_ERROR),
        (529, {"type": "overloaded_error", "message": "m"}, ErrorType.OVERLOADED),
        (529, None, ErrorType.OVERLOADED),
        (401, None, ErrorType.AUTHENTICATION),
        (418, {"type": "from_the_future", "message": "m"}, ErrorType.INVALID_REQUEST),
        (599, {"type": 3, "message": ["m"]}, ErrorType.PROVIDER_ERROR),
        (200, {"type": "overloaded_error", "message": "m"}, ErrorType.OVERLOADED),
        (200, {"type": "rate_limit_error", "message": "m"}, ErrorType.RATE_LIMITED),
        (200, None, ErrorType.PROVIDER_ERROR),
        (
            429,
            {
                "type": "rate_limit_error",
                "message": "m",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
            ErrorType.BILLING,
        ),
    ],
)
def test_a_status_error_is_told_by_its_code_its_type_or_its_status(
    status: int, error: dict[str, Any] | None, expected: ErrorType
) -> None:
    failure = failure_of(status_error(status, error))

    assert failure is not None
    assert (failure.error_type, failure.http_status) == (expected, status)


def connection_error(cause: Exception) -> anthropic.APIConnectionError:
    error = anthropic.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OriginMismatch(), ErrorType.ORIGIN_MISMATCH),
        (UnexpectedReply("a page"), ErrorType.UNEXPECTED_REPLY),
        (json.JSONDecodeError("m", "doc", 0), ErrorType.UNEXPECTED_REPLY),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "m"), ErrorType.UNEXPECTED_REPLY),
        (httpx2.DecodingError("bad gzip"), ErrorType.UNEXPECTED_REPLY),
        (httpx2.RemoteProtocolError("peer closed"), ErrorType.CONNECTION),
        (httpx2.ReadError("reset"), ErrorType.CONNECTION),
        (httpx2.ReadTimeout("slow"), ErrorType.CONNECTION),
        (httpx2.StreamClosed(), ErrorType.CONNECTION),
        (httpx2.TooManyRedirects("loop"), ErrorType.CONNECTION),
        (anthropic.APITimeoutError(request=REQUEST), ErrorType.CONNECTION),
        (connection_error(httpx2.ConnectError("refused")), ErrorType.CONNECTION),
        (httpx2.InvalidURL("no url"), ErrorType.INVALID_REQUEST),
        (anthropic.AnthropicError("no credential"), ErrorType.INVALID_REQUEST),
    ],
)
def test_an_error_without_a_status_is_told_by_where_it_arose(error: Exception, expected: ErrorType) -> None:
    failure = failure_of(error)

    assert failure is not None
    assert failure.error_type is expected


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), asyncio.CancelledError(), KeyboardInterrupt()])
def test_a_defect_of_ours_and_a_cancellation_are_no_failure_of_the_provider(error: BaseException) -> None:
    assert failure_of(error) is None


def every_class(root: type[BaseException]) -> set[type[BaseException]]:
    return {root}.union(*map(every_class, root.__subclasses__()))


REFUSED = httpx2.Response(429, request=httpx2.Request("POST", "http://localhost/v1/messages"))


def test_no_error_class_of_the_sdk_is_unknown() -> None:
    kinds = every_class(anthropic.AnthropicError)
    unknown = set()
    for kind in kinds:
        error = kind.__new__(kind)
        error.__dict__.update(status_code=429, type=None, error_code=None, api_message=None, response=REFUSED)
        if not isinstance(failure_of(error), Failure):
            unknown.add(kind)

    assert len(kinds) > 20
    assert unknown == set()


def test_a_message_is_one_bounded_line_without_a_secret() -> None:
    told = (
        "first\nBearer sk-ant-api03-abcdefgh and ghp_0123456789abcdef, github_pat_11AAA and sk-ant-xyz_-123 "
        + "x" * 999
    )
    failure = failure_of(status_error(400, {"type": "invalid_request_error", "message": told}))

    assert failure is not None
    assert failure.message.startswith("the provider answered 400 invalid_request_error: first [secret]")
    assert len(failure.message) <= 400
    for secret in ("abcdefgh", "ghp_", "github_pat", "xyz", "\n"):
        assert secret not in failure.message


def test_a_connection_error_quotes_nothing_of_the_request() -> None:
    cause = httpx2.LocalProtocolError("Illegal header value b'Bearer sk-ant-secret\\n'")
    failure = failure_of(connection_error(cause))

    assert failure == Failure(
        error_type=ErrorType.CONNECTION,
        http_status=None,
        message="the connection to the provider failed (LocalProtocolError)",
        ran=False,
    )


def test_plain_words_are_left_alone() -> None:
    assert one_sentence("max_tokens: 9 > 8, the  task-sk is too large") == "max_tokens: 9 > 8, the task-sk is too large"


@pytest.mark.parametrize("before", range(270, 305))
def test_a_known_secret_is_blotted_out_before_the_message_is_cut(before: int) -> None:
    secret = "correct-horse-battery"
    told = f"{'x' * before} {secret} {secret}-staple"
    secrets = (secret, f"{secret}-staple", "")
    failure = failure_of(status_error(400, {"type": f"type {secret}", "message": told}), secrets)

    assert failure is not None
    for text in (failure.message, one_sentence(told, secrets)):
        assert "corr" not in text
        assert "staple" not in text


def test_a_known_secret_is_blotted_out_of_an_unexpected_reply() -> None:
    failure = failure_of(UnexpectedReply("the session said hunter2"), ("hunter2",))

    assert failure is not None
    assert failure.message == "the session said [secret]"


def test_a_message_can_always_be_stored() -> None:
    failure = failure_of(status_error(400, {"type": "a\ud800b" + "x" * 999, "message": "c\udfff\x00d"}))

    assert failure is not None
    assert failure.message.startswith("the provider answered 400 a\ufffdbx")
    assert one_sentence("c\udfff\x00d") == "c\ufffd\ufffdd"


API = {"type": "api_error", "message": "m"}
NO_RUN, MAYBE = False, None


@pytest.mark.parametrize(
    ("error", "transient", "ran"),
    [
        (status_error(429, {"type": "rate_limit_error", "message": "m"}), True, NO_RUN),
        (status_error(529, {"type": "overloaded_error", "message": "m"}), True, NO_RUN),
        (status_error(529, None), True, NO_RUN),
        (status_error(408, None), True, MAYBE),
        (status_error(500, API), True, MAYBE),
        (status_error(503, None), True, MAYBE),
        (status_error(499, None), False, MAYBE),
        (status_error(409, {"type": "conflict_error", "message": "m"}), False, NO_RUN),
        (status_error(400, {"type": "invalid_request_error", "message": "m"}), False, NO_RUN),
        (status_error(400, {"type": "invalid_request_error"}, {"x-should-retry": "true"}), True, NO_RUN),
        (status_error(500, API, {"x-should-retry": "false"}), False, MAYBE),
        (status_error(403, {"type": "permission_error"}, {"x-should-retry": "true"}), False, NO_RUN),
        (ErrorEvent({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, {}), True, MAYBE),
        (ErrorEvent({"type": "error", "error": {"type": "invalid_request_error", "message": "m"}}, {}), False, MAYBE),
        (ErrorEvent("no object", {}), True, MAYBE),
        (OriginMismatch(), False, MAYBE),
        (UnexpectedReply("a page"), False, MAYBE),
        (httpx2.DecodingError("bad gzip"), False, MAYBE),
        (httpx2.RemoteProtocolError("peer closed"), True, MAYBE),
        (httpx2.ReadTimeout("slow"), True, MAYBE),
        (httpx2.WriteError("reset"), True, MAYBE),
        (connection_error(httpx2.ConnectError("refused")), True, NO_RUN),
        (connection_error(httpx2.PoolTimeout("full")), True, NO_RUN),
        (connection_error(httpx2.LocalProtocolError("bad header")), False, NO_RUN),
        (connection_error(httpx2.TooManyRedirects("loop")), False, MAYBE),
        (httpx2.StreamClosed(), False, MAYBE),
        (httpx2.InvalidURL("no url"), False, NO_RUN),
    ],
)
def test_a_failure_says_whether_it_may_pass_and_whether_the_request_was_run(
    error: Exception, *, transient: bool, ran: bool | None
) -> None:
    failure = failure_of(error)

    assert failure is not None
    assert (failure.transient, failure.ran) == (transient, ran)
    assert failure.ambiguous == (ran is MAYBE)


def test_an_error_event_is_told_like_an_error_response() -> None:
    failure = failure_of(ErrorEvent({"error": {"type": "overloaded_error", "message": "busy sk-ant-secret-1"}}, {}))

    assert failure is not None
    assert (failure.error_type, failure.http_status) == (ErrorType.OVERLOADED, 200)
    assert failure.message == "the provider answered 200 overloaded_error: busy [secret]"


def test_the_wait_that_is_asked_for_is_part_of_the_failure() -> None:
    failure = failure_of(status_error(429, {"type": "rate_limit_error", "message": "m"}, {"retry-after": "7"}))

    assert failure is not None
    assert failure.retry_after_s == 7.0
