"""The threads on which a database is waited for, and how long it keeps all of them waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """A few threads that do what blocks, in the order in which it was asked for.

    A thread pool of the standard library takes nothing more once the main thread has ended, while other threads still
    carry out actions whose rows must be ended. And it keeps a program from ending while a database hangs.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._lock = threading.Lock()
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_shut_down = False
        self._began: dict[int, float] = {}

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have it done. Raises RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("it is shut down")
            self._asked.put(lambda: self._do(work, future))
            if len(self._threads) < self._count:
                name = f"{self._name}_{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        return future

    def hanging_s(self) -> float:
        """For how many seconds every thread has been at work without an end; 0 where one is free."""
        began = list(self._began.values())
        return time.monotonic() - max(began) if len(began) == self._count else 0.0

    def shutdown(self, patience_s: float | None = None) -> bool:
        """Wait for what was asked for; blocks. False where that takes longer than the patience: it goes on."""
        end = None if patience_s is None else time.monotonic() + patience_s
        with self._lock:
            self._is_shut_down = True
            for _ in self._threads:
                self._asked.put(None)
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            asked()
            # What it holds would be kept until something else is asked for.
            del asked

    def _do(self, work: Callable[[], T], future: Future[T]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            done = self._timed(work)
        except BaseException as error:  # noqa: BLE001 - it is raised again, where the result is waited for
            future.set_exception(error)
        else:
            future.set_result(done)

    def _timed(self, work: Callable[[], T]) -> T:
        thread = threading.get_ident()
        self._began[thread] = time.monotonic()
        try:
            return work()
        finally:
            del self._began[thread]
