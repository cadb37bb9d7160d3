"""Clients that last as long as the event loop they were made on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Protocol


class Closable(Protocol):
    """What can be closed on its event loop."""

    async def close(self) -> None:
        """Close its connections."""
        ...


# Held here for as long as their loops, also for a door that nobody holds any more: what is finalised while a loop
# ends has no time to close its connections, and what was inherited through a fork must never be finalised.
_LIFETIMES: dict[asyncio.AbstractEventLoop, list[AsyncGenerator[None, None]]] = {}


def close_with(loop: asyncio.AbstractEventLoop, client: Closable) -> None:
    """Have the loop close a client when it shuts down, which it does with every asynchronous generator begun on it."""
    drop_closed(_LIFETIMES)
    lifetime = _lifetime(client)
    _LIFETIMES.setdefault(loop, []).append(lifetime)
    # It awaits nothing up to its first yield, so it can be begun without being awaited.
    with suppress(StopIteration):
        lifetime.__anext__().send(None)


def drop_closed(by_loop: dict[asyncio.AbstractEventLoop, Any]) -> None:
    """Forget what belongs to loops that are closed."""
    for ended in [loop for loop in tuple(by_loop) if loop.is_closed()]:
        by_loop.pop(ended, None)


async def _lifetime(client: Closable) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.close()
