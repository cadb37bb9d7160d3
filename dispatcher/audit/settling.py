"""Work that runs to its end, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Settling:
    """Waits for futures in the caller's own task, and keeps a cancellation that comes until all is settled.

    No task is made: a loop that ends cancels all its tasks, and would cut short what must not be.
    """

    def __init__(self) -> None:
        self._cancelled: asyncio.CancelledError | None = None

    async def within(self, future: asyncio.Future[T], patience_s: float | None) -> bool:
        """Whether the future was done in time; None waits for it however long it takes."""
        end = None if patience_s is None else asyncio.get_running_loop().time() + patience_s
        while not future.done():
            left_s = None if end is None else end - asyncio.get_running_loop().time()
            if left_s is not None and left_s <= 0:
                return False
            try:
                await asyncio.wait((future,), timeout=left_s)
            except asyncio.CancelledError as error:
                self._cancelled = error
        return True

    async def result(self, future: asyncio.Future[T]) -> T:
        """The future's result, when it is done."""
        await self.within(future, None)
        return future.result()

    def raise_cancellation(self) -> None:
        """Raise the cancellation that came, if one did."""
        if self._cancelled is not None:
            raise self._cancelled


@contextmanager
def settling() -> Iterator[Settling]:
    """Inside, nothing is cut short; a cancellation that came is raised afterwards, before any other error."""
    waiting = Settling()
    try:
        yield waiting
    finally:
        waiting.raise_cancellation()
