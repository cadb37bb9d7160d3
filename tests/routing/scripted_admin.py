"""An admin API that fails as it is told: one flag of one environment, held in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[[str, str], "int | bytes | str | None"]
"""Asked for each call, by method and path: a status, a body, `lose` for an answer without an effect, or None."""


class ScriptedAdmin:
    """The flag `agent-research`, and the calls that came for it."""

    def __init__(self, strategies: list[dict[str, Any]]) -> None:
        self.enabled = True
        self.strategies = [{**each, "id": f"s-{n}", "sortOrder": n} for n, each in enumerate(strategies)]
        self.tags: list[dict[str, str]] = []
        self.calls: list[tuple[str, str]] = []
        self.fault: Fault = lambda method, path: None
        self.lock = threading.Lock()
        admin = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                with admin.lock:
                    status, content = admin.handle(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                with suppress(ConnectionError):  # whoever asked may have given up
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the library's names

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        name = path.rsplit("/", 1)[-1]
        self.calls.append((method, name))
        fault = self.fault(method, name)
        if isinstance(fault, int):
            return fault, b"{}"
        if isinstance(fault, bytes):
            return 200, fault
        found = None if fault == "lose" else self._do(method, path, name, body)
        if isinstance(found, int):
            return found, b"{}"
        return 200, json.dumps({} if found is None else found).encode()

    def _do(self, method: str, path: str, name: str, body: Any) -> Any:
        if "tag-types" in path:
            return self._claim(method, name, body)
        if name in {"on", "off"}:
            self.enabled = name == "on"
        elif method == "POST":
            self.strategies.append({**body, "id": f"s-{len(self.calls)}"})
        elif method == "PUT":
            self.strategies = [{**body, "id": name} if each["id"] == name else each for each in self.strategies]
        elif method == "DELETE":
            self.strategies = [each for each in self.strategies if each["id"] != name]
        environment = {"name": "development", "enabled": self.enabled, "strategies": self.strategies}
        return {"name": "agent-research", "environments": [environment], "dependencies": []}

    def _claim(self, method: str, name: str, body: Any) -> Any:
        if method == "POST" and any(tag["name"] == body["name"] for tag in self.tags):
            return 409
        if method == "POST":
            self.tags.append(body)
        if method == "DELETE":
            self.tags = [tag for tag in self.tags if tag["name"] != name]
        return {"tagTypes": self.tags}
