"""The TCP connection under a request, for responses that end by closing it."""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

_NO_LINGER = struct.pack("ii", 1, 0)


class ConnectionCut(Exception):
    """The connection closes in the middle of a response; `reset` by a TCP reset."""

    def __init__(self, *, reset: bool) -> None:
        self.reset = reset
        super().__init__()


class TellingProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the connection in the state of each of its requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "connection": transport}


async def disconnected(receive: Receive) -> None:
    """Return when the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def hang_up(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """Close the connection of a request as it stands: what was written leaves, no response is completed."""
    connection: asyncio.Transport = scope["state"]["connection"]
    if reset:
        connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        connection.abort()
    else:
        connection.close()
    await disconnected(receive)
