"""The managed path: one session of Claude Managed Agents for one question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from dispatcher.action.decision import PathName
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.request import FEATURE
from dispatcher.paths.claude import Claude
from dispatcher.paths.observation import Observer, Session
from dispatcher.paths.path import Job, Outcome
from dispatcher.paths.prompt import prefix_fingerprint, prompt_fingerprint, question_text, system_text
from dispatcher.paths.provision import Provision, Provisions, agent_tools, id_of
from dispatcher.paths.session import Failed, RemoteSession, failing_at
from dispatcher.paths.session_ending import outcome_of
from dispatcher.paths.session_leaving import despite_cancellation
from dispatcher.paths.session_turn import DRAIN_S, STOP_S, SessionTurn
from dispatcher.paths.timing import Marker

if TYPE_CHECKING:
    from anthropic.types.beta import BetaManagedAgentsGitHubRepositoryResourceParams

MOUNT_PATH = "/workspace/repository"
"""Where the repository lies in the container, whatever its name."""

LOG_ID_KEY = "dispatcher_log_id"
"""The metadata key by which a session is matched to its row."""

_LATEST = 100
_LOOKS = 5
_LOOK_PAUSE_S = 0.1
_REFUSED = frozenset({ErrorType.NOT_FOUND, ErrorType.INVALID_REQUEST})
_NOT_MOUNTABLE = Outcome(
    status=Status.ERROR,
    ended_by=EndedBy.FAILURE,
    error_type=ErrorType.REPOSITORY,
    error_stage=ErrorStage.SESSION,
    error="the managed path mounts a GitHub repository at a commit, and this one has no address or no commit",
)


@dataclass(frozen=True, slots=True)
class _Mount:
    """A repository at a commit, and the token that may read it."""

    url: str
    commit_sha: str
    token: SecretStr | None

    def resource(self) -> BetaManagedAgentsGitHubRepositoryResourceParams:
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


class ManagedPath:
    """Carries out research in a session of Claude Managed Agents: agent and environment are provisioned, the session
    has one turn, and afterwards it is archived.

    `mount_token` gives a tenant's read-only token for a GitHub URL, None for a public repository. A session that
    ended in order is archived beside the caller's wait; `settle` waits for that and belongs before the end of a program
    or event loop. Every other one is stopped and archived before the attempt ends, whatever cancels it.
    """

    def __init__(self, claude: Claude, mount_token: Callable[[str, str], SecretStr | None]) -> None:
        self._claude = claude
        self._mount_token = mount_token
        self._provisions = Provisions(claude)
        self._beside: set[asyncio.Task[None]] = set()

    async def run(self, job: Job, observer: Observer) -> Outcome:
        """Carry out one attempt; see `Path`."""
        checkout = job.checkout
        if checkout.github_url is None or checkout.commit_sha is None:
            return _NOT_MOUNTABLE
        token = self._mount_token(job.tenant, checkout.github_url)
        try:
            with failing_at(ErrorStage.PROVISION):
                provision = await self._provisions.of(job.variant.model)
            remote = await self._create(job, provision, _Mount(checkout.github_url, checkout.commit_sha, token))
        except Failed as failed:
            return failed.outcome
        observer.mark(Marker.READY)
        return await self._research(job, observer, provision, remote)

    async def settle(self) -> None:
        """Wait until what this event loop's attempts left behind is put away: some seconds at most."""
        loop = asyncio.get_running_loop()
        while pending := [task for task in tuple(self._beside) if task.get_loop() is loop]:
            await asyncio.wait(pending)

    async def _research(self, job: Job, observer: Observer, provision: Provision, remote: RemoteSession) -> Outcome:
        turn = SessionTurn(remote, observer, model=job.variant.model, iteration_cap=job.iteration_cap)
        lost: Failed | None = None
        try:
            await observer.begin_session(
                Session(
                    session_id=remote.session_id, agent_id=provision.agent_id, agent_version=provision.agent_version
                )
            )
            await turn.carry_out(_prompt(job, observer))
        except Failed as failed:
            lost = failed
        finally:
            await self._leave(turn, remote, observer)
        return outcome_of(turn.state) if lost is None else lost.outcome

    async def _leave(self, turn: SessionTurn, remote: RemoteSession, observer: Observer) -> None:
        """Archive the session: beside the answer where it ended in order, else in this task and before the answer."""
        try:
            if not turn.ended_in_order:
                within_s = STOP_S if observer.accepted is None else DRAIN_S
                await despite_cancellation(turn.wind_down, within_s)
        finally:
            turn.give_up()
            if not turn.archived:
                self._start(remote.put_away(may_run=not turn.at_rest))
            if observer.accepted is not None and turn.decided_ns is not None:
                observer.drain_ms = (observer.clock() - turn.decided_ns) // 1_000_000

    async def _create(self, job: Job, provision: Provision, mount: _Mount) -> RemoteSession:
        creating = asyncio.ensure_future(self._created(job, provision, mount))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            # What is being created can't be recalled, only put away once it is there.
            try:
                await despite_cancellation(lambda: self._discard(creating, job, provision), STOP_S)
            finally:
                creating.cancel()
            raise

    async def _discard(self, creating: asyncio.Task[RemoteSession], job: Job, provision: Provision) -> None:
        await asyncio.wait({creating})
        if creating.cancelled():
            # A loop that ends has cancelled it too, perhaps after the request was sent.
            with suppress(Failed):
                remote = await self._found(job, provision)
                if remote is not None:
                    await remote.archive(may_run=False)
        elif creating.exception() is None:
            await creating.result().archive(may_run=False)

    async def _found(self, job: Job, provision: Provision) -> RemoteSession | None:
        """The session of an attempt that never learned its id: looked for a few times, since it may still come."""
        client = self._claude.client()
        for _ in range(_LOOKS):
            with failing_at(ErrorStage.SESSION):
                page = await client.beta.sessions.list(agent_id=provision.agent_id, order="desc", limit=_LATEST)
                for session in page.data:
                    if (session.metadata or {}).get(LOG_ID_KEY) == job.log_id:
                        return RemoteSession(client, id_of(session))
            await asyncio.sleep(_LOOK_PAUSE_S)
        return None

    async def _created(self, job: Job, provision: Provision, mount: _Mount) -> RemoteSession:
        client = self._claude.client()
        try:
            with failing_at(ErrorStage.SESSION, mount.secrets()):
                created = await client.beta.sessions.create(
                    agent={"type": "agent", "id": provision.agent_id, "version": provision.agent_version},
                    environment_id=provision.environment_id,
                    resources=[mount.resource()],
                    metadata={LOG_ID_KEY: job.log_id},
                    title=f"{FEATURE} {job.log_id}",
                )
                return RemoteSession(client, id_of(created))
        except Failed as failed:
            if failed.failure.error_type in _REFUSED:
                self._provisions.forget(job.variant.model)
            raise

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin work that may outlast the attempt; a reference is kept until it is done."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)


def _prompt(job: Job, observer: Observer) -> str:
    """The user's message, its fingerprints noted."""
    text = question_text(job.question, replies=job.iteration_cap, mounted_at=MOUNT_PATH)
    tools, system = agent_tools(), system_text(PathName.MANAGED)
    observer.prefix_fingerprint = prefix_fingerprint(tools, system)
    observer.prompt_fingerprint = prompt_fingerprint(tools, system, [{"role": "user", "content": text}])
    return text
