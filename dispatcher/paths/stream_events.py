"""The events of a reply's stream as they came over the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anthropic import AsyncStream


class ErrorEvent(Exception):
    """An event stream that began well says that the request failed.

    `error` is the error object it names, `sent` the headers of the request.
    """

    def __init__(self, body: object, sent: Mapping[str, str]) -> None:
        told = body.get("error") if isinstance(body, dict) else None
        self.error: Mapping[str, Any] = told if isinstance(told, dict) else {}
        self.sent = sent
        super().__init__()


async def wire_events(stream: AsyncStream[Any]) -> AsyncIterator[Mapping[str, Any]]:
    """The events of a stream, keep-alives left out; empty where one is no object.

    They are not read into the SDK's classes, which would take most of a request's time and lose nothing but that.
    Raises ErrorEvent where the provider says that it failed, JSONDecodeError and UnicodeDecodeError for what is no
    event, and what the connection raises.
    """
    async for event in type(stream).raw_events(stream.response):
        # What has no name is passed over, as the SDK does.
        if event.event is None or event.event == "ping" or not event.data:
            continue
        said = _parsed(event.data)
        # Between us and the provider events may have been given other names.
        if event.event == "error" or said.get("type") == "error":
            raise ErrorEvent(said, stream.response.request.headers)
        yield said


def _parsed(data: str) -> Mapping[str, Any]:
    try:
        said = json.loads(data)
    except (RecursionError, ValueError) as error:
        # A number of too many digits is a plain ValueError.
        if isinstance(error, json.JSONDecodeError):
            raise
        raise json.JSONDecodeError("more than can be read", "", 0) from None
    return said if isinstance(said, dict) else {}
