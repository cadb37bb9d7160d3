"""The managed path: a session of Claude Managed Agents for one question, or for the turns of a conversation."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from dispatcher.action.decision import CapMode, PathName
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.action.transcript import Transcript, TranscriptForm
from dispatcher.paths.claude import Claude
from dispatcher.paths.managed.creation import MOUNT_PATH, Creation, Mount
from dispatcher.paths.managed.feed import SILENCE_S
from dispatcher.paths.managed.leaving import despite_cancellation
from dispatcher.paths.managed.provision import Provision, Provisions
from dispatcher.paths.managed.resume import CANNOT_TAKE, CannotGoOn, changed, taken_up
from dispatcher.paths.managed.salvage import LeftSession, Salvage, Unsalvageable, read_at_rest, salvage
from dispatcher.paths.managed.sending import Sending
from dispatcher.paths.managed.session import ANSWER_S, Failed, RemoteSession, failing_at
from dispatcher.paths.managed.so_far import Before
from dispatcher.paths.managed.sweep import LookUp, SweepReport, SweepRules, sessions_of, sweep
from dispatcher.paths.managed.tools import agent_tools
from dispatcher.paths.managed.turn import DRAIN_S, SessionTurn
from dispatcher.paths.observation import Observer, Session
from dispatcher.paths.path import Fresh, Job, Outcome, Resume
from dispatcher.paths.prompt import (
    PREFIX,
    SECTIONS,
    prompt_fingerprint,
    question_sections,
    question_text,
    section_fingerprints,
    system_text,
)
from dispatcher.paths.sections import written
from dispatcher.paths.timing import Marker
from dispatcher.prices import PriceTable

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

logger = logging.getLogger(__name__)

_REFUSED = frozenset({ErrorType.NOT_FOUND, ErrorType.INVALID_REQUEST})
_NOT_MOUNTABLE = Outcome(
    status=Status.ERROR,
    ended_by=EndedBy.FAILURE,
    error_type=ErrorType.REPOSITORY,
    error_stage=ErrorStage.SESSION,
    error="the managed path mounts a GitHub repository at a commit, and this one has no address or no commit",
)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What an attempt works with, whichever session it ends up in."""

    job: Job
    observer: Observer
    provision: Provision
    mount: Mount
    mode: CapMode

    def prompt(self, earlier: Transcript | None) -> str:
        """The user's message; what of it is logged is noted, and the turn's work begins with the question."""
        observer, tools, system = self.observer, agent_tools(self.mode), system_text(PathName.MANAGED)
        question, replies = self.job.question, self.job.caps.iterations
        sections = question_sections(question, replies=replies, mounted_at=MOUNT_PATH, earlier=earlier)
        observer.section_fingerprints = section_fingerprints(tools, SECTIONS[PathName.MANAGED], sections)
        observer.prefix_fingerprint = observer.section_fingerprints[PREFIX]
        text = written(sections)
        observer.prompt_fingerprint = prompt_fingerprint(tools, system, [{"role": "user", "content": text}])
        asked = {"type": "text", "text": question_text(question, replies=replies, mounted_at=MOUNT_PATH)}
        observer.work[:] = [{"role": "user", "content": [asked]}]
        return text


class _NothingSaid(Failed):
    """The attempt failed before anything was said in its session."""


class ManagedPath:
    """Carries out research in sessions of Claude Managed Agents; agent and environment are provisioned.

    `mount_token` gives a tenant's read-only token for a GitHub URL, None for a public repository. A session that ended
    in order is kept where a later turn may go on in it, and else archived beside the caller's wait; `settle` waits for
    that and belongs before the end of a program or event loop. Every other one is stopped and archived before the
    attempt ends, whatever cancels it. After `silence_s` seconds without news of a turn its history is looked at.
    """

    def __init__(
        self, claude: Claude, mount_token: Callable[[str, str], SecretStr | None], *, silence_s: float = SILENCE_S
    ) -> None:
        self._claude = claude
        self._mount_token = mount_token
        self._silence_s = silence_s
        self._provisions = Provisions(claude)
        self._beside: set[asyncio.Task[Any]] = set()

    async def run(self, job: Job, observer: Observer) -> Outcome:
        """Carry out one attempt; see `Path`."""
        checkout = job.checkout
        if checkout.github_url is None or checkout.commit_sha is None:
            return _NOT_MOUNTABLE
        token = self._mount_token(job.tenant, checkout.github_url)
        mode = job.variant.cap_mode or CapMode.INTERRUPT
        try:
            with failing_at(ErrorStage.PROVISION):
                provision = await self._provisions.of(job.variant.model, mode, Sending.of(job, observer))
            mount = Mount(checkout.github_url, checkout.commit_sha, token)
            attempt = _Attempt(job, observer, provision, mount, mode)
            if isinstance(job.seed, Resume):
                outcome = await self._go_on(attempt, job.seed)
                if outcome is not None:
                    return outcome
            return await self._begin(attempt, None if isinstance(job.seed, Fresh) else job.seed.transcript)
        except Failed as failed:
            return failed.outcome

    async def sweep(self, look_up: LookUp, rules: SweepRules, *, dry_run: bool = False) -> SweepReport:
        """Stop and archive the sessions that were left behind; see `SweepRules`. Raises Failed."""
        return await sweep(self._client(), look_up, rules, dry_run=dry_run)

    async def sessions_of(self, log_ids: Collection[str], since: dt.datetime) -> dict[str, str]:
        """The sessions that were created since then for these rows, by `log_id`. Raises Failed."""
        return await sessions_of(self._client(), log_ids, since)

    async def salvage(self, left: LeftSession, prices: PriceTable) -> Salvage | Unsalvageable:
        """Stop, archive and read a session whose attempt was left by its process; see `salvage`. Raises Failed."""
        return await salvage(RemoteSession(self._client(), left.session_id), left, prices)

    async def read_at_rest(self, left: LeftSession, prices: PriceTable) -> Salvage | Unsalvageable:
        """Read a session at rest whose attempt has ended; see `read_at_rest`. Raises Failed."""
        return await read_at_rest(RemoteSession(self._client(), left.session_id), left, prices)

    async def settle(self) -> None:
        """Wait until what this event loop's attempts left behind is put away: some seconds at most."""
        loop = asyncio.get_running_loop()
        while pending := [task for task in tuple(self._beside) if task.get_loop() is loop]:
            await asyncio.wait(pending)

    async def _go_on(self, attempt: _Attempt, seed: Resume) -> Outcome | None:
        """A turn in the session of the turn before; None where that can't be, and then it is put away.

        Raises Failed where the provider failed for a reason that says nothing of the session.
        """
        job, observer = attempt.job, attempt.observer
        remote = RemoteSession(self._client(), seed.session.session_id)
        text = attempt.prompt(None)
        why = changed(seed.session, job, attempt.provision, str(observer.prefix_fingerprint))
        ready = CannotGoOn(f"its {why} has changed") if why else await taken_up(remote, job, Sending.of(job, observer))
        if isinstance(ready, CannotGoOn):
            self._drop(remote, ready)
            return None
        observer.mark(Marker.READY)
        observer.transcript_form = TranscriptForm.SESSION
        try:
            return await self._turn(attempt, remote, text, resumed=ready)
        except _NothingSaid as refused:
            if refused.failure.error_type not in CANNOT_TAKE:
                raise
            self._drop(remote, CannotGoOn(refused.failure.message))
            return None

    async def _begin(self, attempt: _Attempt, earlier: Transcript | None) -> Outcome:
        """A turn in a session of its own, told the earlier ones. Raises Failed."""
        observer = attempt.observer
        observer.transcript_form = TranscriptForm.NATIVE if earlier is None else TranscriptForm.FLATTENED
        remote = await self._created(attempt)
        observer.mark(Marker.READY)
        return await self._turn(attempt, remote, attempt.prompt(earlier), resumed=None)

    async def _turn(self, attempt: _Attempt, remote: RemoteSession, text: str, *, resumed: Before | None) -> Outcome:
        """One turn, its session left as it must be. Raises Failed; _NothingSaid where the session is as it was."""
        job, observer, provision = attempt.job, attempt.observer, attempt.provision
        before, keeps = resumed or Before(), False
        turn = SessionTurn(remote, observer, job, text=text, before=before, silence_s=self._silence_s)
        try:
            await observer.begin_session(
                Session(
                    session_id=remote.session_id, agent_id=provision.agent_id, agent_version=provision.agent_version
                )
            )
            await turn.ask()
            await turn.follow()
            keeps = job.keeps_session
        except Failed as failed:
            if turn.untouched:
                raise _NothingSaid(failed.failure, failed.stage) from failed
            raise
        finally:
            if resumed is not None and turn.untouched:
                await despite_cancellation(turn.disconnect, DRAIN_S)
            else:
                await self._leave(turn, remote, observer, keeps=keeps)
        return turn.outcome

    async def _leave(self, turn: SessionTurn, remote: RemoteSession, observer: Observer, *, keeps: bool) -> None:
        """Archive the session: beside the answer where it ended in order, else in this task and before the answer.

        One that is to be kept is archived only where no turn can go on in it; what still runs in it after its report
        is stopped all the same.
        """
        keeps = keeps and observer.accepted is not None
        try:
            if not turn.ended_in_order:
                await despite_cancellation(lambda: turn.wind_down(archives=not keeps), turn.stops_within_s)
        finally:
            turn.give_up()
            if not turn.archived and not (keeps and turn.can_be_followed):
                self._start(remote.put_away(may_run=not turn.at_rest))
            if observer.accepted is not None and turn.decided_ns is not None:
                observer.drain_ms = (observer.clock() - turn.decided_ns) // 1_000_000

    async def _created(self, attempt: _Attempt) -> RemoteSession:
        creation = Creation(self._client(), attempt.job, attempt.observer, attempt.provision, attempt.mount)
        try:
            return await creation.create()
        except Failed as failed:
            if creation.may_be_lost:
                self._start(creation.put_lost_away())
            if failed.failure.error_type in _REFUSED:
                self._provisions.forget(attempt.job.variant.model, attempt.mode)
            raise

    def _client(self) -> AsyncAnthropic:
        return self._claude.client().with_options(timeout=ANSWER_S)

    def _drop(self, remote: RemoteSession, reason: CannotGoOn) -> None:
        """Put a session away that no turn will go on in; the conversation gets another one."""
        logger.info("session %s can't go on: %s", remote.session_id, reason.why)
        if reason.archivable:
            self._start(remote.put_away(may_run=True))

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin work that may outlast the attempt; a reference is kept until it is done."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
