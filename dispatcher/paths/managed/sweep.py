"""The orphan sweep: sessions that were left behind are stopped and archived, matched to their rows by our tag."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from dispatcher.action.observation import ErrorStage, ErrorType, Status
from dispatcher.paths.managed.creation import LOG_ID_KEY
from dispatcher.paths.managed.provision import our_agents
from dispatcher.paths.managed.session import LAGS_S, Failed, RemoteSession, failing_at

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_PAGE = 100
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRow:
    """What the log says of the row that a session is tagged with. Moments are aware.

    `session_id` is the session that the row knows of. `conversation_used_at` is when its conversation was last used:
    the latest opening or ending of any of its rows; None where the row belongs to no conversation.
    """

    status: Status
    session_id: str | None
    deadline_at: dt.datetime
    conversation_used_at: dt.datetime | None


LookUp = Callable[[frozenset[str]], Awaitable[Mapping[str, LoggedRow]]]
"""Gives the rows of the log ids; one that the log doesn't know is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRules:
    """When a session counts as left behind.

    A session is kept for a conversation that was used within `session_ttl`. A row is at work until its deadline and
    `grace` are over. Only sessions that were created at `since` or later are looked at.
    """

    now: dt.datetime
    since: dt.datetime
    session_ttl: dt.timedelta
    grace: dt.timedelta


class Verb(StrEnum):
    """What becomes of a session."""

    LEAVE = "leave"
    ARCHIVE = "archive"
    STOP = "stop"
    """Interrupt, then archive."""


@dataclass(frozen=True, slots=True)
class TaggedSession:
    """A session of ours as it stands."""

    session_id: str
    log_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What a sweep did, by session id; with a dry run, what it would have done.

    `looked_at` are the sessions with our tag: each is one of the others. `stopped` ran and were interrupted and
    archived, `archived` were idle, `left` may be in use or are unknown to this log, and `failed` should have been put
    away and could not be.
    """

    looked_at: tuple[str, ...]
    stopped: tuple[str, ...]
    archived: tuple[str, ...]
    left: tuple[str, ...]
    failed: tuple[str, ...]


def verb_for(session: TaggedSession, row: LoggedRow | None, rules: SweepRules) -> Verb:
    """What becomes of a session, by what the log says of its row.

    A row that this log doesn't know may be at work under another one. A session whose row ended is left only where it
    is idle and its conversation may go on in it: that it has another session, or none, or was answered too long ago,
    means that it won't.
    """
    if row is None or session.status == "terminated" or _may_be_at_work(row, rules):
        return Verb.LEAVE
    if session.status != "idle":
        return Verb.STOP
    return Verb.LEAVE if _may_go_on(session, row, rules) else Verb.ARCHIVE


async def sweep(client: AsyncAnthropic, look_up: LookUp, rules: SweepRules, *, dry_run: bool) -> SweepReport:
    """Look at every session of our agents, and put away what was left behind. Raises Failed."""
    sessions = await _tagged(client, rules.since)
    rows = await look_up(frozenset(session.log_id for session in sessions)) if sessions else {}
    verbs = {session: verb_for(session, rows.get(session.log_id), rules) for session in sessions}
    enough, failed = asyncio.Semaphore(_AT_ONCE), set[str]()

    async def put_away(session: TaggedSession) -> None:
        async with enough:
            remote = RemoteSession(client, session.session_id)
            taken_up = await _was_taken_up(remote, session)
            if taken_up:
                verbs[session] = Verb.LEAVE
            elif taken_up is None or not await _put_away(remote, verbs[session]):
                failed.add(session.session_id)

    if not dry_run:
        await asyncio.gather(*(put_away(session) for session, verb in verbs.items() if verb is not Verb.LEAVE))

    def those(verb: Verb) -> tuple[str, ...]:
        return tuple(s.session_id for s, one in verbs.items() if one is verb and s.session_id not in failed)

    return SweepReport(
        looked_at=tuple(session.session_id for session in sessions),
        stopped=those(Verb.STOP),
        archived=those(Verb.ARCHIVE),
        left=those(Verb.LEAVE),
        failed=tuple(sorted(failed)),
    )


async def sessions_of(client: AsyncAnthropic, log_ids: Collection[str], since: dt.datetime) -> dict[str, str]:
    """The sessions that have these rows' tags and were created since then, by `log_id`. Raises Failed."""
    tagged = await _tagged(client, since, include_archived=True)
    return {session.log_id: session.session_id for session in tagged if session.log_id in log_ids}


async def _was_taken_up(remote: RemoteSession, session: TaggedSession) -> bool | None:
    """Whether a turn has taken the session for itself since it was listed: a sweep of many sessions takes its time.

    None where that can't be told.
    """
    try:
        metadata = (await remote.retrieve()).metadata or {}
    except Failed as failed:
        return False if failed.failure.error_type is ErrorType.NOT_FOUND else None
    return metadata.get(LOG_ID_KEY) != session.log_id


async def _put_away(remote: RemoteSession, verb: Verb) -> bool:
    if verb is Verb.STOP:
        return await remote.put_away(may_run=True)
    # It was idle when it was listed: what runs in it by now is no longer this sweep's to stop.
    return await remote.put_away(may_run=False, within_s=LAGS_S)


def _may_be_at_work(row: LoggedRow, rules: SweepRules) -> bool:
    return row.status is Status.STARTED and rules.now <= row.deadline_at + rules.grace


def _may_go_on(session: TaggedSession, row: LoggedRow, rules: SweepRules) -> bool:
    return (
        row.status is Status.SUCCESS
        and row.session_id == session.session_id
        and row.conversation_used_at is not None
        and rules.now - row.conversation_used_at <= rules.session_ttl
    )


async def _tagged(client: AsyncAnthropic, since: dt.datetime, *, include_archived: bool = False) -> list[TaggedSession]:
    """The sessions of our agents with our tag, newest first; the API filters by agent and time, not by metadata."""
    found = []
    with failing_at(ErrorStage.SESSION):
        for agent_id in await our_agents(client):
            listed = client.beta.sessions.list(
                agent_id=agent_id, created_at_gte=since, order="desc", limit=_PAGE, include_archived=include_archived
            )
            async for session in listed:
                log_id = (session.metadata or {}).get(LOG_ID_KEY)
                if log_id:
                    found.append(TaggedSession(session.id, log_id, session.status))
    return found
