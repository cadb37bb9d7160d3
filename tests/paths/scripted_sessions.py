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
from session_scripts import AWAIT_ANSWER, FOREVER, MESSAGE_ID, Event, idle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass(eq=False)
class ScriptedSessions:
    """One session that plays a script once it gets a message.

    An event whose index is in `cut` isn't streamed: the connection ends there instead, abruptly or in good order, and
    the event is only in the history, as are those in `unheard`. `twice` sends every event two times. `refuses` answers
    a request (method and end of the path) with a status.
    """

    script: Sequence[Event]
    cut: Collection[int] = ()
    unheard: Collection[int] = ()
    abruptly: bool = False
    twice: bool = False
    refuses: dict[tuple[str, str], int] = field(default_factory=dict)
    pause_s: float = 0.0
    one_hour_writes: int = 0
    base_url: str = ""
    history: list[Event] = field(default_factory=list)
    received: list[Event] = field(default_factory=list)
    created: list[Event] = field(default_factory=list)
    updates: list[Event] = field(default_factory=list)
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

    @property
    def confirmations(self) -> list[Event]:
        return [event for event in self.received if event["type"] == "user.tool_confirmation"]

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ScriptedSessions]:
        # The protocol is named, because asyncio switches Nagle's algorithm off only on a socket that says it is TCP.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            self._application(), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listening])
        try:
            yield self
        finally:
            if self._playing is not None:
                self._playing.cancel()
            for stream in self._streams:
                stream.put_nowait(None)
            # Not `shutdown`, which takes a tenth of a second whatever there is to wait for.
            for listener in server.servers:
                listener.close()
            for connection in tuple(server.server_state.connections):
                connection.transport.close()
            await asyncio.gather(*server.server_state.tasks, return_exceptions=True)

    def _application(self) -> Starlette:
        session = "/v1/sessions/{session_id}"
        routes = [
            Route("/v1/agents", self._create, methods=["POST"]),
            Route("/v1/environments", self._create, methods=["POST"]),
            Route("/v1/agents", self._list_nothing),
            Route("/v1/environments", self._list_nothing),
            Route("/v1/sessions", self._create, methods=["POST"]),
            Route("/v1/sessions", self._list_sessions),
            Route(session, self._retrieve),
            Route(session, self._update, methods=["POST"]),
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

    async def _list_sessions(self, request: Request) -> Response:
        sessions = [body for body in self.created if "environment_id" in body]
        found = [{"id": "sessions_1", "status": self.status, **body} for body in sessions]
        return self._refusal(request) or JSONResponse({"data": found, "next_page": None})

    async def _update(self, request: Request) -> Response:
        self.updates.append(await request.json())
        return await self._retrieve(request)

    async def _retrieve(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse(
            {"id": "sessions_1", "status": self.status, "usage": self._usage()}
        )

    async def _archive(self, request: Request) -> Response:
        if self.status == "running":
            return JSONResponse(
                {"type": "error", "error": {"type": "invalid_request_error", "message": "running"}}, 400
            )
        self.status = "terminated"
        return JSONResponse({"id": "sessions_1", "status": self.status})

    async def _list_events(self, request: Request) -> Response:
        types = request.query_params.getlist("types[]")
        listed = [event for event in self.history if not types or event["type"] in types]
        # The script may hold words that can't be written down, which only an escape can carry.
        body = json.dumps({"data": listed, "next_page": None})
        return self._refusal(request) or Response(body, media_type="application/json")

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
            self._playing = asyncio.create_task(self._play(event["content"]))
        elif event["type"] in {"user.custom_tool_result", "user.tool_confirmation"}:
            self._emit(event)
            self._answered.set()
        elif event["type"] == "user.interrupt":
            self._interrupted(event)

    def _interrupted(self, event: Event) -> None:
        self._emit(event)
        if self._playing is not None:
            self._playing.cancel()
        self._emit({"type": "session.usage", "id": "sevt_usage_interrupted"})
        self._emit(idle("sevt_idle_interrupted"))
        self.status = "idle"

    async def _play(self, said: object) -> None:
        for index, written in enumerate(self.script):
            event = {**written, "content": said} if written.get("id") == MESSAGE_ID else written
            if written is AWAIT_ANSWER:
                self.status = "idle"
                await self._answered.wait()
                self._answered.clear()
                self.status = "running"
                continue
            if written is FOREVER:
                await asyncio.Event().wait()
            if self.cut:
                await self._connected.wait()
            await asyncio.sleep(self.pause_s)
            if index in self.unheard:
                self.history.append(event)
            else:
                self._emit(event, cut=index in self.cut)
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
