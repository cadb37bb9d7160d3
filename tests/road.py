"""The road to a server of databases, on which a test can let nothing through without touching the server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_POSTGRESQL, _MARIADB = ".s.PGSQL.5432", "mariadb.sock"


class Road:
    """Passes on what is sent through a socket of its own.

    `close` cuts every connection and refuses new ones. `swallow` cuts none and takes new ones, but no answer comes any
    more, and what is asked arrives only if that is said. What was swallowed never arrives.
    """

    def __init__(self, target: Path, place: Path) -> None:
        self._target = target
        self._place = place
        self._lost: frozenset[str] = frozenset()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._ways: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def open(self) -> None:
        self._do(self._listen())

    def close(self) -> None:
        self._do(self._cut())

    def swallow(self, *, but_not_questions: bool = False) -> None:
        self._lost = frozenset({"answers"} if but_not_questions else {"answers", "questions"})

    def let_through(self) -> None:
        """Also on the connections of which something was swallowed: what comes on them makes no sense any more."""
        self._lost = frozenset()

    def end(self) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass_on, self._place)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._place.unlink(missing_ok=True)
        for end in self._ends:
            end.transport.abort()
        if self._ways:
            await asyncio.wait(self._ways)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._target)
        ways = {
            asyncio.create_task(self._copy("questions", reader, back)),
            asyncio.create_task(self._copy("answers", there, writer)),
        }
        self._ends |= {writer, back}
        self._ways |= ways
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, back):
            end.transport.abort()
        await asyncio.wait(ways)
        self._ends -= {writer, back}
        self._ways -= ways

    async def _copy(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while sent := await reader.read(65536):
                if way not in self._lost:
                    writer.write(sent)
                    await writer.drain()


@contextlib.contextmanager
def road_to(url: str) -> Iterator[tuple[Road, str]]:
    """An open road to the server of a URL, and the URL of its beginning."""
    parsed = sa.make_url(url)
    is_postgresql = parsed.get_backend_name() == "postgresql"
    # The path of a socket has to be a short one.
    with tempfile.TemporaryDirectory(prefix="road-", dir="/tmp") as folder:
        if is_postgresql:
            target, place = Path(str(parsed.query["host"])) / _POSTGRESQL, Path(folder) / _POSTGRESQL
            beginning = parsed.set(query={**parsed.query, "host": folder})
        else:
            target, place = Path(str(parsed.query["unix_socket"])), Path(folder) / _MARIADB
            beginning = parsed.set(query={**parsed.query, "unix_socket": str(place)})
        road = Road(target, place)
        road.open()
        try:
            yield road, beginning.render_as_string(hide_password=False)
        finally:
            road.end()
