"""A provider that answers from a script over real HTTP, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]
USAGE = {
    "input_tokens": 100,
    "output_tokens": 1,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
}
REPORT = {
    "summary": "The limit is set in one place.",
    "findings": [{"claim": "It is 3.", "file": "retry.py", "line": 1, "evidence": "LIMIT = 3"}],
}


@dataclass(frozen=True)
class Answer:
    """One HTTP response. `ending` is how its body stops: `clean`, `cut` (mid-response), or `hang`."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream"
    ending: str = "clean"


def streamed(events: Iterable[Event], **rest: Any) -> Answer:
    frames = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Answer("".join(frames).encode(), **rest)


def refused(status: int, error_type: str, **error: Any) -> Answer:
    body = {"type": "error", "error": {"type": error_type, "message": "no", **error}, "request_id": "req_1"}
    return Answer(json.dumps(body).encode(), status=status, content_type="application/json")


def reply_events(blocks: Sequence[tuple[Event, Sequence[Event]]], stop_reason: str | None, **usage: Any) -> list[Event]:
    """The events of a whole reply: each block is its start and its deltas."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "content": []}
    events: list[Event] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": {**USAGE, **usage}}},
        {"type": "ping"},
    ]
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}})
    return [*events, {"type": "message_stop"}]


def text_block(*parts: str) -> tuple[Event, list[Event]]:
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": part} for part in parts]


def tool_block(use_id: str, name: str, tool_input: object) -> tuple[Event, list[Event]]:
    start = {"type": "tool_use", "id": use_id, "name": name, "input": {}, "caller": {"type": "direct"}}
    written = json.dumps(tool_input)
    halves = (written[:3], written[3:])
    return start, [{"type": "input_json_delta", "partial_json": half} for half in halves]


def answering(report: object = REPORT, stop_reason: str | None = "end_turn") -> Answer:
    text = report if isinstance(report, str) else json.dumps(report)
    return streamed(reply_events([text_block(text[:10], text[10:])], stop_reason))


def calling(*uses: tuple[str, str, object]) -> Answer:
    return streamed(reply_events([tool_block(*use) for use in uses], "tool_use"))


@dataclass
class ScriptedProvider:
    """What was asked so far, and where to ask."""

    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


Script = Sequence[Answer] | Callable[[dict[str, Any]], Answer]


@asynccontextmanager
async def provider(script: Script, headers: Mapping[str, str] | None = None) -> AsyncIterator[ScriptedProvider]:
    """Serve the answers of a script, in order; `headers` stand on every response."""
    state = ScriptedProvider()
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await _serve(reader, writer, state, script, headers or {})
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            state.closed.set()
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    state.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    state: ScriptedProvider,
    script: Script,
    headers: Mapping[str, str],
) -> None:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        body = json.loads(await reader.readexactly(int(lengths[0])) if lengths else b"{}")
        state.heads.append(head)
        state.requests.append(body)
        answer = script(body) if callable(script) else script[len(state.requests) - 1]
        lines = [f"HTTP/1.1 {answer.status} Scripted", f"content-type: {answer.content_type}"]
        lines += [f"{name}: {value}" for name, value in {"request-id": "req_7", **headers, **answer.headers}.items()]
        writer.write("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode())
        if answer.body:
            writer.write(f"{len(answer.body):x}\r\n".encode() + answer.body + b"\r\n")
        await writer.drain()
        if answer.ending == "hang":
            await reader.read()
            return
        if answer.ending == "cut":
            return
        writer.write(b"0\r\n\r\n")
        await writer.drain()
