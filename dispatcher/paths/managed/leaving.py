"""Leaving a session: the steps that must be taken although everything is being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_MOST_ABSORBED = 20


async def despite_cancellation(work: Callable[[], Awaitable[None]], within_s: float) -> bool:
    """Do restartable work to its end in the running task; returns whether it ended within the time.

    A loop that ends cancels every task of it once, and one that is made for the purpose then would never begin. So a
    cancellation interrupts the work, which is taken up again, and is raised afterwards. Cancellations without end
    are obeyed after some.
    """
    ends_at = asyncio.get_running_loop().time() + within_s
    cancelled: asyncio.CancelledError | None = None
    ended = False
    for _ in range(_MOST_ABSORBED):
        try:
            async with asyncio.timeout_at(ends_at):
                await work()
            ended = True
        except TimeoutError:
            pass
        except asyncio.CancelledError as error:
            cancelled = error
            continue
        break
    if cancelled is not None:
        raise cancelled
    return ended
