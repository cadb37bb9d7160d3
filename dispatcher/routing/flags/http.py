"""The one door to a flag server over HTTP: every request ends within its deadline, and every answer is bounded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import PoolManager

from dispatcher.errors import FlagServerUnavailable

MOST_BYTES = 64 * 1024 * 1024
"""The largest body that is taken, after decompression."""
_CHUNK = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered, whatever its status; `etag` as the server spells it."""

    status: int
    body: bytes
    etag: str | None


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, without user, password, path or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def get(url: str, *, headers: Mapping[str, str], etag: str | None = None, deadline_s: float) -> Response:
    """Ask for a document, with an ETag only for a newer one; see `request`."""
    conditional = {} if etag is None else {"If-None-Match": etag}
    return request("GET", url, headers={**headers, **conditional}, deadline_s=deadline_s)


def post(url: str, *, headers: Mapping[str, str], body: bytes, deadline_s: float) -> Response:
    """Send JSON text; see `request`."""
    return request("POST", url, headers=headers, body=body, deadline_s=deadline_s)


def request(
    method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, deadline_s: float
) -> Response:
    """One exchange within `deadline_s` seconds, whatever the server does; a body is sent as JSON text.

    A proxy is used only where the environment names one; a redirect is never followed, since the token would go with
    it. Raises FlagServerUnavailable where there is no answer in time, a redirect, or a body larger than MOST_BYTES;
    its text never holds a header or a query.
    """
    typed = {"Content-Type": "application/json"} if body is not None else {}
    watch = _Watch(deadline_s)
    try:
        with watch, requests.Session() as session:
            session.auth = _as_given
            for scheme in ("http://", "https://"):
                session.mount(scheme, _WatchedAdapter(watch))
            answer = session.request(
                method,
                url,
                headers={**typed, **headers},
                data=body,
                timeout=deadline_s,
                allow_redirects=False,
                stream=True,
            )
            response = Response(answer.status_code, _bounded(answer), answer.headers.get("ETag"))
            location = answer.headers.get("Location", "nowhere")
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise FlagServerUnavailable(f"{origin_of(url)} {_reason(error, watch, deadline_s)}") from None
    if watch.expired:  # what the watch cut off may look complete
        raise FlagServerUnavailable(f"{origin_of(url)} did not answer within {deadline_s:g} s")
    if response.status in _REDIRECTS:
        raise FlagServerUnavailable(f"{origin_of(url)} redirects to {_elsewhere(location)}, which is not followed")
    return response


def _elsewhere(location: str) -> str:
    """Where a server redirects to, as far as it can be told: it may say anything."""
    try:
        return ascii(origin_of(location)[:200])[1:-1]
    except ValueError:
        return "an address that can't be read"


class _TooLargeError(Exception):
    """The body is larger than MOST_BYTES."""


class _Watch:
    """Cuts the connections of one exchange once its time is over.

    A socket's own timeout starts anew with every byte, so a server that trickles would never run into it.
    """

    def __init__(self, deadline_s: float) -> None:
        self.expired = False
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(deadline_s, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for watched in self._watched:
                watched.close()
            self._watched.clear()

    def add(self, connected: socket.socket) -> None:
        with self._lock:
            if self.expired:
                connected.close()
                raise TimeoutError
            # A second descriptor of the same connection, since TLS takes the first one over.
            self._watched.append(connected.dup())

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            for watched in self._watched:
                try:
                    watched.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was first


class _WatchedAdapter(HTTPAdapter):
    """Opens connections under a watch, directly and through a proxy."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watched(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return self._watched(super().proxy_manager_for(*args, **kwargs))

    def _watched(self, manager: PoolManager) -> PoolManager:
        watch = self._watch

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                watch.add(connected)
                return connected

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                watch.add(connected)
                return connected

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
        return manager


def _as_given(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """No other credentials than the headers': a .netrc would replace the token."""
    return prepared


def _bounded(answer: requests.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    for chunk in answer.iter_content(_CHUNK):
        size += len(chunk)
        if size > MOST_BYTES:
            raise requests.RequestException(_TooLargeError())
        chunks.append(chunk)
    return b"".join(chunks)


def _reason(error: Exception, watch: _Watch, deadline_s: float) -> str:
    """Why there is no answer, in words of our own: the library's may hold an address with a password in it."""
    causes = list(_causes(error))
    if any(isinstance(cause, _TooLargeError) for cause in causes):
        return f"answers with more than {MOST_BYTES >> 20} MiB"
    if watch.expired or any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        return f"did not answer within {deadline_s:g} s"
    if isinstance(error, requests.exceptions.InvalidHeader | UnicodeError):
        return "can't be asked: a header, such as the token, holds a character that can't be sent"
    if isinstance(error, requests.exceptions.SSLError):
        return "can't be trusted: its certificate doesn't hold"
    told = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
    return f"can't be reached: {told or type(causes[-1]).__name__}"


def _causes(error: BaseException) -> Any:
    """An exception and what it wraps, by `reason`, by argument or by context, outermost first."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [getattr(one, "reason", None), *one.args, one.__cause__, one.__context__]
    return seen
