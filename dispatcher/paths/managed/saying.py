"""Our message to a session: said once, whatever becomes of the answer to it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

from dispatcher.paths.managed.session import Failed, RemoteSession, message_in

_SETTLES_S = 1.0


class Saying:
    """A message that is being said; `before` are the ids of the user's messages that the session held already.

    `may_have_landed` says whether the session may hold it now.
    """

    def __init__(self, session: RemoteSession, text: str, before: Collection[str]) -> None:
        self.may_have_landed = False
        self._session = session
        self._text = text
        self._before = before
        self._on_its_way: asyncio.Task[str] | None = None

    async def once(self) -> str:
        """Send it; returns its id. Raises Failed.

        Shielded, because a message that is on its way can't be taken back: only what it starts can be interrupted.
        """
        self._on_its_way = asyncio.ensure_future(self._session.say(self._text))
        try:
            message_id = await asyncio.shield(self._on_its_way)
        except Failed as failed:
            self.may_have_landed = self.may_have_landed or failed.failure.ambiguous
            raise
        except asyncio.CancelledError:
            self.may_have_landed = True
            raise
        self.may_have_landed = True
        return message_id

    async def landed(self) -> str | None:
        """Its id in the session's history; None where it isn't there. Raises Failed."""
        return message_in(await self._session.said(), self._text, self._before)

    async def settled(self) -> str | None:
        """Its id once the answer to it is here, which is waited for only a moment; None where there is none."""
        if self._on_its_way is None:
            return None
        await asyncio.wait({self._on_its_way}, timeout=_SETTLES_S)
        # A loop that ends has cancelled it too; the history says then whether it landed.
        if self._on_its_way.done() and not self._on_its_way.cancelled():
            with suppress(Failed):
                return self._on_its_way.result()
        return None

    def give_up(self) -> None:
        """Wait no longer for the answer to it."""
        if self._on_its_way is not None:
            self._on_its_way.cancel()
