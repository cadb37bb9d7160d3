"""The managed path: one session of Claude Managed Agents for one question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from dispatcher.action.decision import PathName
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.request import FEATURE
from dispatcher.cancellation import to_its_end
from dispatcher.paths.claude import Claude, UnexpectedReply
from dispatcher.paths.observation import Observer, Session
from dispatcher.paths.path import Job, Outcome
from dispatcher.paths.prompt import prefix_fingerprint, prompt_fingerprint, question_text, system_text
from dispatcher.paths.provision import Provision, Provisions, agent_tools
from dispatcher.paths.session import Failed, RemoteSession, failing_at
from dispatcher.paths.session_ending import outcome_of
from dispatcher.paths.session_turn import STOP_S, SessionTurn
from dispatcher.paths.timing import Marker

if TYPE_CHECKING:
    from anthropic.types.beta import BetaManagedAgentsGitHubRepositoryResourceParams, BetaManagedAgentsSession

T = TypeVar("T")

MOUNT_PATH = "/workspace/repository"
"""Where the repository lies in the container, whatever its name."""

LOG_ID_KEY = "dispatcher_log_id"
"""The metadata key by which a session is matched to its row."""

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

    def without_token(self, failed: Failed) -> Failed:
        """The same failure with the token blotted out, in case the provider quoted what it was sent."""
        if self.token is None:
            return failed
        message = failed.failure.message.replace(self.token.get_secret_value(), "[secret]")
        return Failed(replace(failed.failure, message=message), failed.stage)


class ManagedPath:
    """Carries out research in a session of Claude Managed Agents: agent and environment are provisioned, the session
    has one turn, and afterwards it is archived.

    `mount_token` gives a tenant's read-only token for a GitHub URL, None for a public repository. Sessions are archived
    beside the caller's wait; `settle` waits for that and belongs before the end of a program or event loop.
    """

    def __init__(self, claude: Claude, mount_token: Callable[[str, str], SecretStr | None]) -> None:
        self._claude = claude
        self._mount_token = mount_token
        self._provisions = Provisions(claude)
        self._beside: set[asyncio.Task[Any]] = set()

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
            try:
                await to_its_end(self._start(turn.wind_down()))
            finally:
                self._start(remote.put_away(may_run=not turn.at_rest))
        outcome = outcome_of(turn.state) if lost is None else lost.outcome
        if outcome.output is not None and turn.decided_ns is not None:
            observer.drain_ms = (observer.clock() - turn.decided_ns) // 1_000_000
        return outcome

    async def _create(self, job: Job, provision: Provision, mount: _Mount) -> RemoteSession:
        creating = self._start(self._created(job, provision, mount))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            # What is being created can't be recalled, only put away once it is there.
            self._start(_discard(creating))
            raise

    async def _created(self, job: Job, provision: Provision, mount: _Mount) -> RemoteSession:
        client = self._claude.client()
        try:
            with failing_at(ErrorStage.SESSION):
                created = await client.beta.sessions.create(
                    agent={"type": "agent", "id": provision.agent_id, "version": provision.agent_version},
                    environment_id=provision.environment_id,
                    resources=[mount.resource()],
                    metadata={LOG_ID_KEY: job.log_id},
                    title=f"{FEATURE} {job.log_id}",
                )
                return RemoteSession(client, _id_of(created))
        except Failed as failed:
            if failed.failure.error_type in _REFUSED:
                self._provisions.forget(job.variant.model)
            raise mount.without_token(failed) from None

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin work that may outlast the attempt; a reference is kept until it is done."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task


async def _discard(creating: asyncio.Task[RemoteSession]) -> None:
    await asyncio.wait({creating}, timeout=STOP_S)
    if creating.done() and not creating.cancelled() and creating.exception() is None:
        await creating.result().put_away(may_run=False)


def _id_of(created: BetaManagedAgentsSession) -> str:
    if not created.id:
        raise UnexpectedReply("a created session came back without its id")
    return created.id


def _prompt(job: Job, observer: Observer) -> str:
    """The user's message, its fingerprints noted."""
    text = question_text(job.question, replies=job.iteration_cap, mounted_at=MOUNT_PATH)
    tools, system = agent_tools(), system_text(PathName.MANAGED)
    observer.prefix_fingerprint = prefix_fingerprint(tools, system)
    observer.prompt_fingerprint = prompt_fingerprint(tools, system, [{"role": "user", "content": text}])
    return text
