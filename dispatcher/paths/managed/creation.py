"""Creating a managed session: with its repository, its tag and its budget, and never two of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from dispatcher.action.observation import ZERO_USAGE, ErrorStage
from dispatcher.action.request import FEATURE
from dispatcher.paths.managed.leaving import despite_cancellation
from dispatcher.paths.managed.provision import Provision, id_of
from dispatcher.paths.managed.sending import Sending
from dispatcher.paths.managed.session import Failed, RemoteSession, failing_at
from dispatcher.paths.managed.stopping import STOP_S
from dispatcher.paths.managed.totals import NANOUSD_PER_CENT
from dispatcher.paths.observation import Observer
from dispatcher.paths.path import Job

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.types.beta import (
        BetaManagedAgentsBudgetLimitParam,
        BetaManagedAgentsGitHubRepositoryResourceParams,
        SessionCreateParams,
    )

logger = logging.getLogger(__name__)

MOUNT_PATH = "/workspace/repository"
"""Where the repository lies in the container, whatever its name."""

LOG_ID_KEY = "dispatcher_log_id"
"""The metadata key by which a session is matched to its row: that of the latest turn."""

_LEAST_RESERVE_NANOUSD = 500_000_000
_PAGE = 100
_MOST_PAGES = 20
_LOOKS = 5
_LOOK_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Mount:
    """A repository at a commit, and the token that may read it."""

    url: str
    commit_sha: str
    token: SecretStr | None

    def resource(self) -> BetaManagedAgentsGitHubRepositoryResourceParams:
        """As a session takes it."""
        resource: BetaManagedAgentsGitHubRepositoryResourceParams = {
            "type": "github_repository",
            "url": self.url,
            "checkout": {"type": "commit", "sha": self.commit_sha},
            "mount_path": MOUNT_PATH,
        }
        if self.token is not None:
            resource["authorization_token"] = self.token.get_secret_value()
        return resource

    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated, in case the provider quotes what it was sent."""
        return () if self.token is None else (self.token.get_secret_value(),)


def budget_of(cap_nanousd: int, consumed_nanousd: int = 0) -> BetaManagedAgentsBudgetLimitParam:
    """The session's own budget for a turn: whole cents strictly above what is consumed, the cap and a reserve.

    It is the backstop of a cap that we keep ourselves, so the reserve has room for the request that runs while we stop,
    for the one that closes a turn, and for the running time: half of the cap, and at least half a dollar.
    """
    reserve = max(cap_nanousd // 2, _LEAST_RESERVE_NANOUSD)
    cents = (consumed_nanousd + cap_nanousd + reserve) // NANOUSD_PER_CENT + 1
    return {"type": "limit", "max_list_cost": {"amount": str(cents), "currency": "USD"}}


@dataclass(slots=True)
class Creation:
    """One session to be created for a job; `may_be_lost` says that there may be one whose id was never learned."""

    client: AsyncAnthropic
    job: Job
    observer: Observer
    provision: Provision
    mount: Mount
    may_be_lost: bool = False

    async def create(self) -> RemoteSession:
        """The session, created once; what a cancellation leaves on its way is put away. Raises Failed."""
        on_its_way: list[asyncio.Task[RemoteSession]] = []

        async def once() -> RemoteSession:
            # Shielded, because what is being created can't be recalled, only put away once it is there.
            on_its_way.append(asyncio.ensure_future(self._created()))
            return await asyncio.shield(on_its_way[-1])

        try:
            return await Sending.of(self.job, self.observer)(once, self.found)
        except asyncio.CancelledError:
            try:
                await despite_cancellation(lambda: self._discard(on_its_way), STOP_S)
            finally:
                for creating in on_its_way:
                    creating.cancel()
            raise

    async def found(self) -> RemoteSession | None:
        """The session of an attempt that never learned its id: looked for a few times, since it may still come."""
        for _ in range(_LOOKS):
            with failing_at(ErrorStage.SESSION):
                remote = await self._look()
            if remote is not None:
                return remote
            await asyncio.sleep(_LOOK_PAUSE_S)
        return None

    async def put_lost_away(self) -> None:
        """Archive a session whose creation was never acknowledged, if it is there. Never fails."""
        try:
            remote = await self.found()
        except Failed:
            remote = None
        if remote is not None:
            await remote.put_away(may_run=False)
        else:
            logger.warning("the session of row %s may have been created; the sweep will find it", self.job.log_id)

    async def _look(self) -> RemoteSession | None:
        page = await self.client.beta.sessions.list(agent_id=self.provision.agent_id, order="desc", limit=_PAGE)
        for _ in range(_MOST_PAGES):
            for session in page.data:
                if (session.metadata or {}).get(LOG_ID_KEY) == self.job.log_id:
                    return RemoteSession(self.client, id_of(session))
            if not page.has_next_page():
                break
            page = await page.get_next_page()
        return None

    async def _created(self) -> RemoteSession:
        job, provision = self.job, self.provision
        request: SessionCreateParams = {
            "agent": {"type": "agent", "id": provision.agent_id, "version": provision.agent_version},
            "environment_id": provision.environment_id,
            "resources": [self.mount.resource()],
            "metadata": {LOG_ID_KEY: job.log_id},
            "title": f"{FEATURE} {job.log_id}",
        }
        # The platform takes a budget only for a model whose price it publishes.
        if self.observer.prices.cost_nanousd(job.variant.model, ZERO_USAGE, self.observer.on) is not None:
            request["budget"] = budget_of(job.caps.cost_nanousd)
        try:
            with failing_at(ErrorStage.SESSION, self.mount.secrets()):
                created = await self.client.beta.sessions.create(**request)
                return RemoteSession(self.client, id_of(created))
        except Failed as failed:
            self.may_be_lost = self.may_be_lost or failed.failure.ambiguous
            raise

    async def _discard(self, on_its_way: list[asyncio.Task[RemoteSession]]) -> None:
        if not on_its_way:
            return
        creating = on_its_way[-1]
        await asyncio.wait({creating})
        if not creating.cancelled() and creating.exception() is None:
            await creating.result().archive(may_run=False)
        elif creating.cancelled() or self.may_be_lost:
            # A loop that ends has cancelled it too, perhaps after the request was sent.
            with suppress(Failed):
                remote = await self.found()
                if remote is not None:
                    await remote.archive(may_run=False)
