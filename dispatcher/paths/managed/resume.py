"""Going on in the session of the turn before: whether it may, whether it can, and what it held."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatcher.action.observation import ErrorStage, ErrorType
from dispatcher.paths.managed.creation import LOG_ID_KEY, budget_of
from dispatcher.paths.managed.provision import Provision
from dispatcher.paths.managed.sending import Sending
from dispatcher.paths.managed.session import Failed, Pause, RemoteSession, failing_at
from dispatcher.paths.managed.so_far import Before
from dispatcher.paths.managed.totals import totals_of
from dispatcher.paths.path import Job, PastSession

if TYPE_CHECKING:
    from anthropic.types.beta import BetaManagedAgentsSession, SessionUpdateParams

CANNOT_TAKE = frozenset({ErrorType.NOT_FOUND, ErrorType.INVALID_REQUEST})
"""What a session answers that is gone, or takes no message: asking again won't help, another session will."""

_LAGS_S = 1.0


@dataclass(frozen=True, slots=True)
class CannotGoOn:
    """The conversation needs a fresh session; `archivable` says that the old one is still there."""

    why: str
    archivable: bool = True


def changed(past: PastSession, job: Job, provision: Provision, prefix_fingerprint: str) -> str | None:
    """The first thing that is no longer what the session was created for; None where all is.

    A session keeps its model, its repository at a commit, its tools and its prompt for good.
    """
    now = {
        "model": job.variant.model,
        "repository": job.checkout.github_url,
        "commit_sha": job.checkout.commit_sha,
        "project": job.project,
        "prefix_fingerprint": prefix_fingerprint,
        "agent_id": provision.agent_id,
        "agent_version": provision.agent_version,
    }
    return next((name for name, value in now.items() if getattr(past, name) != value), None)


async def taken_up(remote: RemoteSession, job: Job, sending: Sending) -> Before | CannotGoOn:
    """Make the session ready for another turn: its tag names the row, its budget has room for the turn's cap.

    Raises Failed where the provider failed for a reason that says nothing of the session.
    """
    try:
        session = await sending(lambda: _settled(remote))
        if session.archived_at is not None or session.status == "terminated":
            return CannotGoOn("it has ended", archivable=session.archived_at is None)
        if session.status != "idle":
            return CannotGoOn("it is not at rest")
        if session.budget is not None and totals_of(session).list_cost_nanousd is None:
            return CannotGoOn("what is left of its budget is not known")
        said = await sending(remote.said)
        await sending(lambda: _updated(remote, session, job))
    except Failed as failed:
        if failed.failure.error_type not in CANNOT_TAKE:
            raise
        return CannotGoOn(failed.failure.message, archivable=failed.failure.error_type is not ErrorType.NOT_FOUND)
    return Before(
        message_ids=frozenset(str(event.get("id")) for event in said),
        totals=totals_of(session),
    )


async def _settled(remote: RemoteSession) -> BetaManagedAgentsSession:
    """The session, once its status had the time to follow the end of the turn before."""
    ends_at, pause = asyncio.get_running_loop().time() + _LAGS_S, Pause()
    session = await remote.retrieve()
    while session.status == "running" and asyncio.get_running_loop().time() < ends_at:
        await pause()
        session = await remote.retrieve()
    return session


async def _updated(remote: RemoteSession, session: BetaManagedAgentsSession, job: Job) -> bool:
    changes: SessionUpdateParams = {"metadata": {LOG_ID_KEY: job.log_id}}
    consumed = totals_of(session).list_cost_nanousd
    # A budget can't be given to a session that was created without one.
    if session.budget is not None and consumed is not None:
        changes["budget"] = budget_of(job.caps.cost_nanousd, consumed)
    with failing_at(ErrorStage.SESSION):
        await remote.client.beta.sessions.update(remote.session_id, **changes)
    return True
