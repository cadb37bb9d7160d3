"""The one door to the provider's SDK: clients, what their errors mean, and whether a simulator answers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from dispatcher.action.observation import ErrorType
from dispatcher.paths.lifetimes import close_with, drop_closed
from dispatcher.paths.origin import SIMULATOR_HEADER, SIMULATOR_NAME
from dispatcher.paths.refusal import error_type_of, is_transient, was_refused
from dispatcher.paths.stream_events import ErrorEvent
from dispatcher.paths.wire import blotted, seconds_to_wait, storable

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncAnthropic

_MESSAGE_CHARS, _LOOKED_AT_CHARS = 300, 10_000
_BLOT = "[secret]"
_SECRET = re.compile(r"(?i)\b(?:sk-[\w-]{6,}|bearer\s+[^\s\"',]+|gh[a-z]_\w{6,}|github_pat_\w+)")


class OriginMismatch(Exception):
    """A response carries the simulator's mark although the provider was expected, or lacks it although it wasn't."""


class UnexpectedReply(Exception):
    """A response with status 200 that is not of the API's form."""


class Claude:
    """Clients of the provider for whoever asks, one per running event loop.

    `simulated` says whether the simulator stands behind `base_url`; every response is held against it.
    """

    def __init__(self, *, api_key: SecretStr, base_url: str, simulated: bool) -> None:
        self.base_url = base_url
        self.simulated = simulated
        self._api_key = api_key
        # The SDK costs about a second and 75 MB to import: paid where a door is made, and in no caller's wait.
        self._sdk = import_module("anthropic")
        _keep_requests_out_of_logs()
        self._clients: dict[asyncio.AbstractEventLoop, AsyncAnthropic] = {}

    def client(self) -> AsyncAnthropic:
        """The client of the running event loop; it lasts as long as the loop.

        Its connections belong to the loop, so it must not be used on another one.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            drop_closed(self._clients)
            self._clients[loop] = self._new_client()
            close_with(loop, self._clients[loop])
        return self._clients[loop]

    def _new_client(self) -> AsyncAnthropic:
        client: AsyncAnthropic = self._sdk.AsyncAnthropic(
            api_key=self._api_key.get_secret_value(),
            base_url=self.base_url,
            max_retries=0,
            open_telemetry=False,
            middleware=[partial(_checked, self.simulated)],
        )
        return client


def _keep_requests_out_of_logs() -> None:
    """Silence the DEBUG lines of the SDK's requests, which hold whole bodies and headers, whatever the level set."""
    logging.getLogger("anthropic._base_client").addFilter(_no_detail)


def _no_detail(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


async def _checked(simulated: bool, request: Any, call_next: Any) -> Any:  # noqa: FBT001 - bound, then called by the SDK
    """Hold a response against what is expected of its origin and its form, before the SDK reads it."""
    response = await call_next(request)
    try:
        await _check(simulated, request, response)
    except BaseException:
        await response.http_response.aclose()
        raise
    return response


async def _check(simulated: bool, request: Any, response: Any) -> None:  # noqa: FBT001 - as above
    http = response.http_response
    if (http.headers.get(SIMULATOR_HEADER) == SIMULATOR_NAME) is not simulated:
        raise OriginMismatch
    if not http.is_success:
        return
    if request.stream:
        if not http.headers.get("content-type", "").startswith("text/event-stream"):
            raise UnexpectedReply("a reply that should be an event stream is none")
    elif not await _is_object(response):
        raise UnexpectedReply("a reply is not an object of the API")


async def _is_object(response: Any) -> bool:
    from anthropic import BaseModel  # noqa: PLC0415

    try:
        # The SDK hands out text, not an error, where a body isn't JSON.
        return isinstance(await response.parse(), BaseModel)
    except AttributeError:
        # Where it expects a page of a list it takes that text for one.
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong at the provider or on the way there; `message` is one sentence and holds no secret.

    `http_status` is None where no response arrived, and 200 where an event stream ended with an error. `transient` says
    that the same request may do well a moment later, at the earliest after `retry_after_s` seconds where the provider
    names them. `ran` says whether the request was carried out, and billed; None where that can't be told.
    """

    error_type: ErrorType
    http_status: int | None
    message: str
    transient: bool = False
    retry_after_s: float | None = None
    ran: bool | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether the request may have been applied although it failed."""
        return self.ran is not False


def failure_of(error: BaseException, secrets: tuple[str, ...] = ()) -> Failure | None:
    """What an error raised while talking to the provider means; None for an error that isn't of that kind.

    After the status 200 of an event stream only the error's own type tells what happened, so the type is looked at
    before the status everywhere. Connection errors are told without their own text, which can quote headers.
    The credentials that the request carried are blotted out of the message, as are `secrets`: whatever they look like,
    and before anything is cut.
    """
    if isinstance(error, OriginMismatch):
        return Failure(error_type=ErrorType.ORIGIN_MISMATCH, http_status=None, message=_ORIGIN_MISMATCH)
    if isinstance(error, UnexpectedReply):
        return _unexpected(one_sentence(str(error), secrets))
    if isinstance(error, ErrorEvent):
        return _told_failure(200, error.error, (*secrets, *_credentials(error.sent)))
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return _unexpected("a reply is broken JSON or broken text")
    return _sdk_failure(error, secrets)


_ORIGIN_MISMATCH = "a response's simulator mark disagrees with what the base URL said when it was asked"


def _status_failure(error: APIStatusError, secrets: tuple[str, ...]) -> Failure:
    body = {"type": error.type, "message": error.api_message, "details": {"error_code": error.error_code}}
    carried = _credentials(error.response.request.headers)
    return _told_failure(error.status_code, body, (*secrets, *carried), error.response.headers)


def _credentials(sent: Mapping[str, str]) -> tuple[str, ...]:
    """What a request proved its sender by, as its headers carried it; a scheme before it is none."""
    carried = (sent.get("x-api-key", ""), sent.get("authorization", ""))
    return tuple(header.rpartition(" ")[2] for header in carried)


def _told_failure(
    status: int, error: Mapping[str, Any], secrets: tuple[str, ...], headers: Mapping[str, str] | None = None
) -> Failure:
    """What the provider's word for an error means, and the headers that came with it."""
    kind, told, details = error.get("type"), error.get("message"), error.get("details")
    error_type = error_type_of(status, kind=kind, code=details.get("error_code") if isinstance(details, dict) else None)
    named = f"{status} {one_sentence(kind, secrets)}" if isinstance(kind, str) else str(status)
    message = one_sentence(told, secrets) if isinstance(told, str) else "no error body"
    return Failure(
        error_type=error_type,
        http_status=status,
        message=f"the provider answered {named}: {message}"[:400],
        transient=is_transient(error_type, (headers or {}).get("x-should-retry")),
        retry_after_s=seconds_to_wait(headers or {}, time.time()),
        ran=False if was_refused(status, error_type) else None,
    )


def _sdk_failure(error: BaseException, secrets: tuple[str, ...]) -> Failure | None:
    import anthropic  # noqa: PLC0415
    import httpx2  # noqa: PLC0415

    if isinstance(error, anthropic.APIStatusError):
        return _status_failure(error, secrets)
    if isinstance(error, anthropic.APIResponseValidationError | httpx2.DecodingError):
        return _unexpected("a reply is not of the API's form")
    if isinstance(error, anthropic.APIConnectionError | httpx2.RequestError | httpx2.StreamError):
        return _connection_failure(error)
    if isinstance(error, anthropic.AnthropicError | httpx2.InvalidURL):
        message = f"the request could not be made ({type(error).__name__})"
        return Failure(error_type=ErrorType.INVALID_REQUEST, http_status=None, message=message, ran=False)
    return None


def _connection_failure(error: Exception) -> Failure:
    import anthropic  # noqa: PLC0415
    import httpx2  # noqa: PLC0415

    cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) and error.__cause__ else error
    timed_out = isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException)
    unsent = isinstance(
        cause,
        httpx2.ConnectError
        | httpx2.ConnectTimeout
        | httpx2.PoolTimeout
        | httpx2.LocalProtocolError
        | httpx2.UnsupportedProtocol,
    )
    ours = httpx2.LocalProtocolError | httpx2.UnsupportedProtocol | httpx2.TooManyRedirects | httpx2.StreamError
    why = "the provider did not answer in time"
    return Failure(
        error_type=ErrorType.CONNECTION,
        http_status=None,
        message=why if timed_out else f"the connection to the provider failed ({type(cause).__name__})",
        transient=not isinstance(cause, ours),
        ran=False if unsent else None,
    )


def _unexpected(message: str) -> Failure:
    return Failure(error_type=ErrorType.UNEXPECTED_REPLY, http_status=200, message=message)


def one_sentence(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Text from outside in a form that fits an error message: one line, bounded, credentials blotted out.

    `secrets` are known ones, which need not look like credentials; none survives in part by being cut.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _BLOT)
    text = blotted(" ".join(text[:_LOOKED_AT_CHARS].split()), secrets)
    return storable(_SECRET.sub(_BLOT, text))[:_MESSAGE_CHARS]
