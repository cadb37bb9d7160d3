"""Sending what one attempt asks of the provider: again where that may help, within its bounds, counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from dispatcher.action.policy import RetryPolicy
from dispatcher.paths.observation import Observer
from dispatcher.paths.path import Job
from dispatcher.paths.retry import retried

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sending:
    """How one attempt's requests are sent again after transient failures; see `retried`."""

    policy: RetryPolicy
    observer: Observer
    deadline_ns: int

    @classmethod
    def of(cls, job: Job, observer: Observer) -> Sending:
        """As the job has it."""
        return cls(job.retries, observer, job.deadline_ns)

    async def __call__(
        self, send: Callable[[], Awaitable[T]], landed: Callable[[], Awaitable[T | None]] | None = None
    ) -> T:
        """What `send` returns; what must not be applied twice comes with a look whether it `landed`."""
        return await retried(
            send, policy=self.policy, observer=self.observer, deadline_ns=self.deadline_ns, landed=landed
        )
