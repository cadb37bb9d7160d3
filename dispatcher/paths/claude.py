"""The one door to the provider's SDK: clients, what their errors mean, and whether a simulator answers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from dispatcher.action.observation import ErrorType
from dispatcher.paths.origin import SIMULATOR_HEADER, SIMULATOR_NAME
from dispatcher.paths.wire import storable

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncAnthropic

_MESSAGE_CHARS = 300
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
            _drop_closed(self._clients)
            self._clients[loop] = self._new_client()
            _close_with(loop, self._clients[loop])
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


# Held here for as long as their loops, also for a door that nobody holds any more: what is finalised while a loop
# ends has no time to close its connections, and what was inherited through a fork must never be finalised.
_LIFETIMES: dict[asyncio.AbstractEventLoop, list[AsyncGenerator[None, None]]] = {}


def _close_with(loop: asyncio.AbstractEventLoop, client: AsyncAnthropic) -> None:
    """Have the loop close a client when it shuts down, which it does with every asynchronous generator begun on it."""
    _drop_closed(_LIFETIMES)
    lifetime = _lifetime(client)
    _LIFETIMES.setdefault(loop, []).append(lifetime)
    # It awaits nothing up to its first yield, so it can be begun without being awaited.
    with suppress(StopIteration):
        lifetime.__anext__().send(None)


async def _lifetime(client: AsyncAnthropic) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.close()


def _drop_closed(by_loop: dict[asyncio.AbstractEventLoop, Any]) -> None:
    for ended in [loop for loop in tuple(by_loop) if loop.is_closed()]:
        by_loop.pop(ended, None)


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
    from anthropic import BaseModel  # noqa: PLC0415

    http = response.http_response
    if (http.headers.get(SIMULATOR_HEADER) == SIMULATOR_NAME) is not simulated:
        raise OriginMismatch
    if not http.is_success:
        return
    if request.stream:
        if not http.headers.get("content-type", "").startswith("text/event-stream"):
            raise UnexpectedReply("a reply that should be an event stream is none")
    # The SDK hands out text, not an error, where a body isn't JSON.
    elif not isinstance(await response.parse(), BaseModel):
        raise UnexpectedReply("a reply is not an object of the API")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong at the provider or on the way there; `message` is one sentence and holds no secret.

    `http_status` is None where no response arrived, and 200 where an event stream ended with an error.
    """

    error_type: ErrorType
    http_status: int | None
    message: str


_BY_ERROR_CODE: Mapping[str, ErrorType] = {
    "enforced_spend_limit_reached": ErrorType.BILLING,
    "contract_spend_limit_reached": ErrorType.BILLING,
}
_BY_TYPE: Mapping[str, ErrorType] = {
    "invalid_request_error": ErrorType.INVALID_REQUEST,
    "request_too_large": ErrorType.INVALID_REQUEST,
    "conflict_error": ErrorType.INVALID_REQUEST,
    "authentication_error": ErrorType.AUTHENTICATION,
    "billing_error": ErrorType.BILLING,
    "permission_error": ErrorType.PERMISSION,
    "not_found_error": ErrorType.NOT_FOUND,
    "rate_limit_error": ErrorType.RATE_LIMITED,
    "overloaded_error": ErrorType.OVERLOADED,
    "timeout_error": ErrorType.PROVIDER_ERROR,
    "api_error": ErrorType.PROVIDER_ERROR,
}
_BY_STATUS: Mapping[int, ErrorType] = {
    401: ErrorType.AUTHENTICATION,
    402: ErrorType.BILLING,
    403: ErrorType.PERMISSION,
    404: ErrorType.NOT_FOUND,
    408: ErrorType.PROVIDER_ERROR,
    429: ErrorType.RATE_LIMITED,
    499: ErrorType.CONNECTION,
    529: ErrorType.OVERLOADED,
}


def failure_of(error: BaseException, secrets: tuple[str, ...] = ()) -> Failure | None:
    """What an error raised while talking to the provider means; None for an error that isn't of that kind.

    After the status 200 of an event stream only the error's own type tells what happened, so the type is looked at
    before the status everywhere. Connection errors are told without their own text, which can quote headers.
    `secrets` are blotted out of the message, whole ones before anything is cut.
    """
    if isinstance(error, OriginMismatch):
        return Failure(error_type=ErrorType.ORIGIN_MISMATCH, http_status=None, message=_ORIGIN_MISMATCH)
    if isinstance(error, UnexpectedReply):
        return _unexpected(one_sentence(str(error), secrets))
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return _unexpected("a reply is broken JSON or broken text")
    return _sdk_failure(error, secrets)


_ORIGIN_MISMATCH = "a response's simulator mark disagrees with what the base URL said when it was asked"


def _status_failure(error: APIStatusError, secrets: tuple[str, ...]) -> Failure:
    status = error.status_code
    fallback = ErrorType.PROVIDER_ERROR if status < 400 or status >= 500 else ErrorType.INVALID_REQUEST  # noqa: PLR2004
    error_type = (
        _BY_ERROR_CODE.get(str(error.error_code)) or _BY_TYPE.get(str(error.type)) or _BY_STATUS.get(status, fallback)
    )
    told = one_sentence(error.api_message, secrets) if isinstance(error.api_message, str) else "no error body"
    kind = f"{status} {one_sentence(error.type, secrets)}" if isinstance(error.type, str) else str(status)
    return Failure(error_type=error_type, http_status=status, message=f"the provider answered {kind}: {told}"[:400])


def _sdk_failure(error: BaseException, secrets: tuple[str, ...]) -> Failure | None:
    import anthropic  # noqa: PLC0415
    import httpx2  # noqa: PLC0415

    if isinstance(error, anthropic.APIStatusError):
        return _status_failure(error, secrets)
    if isinstance(error, anthropic.APIResponseValidationError | httpx2.DecodingError):
        return _unexpected("a reply is not of the API's form")
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        return _connection_failure("the provider did not answer in time")
    if isinstance(error, anthropic.APIConnectionError | httpx2.RequestError | httpx2.StreamError):
        cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else error
        return _connection_failure(f"the connection to the provider failed ({type(cause or error).__name__})")
    if isinstance(error, anthropic.AnthropicError | httpx2.InvalidURL):
        message = f"the request could not be made ({type(error).__name__})"
        return Failure(error_type=ErrorType.INVALID_REQUEST, http_status=None, message=message)
    return None


def _connection_failure(message: str) -> Failure:
    return Failure(error_type=ErrorType.CONNECTION, http_status=None, message=message)


def _unexpected(message: str) -> Failure:
    return Failure(error_type=ErrorType.UNEXPECTED_REPLY, http_status=200, message=message)


def one_sentence(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Text from outside in a form that fits an error message: one line, bounded, credentials blotted out.

    `secrets` are known ones, which need not look like credentials; none survives in part by being cut.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _BLOT)
    return storable(_SECRET.sub(_BLOT, " ".join(text.split())))[:_MESSAGE_CHARS]
