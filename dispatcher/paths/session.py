"""One managed session at the provider: what is sent to it, read from it, and how it is put away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status, Usage
from dispatcher.paths.claude import Failure, UnexpectedReply, failure_of
from dispatcher.paths.observation import SessionTotals
from dispatcher.paths.path import Outcome
from dispatcher.paths.session_events import Event
from dispatcher.paths.session_leaving import despite_cancellation
from dispatcher.paths.session_steps import Answer
from dispatcher.paths.wire import count

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types.beta import BetaManagedAgentsSession
    from anthropic.types.beta.sessions import BetaManagedAgentsEventParams, BetaManagedAgentsStreamSessionEvents

logger = logging.getLogger(__name__)

NANOUSD_PER_CENT = 10_000_000

_PUT_AWAY_S = 10.0
_MOST_SECONDS = 1_000_000
_MOST_DIGITS = 9
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_HISTORY_PAGE = 1000


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


@dataclass(frozen=True, slots=True)
class RemoteSession:
    """A session by its id. Every method raises Failed; nothing is sent twice."""

    client: AsyncAnthropic
    session_id: str

    async def say(self, text: str) -> str:
        """Send the user's message; returns its id."""
        with failing_at(ErrorStage.REQUEST):
            message_id = await self._send([{"type": "user.message", "content": [{"type": "text", "text": text}]}])
            if not message_id:
                raise UnexpectedReply("a sent message came back without its id")
            return message_id

    async def answer(self, answers: Iterable[Answer]) -> None:
        """Give the results of custom tool uses."""
        with failing_at(ErrorStage.REQUEST):
            await self._send(
                [
                    {
                        "type": "user.custom_tool_result",
                        "custom_tool_use_id": answer.use_id,
                        "content": [{"type": "text", "text": answer.text}],
                        "is_error": answer.is_error,
                    }
                    for answer in answers
                ]
            )

    async def interrupt(self) -> None:
        """Ask the session to stop what it does."""
        with failing_at(ErrorStage.REQUEST):
            await self._send([{"type": "user.interrupt"}])

    async def stream(self) -> AsyncStream[BetaManagedAgentsStreamSessionEvents]:
        """Open the stream of what happens from now on."""
        with failing_at(ErrorStage.STREAM):
            return await self.client.beta.sessions.events.stream(self.session_id)

    async def history(self) -> list[Event]:
        """Everything that has happened so far, oldest first."""
        with failing_at(ErrorStage.STREAM):
            listed = self.client.beta.sessions.events.list(self.session_id, limit=_HISTORY_PAGE, order="asc")
            return [in_json_form(event) async for event in listed]

    async def totals_at_rest(self) -> SessionTotals:
        """The session's own count, once nothing runs in it; its status can lag behind its events."""
        pause = _FIRST_PAUSE_S
        while True:
            session = await self._retrieve()
            if session.status in {"idle", "terminated"}:
                return _totals(session)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def put_away(self, *, may_run: bool) -> None:
        """Archive the session within some seconds, whatever cancels. Never fails; says so in the program's log."""
        if not await despite_cancellation(lambda: self.archive(may_run=may_run), _PUT_AWAY_S):
            logger.warning("session %s could not be archived; it may still run", self.session_id)

    async def archive(self, *, may_run: bool) -> None:
        """Archive the session, so that nothing can run in it any more; tries until it is, or is gone.

        A running session can't be archived. Where it may still run it is interrupted first; else its status only lags
        behind, and an interrupt would stay in the history of a turn that ended well.
        """
        pause = _FIRST_PAUSE_S
        while not await self._archived(may_run=may_run):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _archived(self, *, may_run: bool) -> bool:
        with suppress(Failed), failing_at(ErrorStage.SESSION):
            await self.client.beta.sessions.archive(self.session_id)
            return True
        try:
            if (await self._retrieve()).status == "running" and may_run:
                await self.interrupt()
        except Failed as failed:
            return failed.failure.error_type is ErrorType.NOT_FOUND
        return False

    async def _retrieve(self) -> BetaManagedAgentsSession:
        with failing_at(ErrorStage.SESSION):
            return await self.client.beta.sessions.retrieve(self.session_id)

    async def _send(self, events: list[BetaManagedAgentsEventParams]) -> str | None:
        sent = await self.client.beta.sessions.events.send(self.session_id, events=events)
        return sent.data[0].id if sent.data else None


def in_json_form(event: object) -> Event:
    """An event as it came over the wire; without content where it is no object."""
    to_dict = getattr(event, "to_dict", None)
    return {} if to_dict is None else to_dict(mode="json", warnings=False)


def _totals(session: BetaManagedAgentsSession) -> SessionTotals:
    usage: Any = session.usage
    writes: Any = getattr(usage, "cache_creation", None)
    writes_5m = count(getattr(writes, "ephemeral_5m_input_tokens", None))
    writes_1h = count(getattr(writes, "ephemeral_1h_input_tokens", None))
    return SessionTotals(
        usage=Usage(
            input_tokens=count(getattr(usage, "input_tokens", None)),
            output_tokens=count(getattr(usage, "output_tokens", None)),
            cache_read_input_tokens=count(getattr(usage, "cache_read_input_tokens", None)),
            cache_creation_input_tokens=None if writes_5m is None or writes_1h is None else writes_5m + writes_1h,
            cache_creation_5m_input_tokens=writes_5m,
            cache_creation_1h_input_tokens=writes_1h,
        ),
        active_ms=_milliseconds(getattr(usage, "active_seconds", None)),
        list_cost_nanousd=_nanousd(getattr(usage, "list_cost", None)),
    )


def _milliseconds(seconds: object) -> int | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _MOST_SECONDS:
        return None
    return count(round(seconds * 1000))


def _nanousd(list_cost: Any) -> int | None:
    """The platform's list cost, whole US cents in a string, in nano-dollars."""
    amount = getattr(list_cost, "amount", None)
    if getattr(list_cost, "currency", None) != "USD" or not isinstance(amount, str):
        return None
    if not amount.isdecimal() or len(amount) > _MOST_DIGITS:
        return None
    return int(amount) * NANOUSD_PER_CENT
