"""The road to a PostgreSQL, which a test can close and open again without touching the server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_SOCKET = ".s.PGSQL.5432"


class Road:
    """Passes on what is sent through a socket of its own; `close` cuts every connection and refuses new ones."""

    def __init__(self, target: Path, folder: Path) -> None:
        self._target = target
        self._place = folder / _SOCKET
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
        ways = {asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))}
        self._ends |= {writer, back}
        self._ways |= ways
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, back):
            end.transport.abort()
        await asyncio.wait(ways)
        self._ends -= {writer, back}
        self._ways -= ways


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while sent := await reader.read(65536):
            writer.write(sent)
            await writer.drain()


@contextlib.contextmanager
def road_to(url: str) -> Iterator[tuple[Road, str]]:
    """An open road to the PostgreSQL of a URL, and the URL of its beginning."""
    parsed = sa.make_url(url)
    # The path of a socket has to be a short one.
    with tempfile.TemporaryDirectory(prefix="road-", dir="/tmp") as folder:
        road = Road(Path(str(parsed.query["host"])) / _SOCKET, Path(folder))
        road.open()
        try:
            yield road, parsed.set(query={"host": folder}).render_as_string(hide_password=False)
        finally:
            road.end()
