"""Server-sent events as both SDKs expect them: every frame named, the head sent before the first frame."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from dispatcher.simulator.connection import ConnectionCut, disconnected, hang_up

KEEPALIVE = b": keepalive\n\n"


def frame(event: Mapping[str, Any]) -> bytes:
    """One event, named by its own type: both SDKs drop frames without a name."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def event_type(chunk: bytes) -> str | None:
    """The type of a frame; None of a comment."""
    head, _, _ = chunk.partition(b"\n")
    return head.removeprefix(b"event: ").decode() if head.startswith(b"event: ") else None


class EventStream:
    """A response that streams frames until they end or the client goes away; the frames are then closed at once.

    The head leaves before the first frame exists: a client waits for it before it sends what causes the frames.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        self.frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pump = asyncio.create_task(self._pump(send))
        watch = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = pump.done()
            for task in (pump, watch):
                task.cancel()
            await asyncio.gather(pump, watch, return_exceptions=True)
            with contextlib.suppress(RuntimeError):
                await self.frames.aclose()
        error = pump.exception() if finished else None
        if isinstance(error, ConnectionCut):
            await hang_up(scope, receive, reset=error.reset)
        elif error is not None:
            raise error

    async def _pump(self, send: Send) -> None:
        async for chunk in self.frames:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
