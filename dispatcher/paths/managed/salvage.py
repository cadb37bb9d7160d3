"""What a session did for an attempt that can't say so itself any more: read from its history."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dispatcher.action.observation import ErrorStage, ErrorType, Usage
from dispatcher.paths.claude import UnexpectedReply
from dispatcher.paths.managed.creation import LOG_ID_KEY
from dispatcher.paths.managed.event import Event, inner
from dispatcher.paths.managed.session import AT_REST, Failed, RemoteSession, failing_at
from dispatcher.paths.managed.totals import difference, totals_of
from dispatcher.paths.managed.watch import SessionWatch
from dispatcher.paths.observation import Observation, Observer, Session
from dispatcher.paths.sums import SessionTotals, written_for_5m
from dispatcher.paths.wire import count, word
from dispatcher.prices import PriceTable

if TYPE_CHECKING:
    from anthropic.types.beta import BetaManagedAgentsSession

_LATE_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftSession:
    """A session that was left behind, and the attempt that it ran for.

    `before` is what its other turns had used, None where that isn't known. The requests are priced as of `on`. `turns`
    are the rows of all its turns by `log_id`, in their order, where others may have come after the attempt's.
    """

    session_id: str
    log_id: str
    model: str
    on: dt.date
    before: SessionTotals | None
    turns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """What was seen of the attempt, and the provider's word for why the session last came to rest."""

    seen: Observation
    stop_reason: str | None


class Unsalvageable(StrEnum):
    """Why nothing can be told of what an attempt did in a session."""

    NO_SESSION = "no_session"
    """None has the attempt's tag."""
    GONE = "session_gone"
    TAKEN_UP = "session_taken_up"
    """Another turn goes on in it."""
    STILL_RUNS = "session_still_runs"
    """It could not be stopped, or wasn't to be; it may rest later."""
    EARLIER_TURNS_UNKNOWN = "earlier_turns_unknown"
    """It rests, but what its other turns had used of its count isn't known."""


async def salvage(remote: RemoteSession, left: LeftSession, prices: PriceTable) -> Salvage | Unsalvageable:
    """Stop and archive the session, and read what it did for the attempt.

    It is read after it was stopped, because what still runs is still counted. Raises Failed.
    """
    session = await _found(remote, {left.log_id})
    if isinstance(session, Unsalvageable):
        return session
    if session.status != "terminated":
        if not await remote.put_away(may_run=True):
            return Unsalvageable.STILL_RUNS
        session = await remote.retrieve()
    return await _told(remote, session, left, prices, _since_last_message)


async def read_at_rest(remote: RemoteSession, left: LeftSession, prices: PriceTable) -> Salvage | Unsalvageable:
    """Read what the session did for an attempt that has ended, where nothing runs in it any more. Raises Failed.

    It is neither stopped nor archived. Where other turns came after the attempt's, what the platform counted for those
    is in `left.before`, and whose message is whose is told by their order.
    """
    turns = left.turns or (left.log_id,)
    session = await _found(remote, set(turns))
    if isinstance(session, Unsalvageable):
        return session
    if session.status not in AT_REST:
        return Unsalvageable.STILL_RUNS
    is_last = (session.metadata or {}).get(LOG_ID_KEY) == left.log_id
    part = _since_last_message if is_last else _turn(turns.index(left.log_id), of=len(turns))
    return await _told(remote, session, left, prices, part)


_Part = Callable[[Sequence[Event]], Sequence[Event]]


async def _found(remote: RemoteSession, log_ids: set[str]) -> BetaManagedAgentsSession | Unsalvageable:
    """The session, where its latest turn is one of these rows'. Raises Failed."""
    try:
        session = await remote.retrieve()
    except Failed as failed:
        if failed.failure.error_type is ErrorType.NOT_FOUND:
            return Unsalvageable.GONE
        raise
    return session if (session.metadata or {}).get(LOG_ID_KEY) in log_ids else Unsalvageable.TAKEN_UP


async def _told(
    remote: RemoteSession, session: BetaManagedAgentsSession, left: LeftSession, prices: PriceTable, part: _Part
) -> Salvage | Unsalvageable:
    """What a session at rest tells of the attempt, whose part of the history is given. Raises Failed."""
    if left.before is None:
        return Unsalvageable.EARLIER_TURNS_UNKNOWN
    observer = Observer(prices=prices, on=left.on, clock=lambda: 0, started_ns=0, note_session=_is_noted)
    await observer.begin_session(_named(session))
    observer.totals = _used_since(left.before, totals_of(session))
    goes_on = not _is_nothing(left.before.usage)
    if goes_on and _is_nothing(observer.totals.usage):
        # The attempt's own message never came to run: the last one in the session is an earlier turn's.
        return Salvage(seen=observer.observed(), stop_reason=None)
    stop_reason = await _take_history(remote, observer, left.model, part)
    return Salvage(seen=observer.observed(), stop_reason=stop_reason)


async def _is_noted(_session: Session) -> None:
    """The row that is told the ending is told the session with it."""


def _named(session: BetaManagedAgentsSession) -> Session:
    agent: Any = session.agent
    agent_id, version = word(getattr(agent, "id", None)), count(getattr(agent, "version", None))
    with failing_at(ErrorStage.SESSION):
        if agent_id is None or version is None:
            raise UnexpectedReply("a session came without its agent")
    return Session(session_id=session.id, agent_id=agent_id, agent_version=version)


async def _take_history(remote: RemoteSession, observer: Observer, model: str, part: _Part) -> str | None:
    """Tell the observer what has happened in a part of the history; returns the stop reason."""
    watch, seen, stop_reason = SessionWatch(observer, model), set[str](), None
    for wait_s in (_LATE_S, 0.0):
        for event in part(await remote.history()):
            event_id = str(event.get("id"))
            if event_id in seen:
                continue
            seen.add(event_id)
            _take_answer(event, watch, observer)
            watch.note(event, live=False)
            if event.get("type") == "session.status_idle":
                stop_reason = word(inner(event, "stop_reason", "type"))
        # The usage of the request that was interrupted can come after the end of the turn.
        if not watch.awaits_usage:
            break
        await asyncio.sleep(wait_s)
    return stop_reason


def _take_answer(event: Event, watch: SessionWatch, observer: Observer) -> None:
    """What the attempt itself noted when it answered: a call of our tool ran, or one of a built-in tool didn't."""
    if event.get("type") == "user.custom_tool_result":
        observer.tool(failed=bool(event.get("is_error")))
    elif event.get("type") == "user.tool_confirmation" and event.get("result") == "deny":
        watch.deny(str(event.get("tool_use_id")))


def _used_since(before: SessionTotals, now: SessionTotals) -> SessionTotals:
    """What was used since; where nothing was ever written to the cache for an hour, it wasn't before either."""
    if now.usage.cache_creation_1h_input_tokens == 0:
        before = replace(before, usage=written_for_5m(before.usage))
    return difference(now, before)


def _is_nothing(usage: Usage) -> bool:
    return all(getattr(usage, field.name) in {0, None} for field in fields(Usage))


def _since_last_message(history: Sequence[Event]) -> Sequence[Event]:
    places = _messages(history)
    return history[places[-1] :] if places else ()


def _turn(number: int, *, of: int) -> _Part:
    """The part from a turn's message to the next one's; nothing where there aren't as many messages as turns."""

    def part(history: Sequence[Event]) -> Sequence[Event]:
        places = [*_messages(history), len(history)]
        return history[places[number] : places[number + 1]] if len(places) == of + 1 else ()

    return part


def _messages(history: Sequence[Event]) -> list[int]:
    return [place for place, event in enumerate(history) if event.get("type") == "user.message"]
