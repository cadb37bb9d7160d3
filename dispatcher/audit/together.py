"""What is asked for at about the same time, done together: one sync of the disk makes all of it durable."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from dispatcher.audit.threads import Threads

A = TypeVar("A")
T = TypeVar("T")


class Together(Generic[A, T]):
    """Has what comes while the threads are at work done in one go, `most` at a time, in its order.

    `do` says what became of each: what its future has as its result, or raises.
    """

    def __init__(self, threads: Threads, most: int, do: Callable[[Sequence[A]], Sequence[T | Exception]]) -> None:
        self._threads = threads
        self._most = most
        self._do = do
        self._lock = threading.Lock()
        self._asked: deque[tuple[A, Future[T]]] = deque()
        self._is_due = False

    def submit(self, asked: A) -> Future[T]:
        """Have it done; what is cancelled before it is begun never is. Raises RuntimeError where the threads do."""
        future: Future[T] = Future()
        with self._lock:
            # What was due when the threads were shut down takes along what comes before it is done.
            if not self._is_due:
                self._threads.submit(self._take)
                self._is_due = True
            self._asked.append((asked, future))
        return future

    def _take(self) -> None:
        """Do what has come together; before what is left, whatever else the threads were asked for has its turn."""
        with self._lock:
            group = [self._asked.popleft() for _ in range(min(self._most, len(self._asked)))]
            self._is_due = bool(self._asked)
            is_last = self._is_due and not self._due_again()
        self._settle([one for one in group if one[1].set_running_or_notify_cancel()])
        if is_last:
            self._take()

    def _due_again(self) -> bool:
        try:
            self._threads.submit(self._take)
        except RuntimeError:
            return False
        return True

    def _settle(self, group: Sequence[tuple[A, Future[T]]]) -> None:
        if not group:
            return
        outcomes: Sequence[T | BaseException]
        try:
            outcomes = self._do([asked for asked, _ in group])
        except BaseException as error:  # noqa: BLE001 - it is raised again, where the result is waited for
            outcomes = [error] * len(group)
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
