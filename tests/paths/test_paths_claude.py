"""The one door to the SDK: a client per event loop, every response held against what is expected of it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr
from scripted_provider import Answer, answering, provider, refused

from dispatcher.paths.claude import Claude, OriginMismatch, UnexpectedReply
from dispatcher.paths.origin import SimulatorMark, ask_simulator

MARK = {"x-simulator": "dispatcher"}
MESSAGE = Answer(b'{"id": "msg_1"}', content_type="application/json")


def claude_at(base_url: str, *, simulated: bool = False) -> Claude:
    return Claude(api_key=SecretStr("sk-ant-secret"), base_url=base_url, simulated=simulated)


async def ask(claude: Claude, *, stream: bool) -> Any:
    create: Any = claude.client().messages.create
    reply = await create(model="m", max_tokens=1, messages=[], stream=stream)
    return [event async for event in reply] if stream else reply


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize("marked", [False, True])
async def test_a_mark_that_disagrees_ends_the_request(*, stream: bool, simulated: bool, marked: bool) -> None:
    async with provider([answering() if stream else MESSAGE], MARK if marked else {}) as scripted:
        claude = claude_at(scripted.base_url, simulated=simulated)
        if marked == simulated:
            assert await ask(claude, stream=stream)
        else:
            with pytest.raises(OriginMismatch):
                await ask(claude, stream=stream)


async def test_an_error_response_is_held_against_the_origin_too() -> None:
    async with provider([refused(529, "overloaded_error")], MARK) as scripted:
        with pytest.raises(OriginMismatch):
            await ask(claude_at(scripted.base_url), stream=False)


async def test_another_simulator_is_not_this_one() -> None:
    async with provider([MESSAGE], {"x-simulator": "another"}) as scripted:
        with pytest.raises(OriginMismatch):
            await ask(claude_at(scripted.base_url, simulated=True), stream=False)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"', b"12", b"{"])
async def test_a_reply_that_is_no_object_of_the_api_is_an_error(body: bytes) -> None:
    for content_type in ("text/html", "application/json"):
        async with provider([Answer(body, content_type=content_type)]) as scripted:
            with pytest.raises((UnexpectedReply, ValueError)):
                await ask(claude_at(scripted.base_url), stream=False)


async def test_the_sdk_neither_retries_nor_calls_home() -> None:
    async with provider([refused(529, "overloaded_error")]) as scripted:
        with pytest.raises(Exception, match="overloaded_error"):
            await ask(claude_at(scripted.base_url), stream=False)

        assert len(scripted.requests) == 1
        assert "authorization: bearer sk-ant-secret" in scripted.heads[0].lower()


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(200, b'{"id": "msg_1"}')

    def do_GET(self) -> None:
        self._answer(*self.server.pages.get(self.path, (404, b"", {})))  # type: ignore[attr-defined]

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def http_server(pages: dict[str, Any] | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.pages = pages or {}  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_event_loops_one_after_the_other_and_in_threads_have_clients_of_their_own() -> None:
    with http_server() as base_url:
        claude = claude_at(base_url)
        seen: list[object] = []

        async def twice() -> None:
            assert claude.client() is claude.client()
            seen.append(claude.client())
            await asyncio.gather(ask(claude, stream=False), ask(claude, stream=False))

        threads = [threading.Thread(target=asyncio.run, args=(twice(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(twice())

    assert len({id(client) for client in seen}) == 4


def test_clients_of_loops_that_ended_are_closed_and_not_kept() -> None:
    """Open connections would be reported as unclosed when they are collected."""
    with http_server() as base_url:
        claude = claude_at(base_url)
        references: list[weakref.ref[object]] = []

        async def once() -> None:
            await ask(claude, stream=False)
            references.append(weakref.ref(claude.client()))

        for _ in range(3):
            asyncio.run(once())
        gc.collect()

    assert [reference() is None for reference in references] == [True, True, False]


def test_the_connections_of_a_door_that_nobody_holds_any_more_end_with_the_loop() -> None:
    with http_server() as base_url:
        asyncio.run(ask(claude_at(base_url), stream=False))
        gc.collect()


def test_a_forked_child_makes_clients_of_its_own_and_disturbs_none_of_the_parents() -> None:
    with http_server() as base_url:
        claude = claude_at(base_url)

        async def fork_between_requests() -> int:
            await ask(claude, stream=False)
            child = os.fork()
            if child == 0:
                asking = threading.Thread(target=lambda: asyncio.run(ask(claude, stream=False)))
                asking.start()
                asking.join(10)
                os._exit(1 if asking.is_alive() else 0)
            _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - the parent's loop has nothing else to do
            await ask(claude, stream=False)
            return os.waitstatus_to_exitcode(status)

        assert asyncio.run(fork_between_requests()) == 0


SCALE = b'{"simulator": "dispatcher", "time_scale": 0.02}'


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ((200, SCALE, MARK), SimulatorMark(0.02)),
        ((200, b'{"time_scale": 0}', MARK), SimulatorMark(0.0)),
        ((200, SCALE, {}), None),
        ((200, SCALE, {"x-simulator": "another"}), None),
        ((404, SCALE, MARK), None),
        ((302, SCALE, {**MARK, "location": "/elsewhere"}), None),
        ((200, b"<html>", MARK), None),
        ((200, b"[]", MARK), None),
        ((200, b'{"time_scale": NaN}', MARK), None),
        ((200, b'{"time_scale": -1}', MARK), None),
        ((200, b'{"time_scale": true}', MARK), None),
        ((200, b'{"time_scale": "1"}', MARK), None),
    ],
)
def test_only_the_simulator_is_taken_for_the_simulator(page: Any, expected: SimulatorMark | None) -> None:
    with http_server({"/prefix/simulator": page, "/elsewhere": (200, SCALE, MARK)}) as base_url:
        assert ask_simulator(f"{base_url}/prefix") == expected
        assert ask_simulator(f"{base_url}/prefix/") == expected


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "file:///etc", "", "http://", "no url", "ftp://127.0.0.1"])
def test_what_does_not_answer_is_no_simulator(base_url: str) -> None:
    assert ask_simulator(base_url) is None


def test_asking_ignores_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY")
    with http_server({"/simulator": (200, SCALE, MARK)}) as base_url:
        assert ask_simulator(base_url) == SimulatorMark(0.02)


def test_asking_a_server_that_never_ends_its_answer_takes_two_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = time.monotonic()
        asked = threading.Event()

        def trickle() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                    while not asked.wait(0.2):
                        connection.sendall(b"x: y\r\n")
                except OSError:
                    pass

        trickling = threading.Thread(target=trickle, daemon=True)
        trickling.start()

        assert ask_simulator(f"http://127.0.0.1:{listening.getsockname()[1]}") is None
        assert 1.5 < time.monotonic() - began < 4
        asked.set()
        trickling.join()
