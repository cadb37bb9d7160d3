"""One managed session at the provider: what is sent to it, read from it, and how it is put away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.paths.claude import Failure, UnexpectedReply, failure_of
from dispatcher.paths.managed.event import Event, texts_of
from dispatcher.paths.managed.leaving import despite_cancellation
from dispatcher.paths.managed.steps import Answer, Confirmation
from dispatcher.paths.managed.totals import totals_of
from dispatcher.paths.path import Outcome
from dispatcher.paths.sums import SessionTotals

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic._base_client import AsyncPaginator
    from anthropic.pagination import AsyncPageCursor
    from anthropic.types.beta import BetaManagedAgentsSession
    from anthropic.types.beta.sessions import (
        BetaManagedAgentsEventParams,
        BetaManagedAgentsSessionEvent,
        BetaManagedAgentsStreamSessionEvents,
    )

logger = logging.getLogger(__name__)

AT_REST = frozenset({"idle", "terminated"})
"""The statuses of a session in which nothing runs."""

ANSWER_S = 15.0
"""The longest wait for an answer that isn't a stream; the SDK's own limit is ten minutes."""

LAGS_S = 2.0
"""A session that is not at rest for so long after its turn has ended runs; its status doesn't just lag behind."""

_STREAM_READ_S = 600.0
_PUT_AWAY_S = 10.0
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_HISTORY_PAGE = 1000
_PAGE_CLASSES: set[type] = set()
"""Held, since the SDK holds the class of a page no longer than the page, and then builds its schema anew."""


class Failed(Exception):
    """Talking to the provider failed at a stage of the attempt."""

    def __init__(self, failure: Failure, stage: ErrorStage) -> None:
        self.failure = failure
        self.stage = stage
        super().__init__(failure, stage)

    @property
    def outcome(self) -> Outcome:
        """The attempt's outcome where nothing else decided it."""
        return Outcome(
            status=Status.ERROR,
            ended_by=EndedBy.FAILURE,
            error_type=self.failure.error_type,
            error_stage=self.stage,
            error=self.failure.message,
            http_status=self.failure.http_status,
        )


@contextmanager
def failing_at(stage: ErrorStage, secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Turn the provider's errors into Failed, the secrets blotted out; whatever else is raised passes."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error, secrets)
        if failure is None:
            raise
        raise Failed(failure, stage) from error


class Pause:
    """The pause between the tries of a loop that goes on for as long as it is let; each is longer than the last."""

    def __init__(self) -> None:
        self._seconds = _FIRST_PAUSE_S

    async def __call__(self) -> None:
        """Let it pass."""
        await asyncio.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, _LONGEST_PAUSE_S)


@dataclass(frozen=True, slots=True)
class RemoteSession:
    """A session by its id. Every method raises Failed; each sends its request once, unless it says otherwise."""

    client: AsyncAnthropic
    session_id: str

    async def say(self, text: str) -> str:
        """Send the user's message; returns its id."""
        with failing_at(ErrorStage.REQUEST):
            message_id = await self._send([{"type": "user.message", "content": [{"type": "text", "text": text}]}])
            if not message_id:
                raise UnexpectedReply("a sent message came back without its id")
            return message_id

    async def said(self) -> list[Event]:
        """The user's messages so far, oldest first."""
        return await self._of_type("user.message")

    async def errors(self) -> list[Event]:
        """The platform's own errors so far, oldest first."""
        return await self._of_type("session.error")

    async def answer(self, answers: Iterable[Answer | Confirmation]) -> None:
        """Give the results of custom tool uses, and the permissions that built-in ones wait for."""
        with failing_at(ErrorStage.REQUEST):
            await self._send([_answer_event(answer) for answer in answers])

    async def interrupt(self) -> None:
        """Ask the session to stop what it does."""
        with failing_at(ErrorStage.REQUEST):
            await self._send([{"type": "user.interrupt"}])

    async def stream(self) -> AsyncStream[BetaManagedAgentsStreamSessionEvents]:
        """Open the stream of what happens from now on."""
        with failing_at(ErrorStage.STREAM):
            return await self.client.beta.sessions.events.stream(self.session_id, timeout=_STREAM_READ_S)

    async def history(self) -> list[Event]:
        """Everything that has happened so far, oldest first."""
        with failing_at(ErrorStage.STREAM):
            return await _all(self.client.beta.sessions.events.list(self.session_id, limit=_HISTORY_PAGE, order="asc"))

    async def retrieve(self) -> BetaManagedAgentsSession:
        """The session as it stands; its status can lag behind its events."""
        with failing_at(ErrorStage.SESSION):
            return await self.client.beta.sessions.retrieve(self.session_id)

    async def totals_at_rest(self) -> SessionTotals:
        """The session's own count over all its turns, looked for until nothing runs in it."""
        pause = Pause()
        while (session := await self.retrieve()).status not in AT_REST:
            await pause()
        return totals_of(session)

    async def put_away(self, *, may_run: bool, within_s: float = _PUT_AWAY_S) -> bool:
        """Archive the session within some seconds, whatever cancels; returns whether it is, and logs where it isn't."""
        archived = await despite_cancellation(lambda: self.archive(may_run=may_run), within_s)
        if not archived:
            logger.warning("session %s could not be archived; it may still run", self.session_id)
        return archived

    async def archive(self, *, may_run: bool) -> None:
        """Archive the session, so that nothing can run in it any more; tries until it is, or is gone.

        A running session can't be archived. Where it may still run it is interrupted first; else its status should only
        lag behind, and an interrupt would stay in the history of a turn that ended well. One that lags for too long
        runs: a message that landed twice has a turn of its own.
        """
        pause, lags_until = Pause(), asyncio.get_running_loop().time() + LAGS_S
        while not await self._archived(may_run=may_run or asyncio.get_running_loop().time() >= lags_until):
            await pause()

    async def _archived(self, *, may_run: bool) -> bool:
        with suppress(Failed), failing_at(ErrorStage.SESSION):
            await self.client.beta.sessions.archive(self.session_id)
            return True
        try:
            if (await self.retrieve()).status not in AT_REST and may_run:
                await self.interrupt()
        except Failed as failed:
            return failed.failure.error_type is ErrorType.NOT_FOUND
        return False

    async def _of_type(self, kind: Literal["user.message", "session.error"]) -> list[Event]:
        with failing_at(ErrorStage.STREAM):
            events = await _all(
                self.client.beta.sessions.events.list(self.session_id, types=[kind], limit=_HISTORY_PAGE, order="asc")
            )
        return [event for event in events if event.get("type") == kind]

    async def _send(self, events: list[BetaManagedAgentsEventParams]) -> str | None:
        sent = await self.client.beta.sessions.events.send(self.session_id, events=events)
        return sent.data[0].id if sent.data else None


async def _all(
    listed: AsyncPaginator[BetaManagedAgentsSessionEvent, AsyncPageCursor[BetaManagedAgentsSessionEvent]],
) -> list[Event]:
    """The events of every page."""
    page = await listed
    _PAGE_CLASSES.add(type(page))
    return [in_json_form(event) async for event in page]


def _answer_event(answer: Answer | Confirmation) -> BetaManagedAgentsEventParams:
    if isinstance(answer, Answer):
        return {
            "type": "user.custom_tool_result",
            "custom_tool_use_id": answer.use_id,
            "content": [{"type": "text", "text": answer.text}],
            "is_error": answer.is_error,
        }
    if answer.deny_message is None:
        return {"type": "user.tool_confirmation", "tool_use_id": answer.use_id, "result": "allow"}
    denial = answer.deny_message
    return {
        "type": "user.tool_confirmation",
        "tool_use_id": answer.use_id,
        "result": "deny",
        "deny_message": denial,
    }


def in_json_form(event: object) -> Event:
    """An event as it came over the wire; without content where it is no object."""
    to_dict = getattr(event, "to_dict", None)
    return {} if to_dict is None else to_dict(mode="json", warnings=False)


def message_in(said: Iterable[Event], text: str, before: Collection[str]) -> str | None:
    """The id of the user's message with this text that wasn't there before; None where there is none."""
    for event in said:
        event_id = event.get("id")
        if isinstance(event_id, str) and event_id and event_id not in before and "".join(texts_of(event)) == text:
            return event_id
    return None
