"""A flag server on loopback that does what a test says: good, slow, silent, lying, trickling."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from routing_documents import FLAG, document, only, rule, text

from dispatcher.routing.flags.answer import FlagAnswer, FlagContext
from dispatcher.routing.flags.server import ServerFlags

TOKEN = "default:development.0123456789abcdef"
ACME = FlagContext(tenant="acme", conversation="c-1")

Answering = Callable[["_Handler"], None]


def choosing(variant: str, *tenants: str, **around: Any) -> bytes:
    """A document that sends the tenants (by default acme) to a variant."""
    return text({**document(rule(only(*(tenants or ("acme",))), variants={variant: 1})), **around})


def good(body: bytes, etag: str | None = None) -> Answering:
    """Answers with the document, or with 304 where its ETag is known."""
    tag = etag or f'"{hash(body)}"'

    def answer(handler: _Handler) -> None:
        if handler.headers.get("If-None-Match") == tag:
            handler.send(304, b"")
        else:
            handler.send(200, body, ETag=tag)

    return answer


def status(code: int, body: bytes = b"", **headers: str) -> Answering:
    return lambda handler: handler.send(code, body, **headers)


def silent(handler: _Handler) -> None:
    """Takes the question and says nothing for as long as the server lives."""
    handler.world.closing.wait()


def slow(seconds: float, then: Answering) -> Answering:
    def answer(handler: _Handler) -> None:
        handler.world.closing.wait(seconds)
        then(handler)

    return answer


def trickling(handler: _Handler) -> None:
    """A byte every 50 ms, already within the headers, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.world.closing.wait(0.05):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def huge(handler: _Handler) -> None:
    """More than anybody wants, without an end."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.world.closing.is_set():
        handler.wfile.write(b" " * 1_000_000)


def broken_off(handler: _Handler) -> None:
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"version": 2, "features": [')


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World

    def do_GET(self) -> None:
        self.world.asked.append((self.path, dict(self.headers)))
        self.close_connection = True
        try:
            self.world.answering(self)
        except OSError:
            return  # whoever asked has gone

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.world.posted.append((self.path, dict(self.headers), body))
        self.close_connection = True
        self.send(self.world.taking, b"")

    def send(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output to itself."""


@dataclass
class World:
    """A server: `answering` is what it does with a question, `taking` the status for what is posted."""

    answering: Answering = field(default_factory=lambda: good(choosing("a")))
    taking: int = 202
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    posted: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def serving(self, answering: Answering | None = None) -> Iterator[World]:
        """Serve, on the port of the last time if there was one."""
        self.answering = answering or self.answering
        self.closing.clear()
        handler = type("Handler", (_Handler,), {"world": self})

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                """Whoever hangs up is part of the play."""

        server = Server(("127.0.0.1", self.port), handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def flags(self, state_dir: Path, refresh_s: float = 0.05, **given: Any) -> ServerFlags:
        return ServerFlags(self.url, SecretStr(TOKEN), [FLAG], state_dir=state_dir, refresh_s=refresh_s, **given)


def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Wait for a condition; a failure names it."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def ask(flags: ServerFlags, context: FlagContext = ACME) -> FlagAnswer:
    return flags.evaluate(FLAG, context)
