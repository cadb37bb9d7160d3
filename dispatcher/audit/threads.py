"""The threads on which a database is waited for, and how long it keeps all of them waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """A few threads that do what blocks, in the order in which it was asked for."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._began: dict[int, float] = {}

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have it done. Raises RuntimeError after `shutdown`."""
        return self._threads.submit(self._timed, work)

    def hanging_s(self) -> float:
        """For how many seconds every thread has been at work without an end; 0 where one is free."""
        began = list(self._began.values())
        return time.monotonic() - max(began) if len(began) == self._count else 0.0

    def shutdown(self) -> None:
        """Wait for what was asked for; blocks."""
        self._threads.shutdown()

    def _timed(self, work: Callable[[], T]) -> T:
        thread = threading.get_ident()
        self._began[thread] = time.monotonic()
        try:
            return work()
        finally:
            del self._began[thread]
