"""A loopback server that speaks just enough of Managed Agents to play one written session, with connections cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Event = dict[str, Any]

AWAIT_ANSWER: Event = {"type": "await answer"}
"""In a script: go on once the client has answered everything that is waited for."""

MESSAGE_ID = "sevt_message"
REPORT = {"summary": "It is read there.", "findings": [{"claim": "c", "file": "a.py", "line": 1, "evidence": "e"}]}
INVALID_REPORT = {"summary": "It is read there.", "findings": []}


def request_start(number: int) -> Event:
    return {"type": "span.model_request_start", "id": f"sevt_start_{number}"}


def request_end(number: int, *, uncached: int = 10, output: int = 5, read: int = 0, written: int = 0) -> Event:
    usage = {
        "input_tokens": uncached,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
    }
    return {
        "type": "span.model_request_end",
        "id": f"sevt_end_{number}",
        "model_request_start_id": f"sevt_start_{number}",
        "is_error": False,
        "model_usage": usage,
    }


def tool_use(event_id: str, name: str = "read") -> Event:
    return {"type": "agent.tool_use", "id": event_id, "name": name, "input": {}}


def tool_result(event_id: str, *, is_error: bool = False) -> Event:
    return {"type": "agent.tool_result", "id": f"{event_id}_result", "tool_use_id": event_id, "is_error": is_error}


def custom_use(event_id: str, value: object, name: str = "submit_result") -> Event:
    return {"type": "agent.custom_tool_use", "id": event_id, "name": name, "input": value}


def message(event_id: str, text: str) -> Event:
    return {"type": "agent.message", "id": event_id, "content": [{"type": "text", "text": text}]}


def idle(event_id: str, reason: str = "end_turn") -> Event:
    return {"type": "session.status_idle", "id": event_id, "stop_reason": {"type": reason}}


def requires(event_id: str, *use_ids: str) -> Event:
    reason = {"type": "requires_action", "event_ids": list(use_ids)}
    return {"type": "session.status_idle", "id": event_id, "stop_reason": reason}


def error(kind: str, retry: str = "exhausted") -> Event:
    told = {"type": kind, "message": "told", "retry_status": {"type": retry}}
    return {"type": "session.error", "id": f"sevt_{kind}", "error": told}


def interrupt(event_id: str = "sevt_stranger") -> Event:
    return {"type": "user.interrupt", "id": event_id, "processed_at": None}


def echo(event_id: str = MESSAGE_ID) -> Event:
    return {"type": "user.message", "id": event_id, "content": []}


SUBMITS = (
    echo(),
    {"type": "session.status_running", "id": "sevt_running"},
    request_start(1),
    tool_use("sevt_read"),
    request_end(1, written=100),
    tool_result("sevt_read"),
    request_start(2),
    custom_use("sevt_submit", REPORT),
    request_end(2, read=100, written=7),
    {"type": "session.usage", "id": "sevt_usage_1"},
    requires("sevt_waits", "sevt_submit"),
    AWAIT_ANSWER,
    request_start(3),
    request_end(3, read=107),
    {"type": "session.usage", "id": "sevt_usage_2"},
    idle("sevt_idle"),
)
"""A run that reads once and submits its report in the second of three requests."""


@dataclass(eq=False)
class ScriptedSessions:
    """One session that plays a script once it gets a message.

    An event whose index is in `cut` isn't streamed: the connection ends there instead, abruptly or in good order, and
    the event is only in the history. `twice` sends every event two times. `refuses` answers a request (method and end
    of the path) with a status.
    """

    script: Sequence[Event]
    cut: Collection[int] = ()
    abruptly: bool = False
    twice: bool = False
    refuses: dict[tuple[str, str], int] = field(default_factory=dict)
    pause_s: float = 0.0
    stays_running: bool = False
    one_hour_writes: int = 0
    base_url: str = ""
    history: list[Event] = field(default_factory=list)
    received: list[Event] = field(default_factory=list)
    created: list[Event] = field(default_factory=list)
    status: str = "idle"
    connections: int = 0
    _streams: list[asyncio.Queue[Event | None]] = field(default_factory=list)
    _connected: asyncio.Event = field(default_factory=asyncio.Event)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)
    _playing: asyncio.Task[None] | None = None

    @property
    def interrupts(self) -> int:
        return sum(event["type"] == "user.interrupt" for event in self.received)

    @property
    def answers(self) -> list[Event]:
        return [event for event in self.received if event["type"] == "user.custom_tool_result"]

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ScriptedSessions]:
        # The protocol is named, because asyncio switches Nagle's algorithm off only on a socket that says it is TCP.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            self._application(), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listening]))
        try:
            yield self
        finally:
            if self._playing is not None:
                self._playing.cancel()
            for stream in self._streams:
                stream.put_nowait(None)
            server.should_exit = True
            await serving
            listening.close()

    def _application(self) -> Starlette:
        session = "/v1/sessions/{session_id}"
        routes = [
            Route("/v1/agents", self._create, methods=["POST"]),
            Route("/v1/environments", self._create, methods=["POST"]),
            Route("/v1/agents", self._list_nothing),
            Route("/v1/environments", self._list_nothing),
            Route("/v1/sessions", self._create, methods=["POST"]),
            Route(session, self._retrieve),
            Route(f"{session}/archive", self._archive, methods=["POST"]),
            Route(f"{session}/events", self._list_events),
            Route(f"{session}/events", self._receive, methods=["POST"]),
            Route(f"{session}/events/stream", self._stream),
        ]
        return Starlette(routes=routes)

    def _refusal(self, request: Request) -> Response | None:
        for (method, end), status in self.refuses.items():
            if request.method == method and request.url.path.endswith(end):
                kind = "not_found_error" if status == 404 else "api_error"
                problem = {"type": kind, "message": "refused by the script"}
                return JSONResponse({"type": "error", "error": problem}, status)
        return None

    async def _create(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        body = await request.json()
        self.created.append(body)
        kind = request.url.path.rsplit("/", 1)[-1]
        return JSONResponse({"id": f"{kind}_1", "version": 1, "status": "idle", **body})

    async def _list_nothing(self, _request: Request) -> Response:
        return JSONResponse({"data": [], "next_page": None})

    async def _retrieve(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({"id": "sessions_1", "status": self.status, "usage": self._usage()})

    async def _archive(self, request: Request) -> Response:
        if self.status == "running":
            return JSONResponse({"type": "error", "error": {"type": "invalid_request_error", "message": "running"}}, 400)
        self.status = "terminated"
        return JSONResponse({"id": "sessions_1", "status": self.status})

    async def _list_events(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({"data": self.history, "next_page": None})

    async def _receive(self, request: Request) -> Response:
        events = [{**event, "id": f"sevt_sent_{len(self.received)}"} for event in (await request.json())["events"]]
        if events[0]["type"] == "user.message":
            events[0]["id"] = MESSAGE_ID
        self.received += events
        for event in events:
            self._take(event)
        return self._refusal(request) or JSONResponse({"data": events})

    def _take(self, event: Event) -> None:
        if event["type"] == "user.message":
            self.status = "running"
            self._playing = asyncio.create_task(self._play())
        elif event["type"] == "user.custom_tool_result":
            self._emit(event)
            self._answered.set()
        elif event["type"] == "user.interrupt":
            self._interrupted(event)

    def _interrupted(self, event: Event) -> None:
        self._emit(event)
        if self.stays_running:
            return
        if self._playing is not None:
            self._playing.cancel()
        self._emit({"type": "session.usage", "id": "sevt_usage_interrupted"})
        self._emit(idle("sevt_idle_interrupted"))
        self.status = "idle"

    async def _play(self) -> None:
        for index, event in enumerate(self.script):
            if event is AWAIT_ANSWER:
                self.status = "idle"
                await self._answered.wait()
                self._answered.clear()
                self.status = "running"
                continue
            if self.cut:
                await self._connected.wait()
            await asyncio.sleep(self.pause_s)
            self._emit(event, cut=index in self.cut)
        if not self.stays_running:
            self.status = "idle"

    def _emit(self, event: Event, *, cut: bool = False) -> None:
        self.history.append(event)
        for stream in self._streams:
            for _ in range(2 if self.twice else 1):
                stream.put_nowait(None if cut else event)
        if cut:
            self._streams.clear()
            self._connected.clear()

    async def _stream(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        self.connections += 1
        stream: asyncio.Queue[Event | None] = asyncio.Queue()
        self._streams.append(stream)
        self._connected.set()
        return StreamingResponse(self._frames(stream), media_type="text/event-stream")

    async def _frames(self, stream: asyncio.Queue[Event | None]) -> AsyncIterator[bytes]:
        yield b": connected\n\n"
        while (event := await stream.get()) is not None:
            yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        if self.abruptly:
            raise ConnectionResetError

    def _usage(self) -> dict[str, Any]:
        spans = [event["model_usage"] for event in self.history if event["type"] == "span.model_request_end"]
        total = {name: sum(span[name] for span in spans) for name in ("input_tokens", "output_tokens")}
        written = sum(span["cache_creation_input_tokens"] for span in spans)
        return {
            **total,
            "cache_read_input_tokens": sum(span["cache_read_input_tokens"] for span in spans),
            "cache_creation": {
                "ephemeral_5m_input_tokens": written - self.one_hour_writes,
                "ephemeral_1h_input_tokens": self.one_hour_writes,
            },
            "active_seconds": 1.5,
            "list_cost": {"amount": "3", "currency": "USD"},
        }
