"""One request of the messages path and its streamed reply: what is counted, and when it may be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dispatcher.action.event import TextArrived
from dispatcher.action.observation import Call, ErrorStage, ErrorType
from dispatcher.paths.claude import Failure
from dispatcher.paths.messages.reply import StreamedReply
from dispatcher.paths.observation import Observer
from dispatcher.paths.retry import failure_in
from dispatcher.paths.stream_events import wire_events
from dispatcher.paths.timing import Marker
from dispatcher.paths.wire import word

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream

_REST_S = 0.1


class BrokenOff(Exception):
    """A reply broke off."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure)


class Request:
    """A request to be sent once.

    `stage` says how far it came, `reply` holds what has arrived; `call` is what was counted, None where nothing was.
    """

    def __init__(self, client: AsyncAnthropic, observer: Observer) -> None:
        self._secrets = tuple(filter(None, (client.api_key, client.auth_token)))
        self.stage = ErrorStage.REQUEST
        self.reply = StreamedReply(secrets=self._secrets)
        self.call: Call | None = None
        self._client = client
        self._observer = observer
        self._request_id: str | None = None

    async def send(self, parameters: Mapping[str, Any], fingerprint: str) -> None:
        """Send it and take the whole reply; what was counted is kept, however the reply breaks off.

        Raises what the failure is, and BrokenOff for a reply that broke off. Once something of the reply has come no
        failure is transient any more: the output is paid for, and was perhaps seen.
        """
        observer = self._observer
        ordinal = observer.begin_call()
        observer.mark(Marker.SESSION_DONE)
        started_ns = observer.clock()
        try:
            await self._exchange(parameters)
        except Exception as error:
            failure = failure_in(error)
            if failure is not None and self.reply.begun:
                raise BrokenOff(replace(failure, transient=False)) from error
            if failure is not None and failure.ran is False:
                observer.refuse_call()
            raise
        finally:
            usage = self.reply.usage
            if usage is not None:
                self.call = observer.end_call(
                    ordinal=ordinal,
                    model=self.reply.model or parameters["model"],
                    usage=usage,
                    latency_ms=(observer.clock() - started_ns) // 1_000_000,
                    stop_reason=self.reply.stop_reason,
                    request_id=self._request_id,
                    prompt_fingerprint=fingerprint,
                    web_searches=self.reply.web_searches,
                )

    async def _exchange(self, parameters: Mapping[str, Any]) -> None:
        stream: AsyncStream[Any] = await self._client.messages.create(**parameters, stream=True)
        async with stream:
            self.stage = ErrorStage.STREAM
            self._request_id = word(stream.response.headers.get("request-id"), self._secrets)
            events = wire_events(stream)
            async for event in events:
                self._take(event)
                if self.reply.complete:
                    await _let_end(events)
                    break
        if not self.reply.complete:
            raise BrokenOff(
                Failure(
                    error_type=ErrorType.STREAM_TRUNCATED,
                    http_status=200,
                    message="the stream ended before the reply did",
                    transient=True,
                )
            )

    def _take(self, event: Mapping[str, Any]) -> None:
        if event.get("type") == "content_block_delta":
            self._observer.mark(Marker.FIRST_TOKEN)
            delta = event.get("delta")
            text = delta.get("text") if isinstance(delta, dict) and delta.get("type") == "text_delta" else None
            if isinstance(text, str):
                self._observer.mark(Marker.FIRST_TEXT)
                self._observer.tell(TextArrived(text=text))
        self.reply.add(event)


async def _let_end(events: AsyncIterator[object]) -> None:
    """Read to the end of a stream whose reply is whole, so that its connection can be used again.

    The end mostly comes with the reply. Nothing after it is part of it, so neither what comes then nor a connection
    that is held open or cut changes what was said.
    """
    try:
        async with asyncio.timeout(_REST_S):
            async for _ in events:
                pass
    except Exception as error:
        if not isinstance(error, TimeoutError) and failure_in(error) is None:
            raise
