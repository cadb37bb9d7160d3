"""A loopback provider that costs next to nothing: it replays fixed bytes, in a process of its own.

Every conversation is the same: two tool calls, then a report; with `--at-once` the report at once. It carries the
simulator's mark, so that a dispatcher takes it for the simulator. It prints its base URL, and serves until its standard
input ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

REPORT = {
    "summary": "Totals are computed in one place, and every caller goes through it. " * 6,
    "findings": [
        {
            "claim": f"Module {number} computes its total from the lines of the order.",
            "file": f"shop/module_{number:02}.py",
            "line": 3,
            "evidence": "def total(lines: list[float]) -> float:",
        }
        for number in range(8)
    ],
}
CALLS = (("search_code", {"pattern": "def total"}), ("read_file", {"path": "shop/module_07.py"}))
_MARK = re.compile(rb"mark-\d+-\d+")
"""What a question may hold so that its request can be told from the others."""
_PIECE = 24
"""Characters of a delta, about what the provider sends."""


def _frame(event: dict[str, Any]) -> bytes:
    frame = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    return f"{len(frame):x}\r\n".encode() + frame + b"\r\n"


def _block(index: int, block: dict[str, Any], delta: str, field: str, text: str) -> list[dict[str, Any]]:
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": {"type": delta, field: piece}} for piece in pieces),
        {"type": "content_block_stop", "index": index},
    ]


def _reply(step: int) -> bytes:
    text = json.dumps(REPORT) if step == len(CALLS) else "I will look at where the totals are computed first."
    events = _block(0, {"type": "text", "text": ""}, "text_delta", "text", text)
    reason = "end_turn"
    if step < len(CALLS):
        name, tool_input = CALLS[step]
        use = {"type": "tool_use", "id": f"toolu_{step}", "name": name, "input": {}}
        events += _block(1, use, "input_json_delta", "partial_json", json.dumps(tool_input))
        reason = "tool_use"
    usage = {
        "input_tokens": 1500 + 400 * step,
        "output_tokens": 1,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
    }
    message = {
        "id": f"msg_{step}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    ending = {"stop_reason": reason, "stop_sequence": None}
    whole = [
        {"type": "message_start", "message": message},
        {"type": "ping"},
        *events,
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 60 + 500 * (step == len(CALLS))}},
        {"type": "message_stop"},
    ]
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-simulator: dispatcher\r\n"
        f"request-id: req_{step}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head.encode() + b"".join(map(_frame, whole)) + b"0\r\n\r\n"


REPLIES = tuple(_reply(step) for step in range(len(CALLS) + 1))


class Provider:
    """What all connections share: counts, the latest conversation, and whether replies are held back."""

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self.marks: list[str] = []
        self.requests = 0
        self.recorded: dict[int, Any] = {}
        self.holding = False
        self.held: list[tuple[asyncio.WriteTransport, bytes]] = []

    def answer(self, method: str, path: str, body: bytes) -> bytes | None:
        """The bytes to send back; None where a reply is due only later."""
        if path == "/v1/messages" and method == "POST":
            request = json.loads(body)
            step = sum(message["role"] == "assistant" for message in request["messages"])
            self.requests += 1
            self.recorded[step] = request
            self.marks += _MARK.findall(body)[-1:]
            return REPLIES[-1 if self.at_once else step]
        if path == "/simulator":
            return _json({"time_scale": 0})
        if path == "/bench/hold":
            self.holding = True
        if path == "/bench/release":
            self.holding = False
            held, self.held = self.held, []
            for transport, reply in held:
                transport.write(reply)
        if path == "/bench/marks":
            return _json([mark.decode() for mark in self.marks])
        if path == "/bench/recorded":
            return _json([self.recorded[step] for step in sorted(self.recorded)])
        return _json({"requests": self.requests, "held": len(self.held)})


def _json(document: object) -> bytes:
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-simulator: dispatcher\r\ncontent-length: {len(body)}"
    )
    return f"{head}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """HTTP/1.1 as the clients here speak it: one request at a time, each with a content length or without a body."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines)
            length = int(fields.get("content-length", 0))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            method, target, _ = first.split(" ")
            path = target.partition("?")[0]
            reply = self._provider.answer(method, path, rest[:length])
            if self._provider.holding and path == "/v1/messages":
                self._provider.held.append((self._transport, reply))
            else:
                self._transport.write(reply)


async def serve() -> None:
    loop, provider = asyncio.get_running_loop(), Provider(at_once="--at-once" in sys.argv)
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
