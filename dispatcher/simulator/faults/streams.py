"""Faults inside a stream of events: it ends, fails, falls silent, repeats itself or says something unheard of.

`at_event` is the event before which it happens: its ordinal, counted from 1 without pings and comments, or the type
of which it is the first. A stream that ends before it got there had no fault.

A Messages stream that ends early, whoever ended it and how, costs its input in full and its output as far as it was
written: a model that stopped being listened to has still read its prompt.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dispatcher.simulator.clock import SimulatedClock
from dispatcher.simulator.connection import ConnectionCut
from dispatcher.simulator.faults.vocabulary import STREAMS, Fault, Seconds
from dispatcher.simulator.sse import KEEPALIVE, event_type, frame

Position = Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)]
NOVELTY = "simulator.novelty"
"""The type of an event that no client knows."""


class StreamFault(Fault):
    """What goes wrong after a stream's headers."""

    acts_on: ClassVar[frozenset[str]] = STREAMS
    at_event: Position = 1


class Cut(StreamFault):
    """The stream ends: `abrupt` closes the connection, `reset` resets it, `clean` ends the response in good form."""

    name: Literal["cut"] = "cut"
    how: Literal["abrupt", "reset", "clean"] = "abrupt"


class ErrorEvent(StreamFault):
    """An `error` event, after which the response ends in good form."""

    name: Literal["error_event"] = "error_event"
    error_type: Literal["overloaded_error", "rate_limit_error", "api_error", "timeout_error"] = "overloaded_error"
    message: str = "Injected by the simulator"

    def event(self) -> dict[str, Any]:
        """The event itself."""
        return {"type": "error", "error": {"type": self.error_type, "message": self.message}}


class Silence(StreamFault):
    """No event for `seconds`, or none ever again; meanwhile a comment, a ping or nothing at all keeps coming.

    `keepalive_ms` are real milliseconds. What happens during the silence isn't lost: it follows the silence.
    """

    name: Literal["silence"] = "silence"
    seconds: Seconds | None = None
    keepalive: Literal["comment", "ping", "none"] = "comment"
    keepalive_ms: int = Field(default=50, ge=1)


class Duplicate(StreamFault):
    """An event is delivered twice, or with `at_event: 0` every one of them."""

    acts_on: ClassVar[frozenset[str]] = frozenset(["events.stream"])
    name: Literal["duplicate"] = "duplicate"
    at_event: Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)] = 0


class UnknownEvent(StreamFault):
    """An event of a type that no client knows; inside a session it is part of its history too."""

    acts_on: ClassVar[frozenset[str]] = STREAMS | {"model_request"}
    name: Literal["unknown_event"] = "unknown_event"


async def faulted(
    frames: AsyncGenerator[bytes, None], fault: StreamFault, happened: Callable[[], None], clock: SimulatedClock
) -> AsyncGenerator[bytes, None]:
    """The frames as the fault lets them through; `happened` is called when it strikes.

    Raises ConnectionCut where the connection has to close. The frames are closed before the client can see an ending,
    so what they cost is known by then.
    """
    place = _Place(fault.at_event)
    async with aclosing(frames):
        async for chunk in frames:
            if not place.reached(chunk):
                yield chunk
                continue
            happened()
            if isinstance(fault, Cut | ErrorEvent):
                break
            async for instead in _around(fault, chunk, clock):
                yield instead
        else:
            return
    if isinstance(fault, ErrorEvent):
        yield frame(fault.event())
    elif isinstance(fault, Cut) and fault.how != "clean":
        raise ConnectionCut(reset=fault.how == "reset")


class _Place:
    """Finds the event at which a fault strikes: once, or with ordinal 0 at every one."""

    def __init__(self, position: int | str) -> None:
        self._position = position
        self._events = 0
        self._passed = False

    def reached(self, chunk: bytes) -> bool:
        kind = event_type(chunk)
        if kind in (None, "ping") or self._passed:
            return False
        self._events += 1
        if self._position == 0:
            return True
        self._passed = self._position in (kind, self._events)
        return self._passed


async def _around(fault: StreamFault, chunk: bytes, clock: SimulatedClock) -> AsyncIterator[bytes]:
    if isinstance(fault, Silence):
        async for sign in _signs_of_life(fault, clock):
            yield sign
    elif isinstance(fault, UnknownEvent):
        yield frame({"type": NOVELTY, "id": "sevt_novelty", "processed_at": None})
    elif isinstance(fault, Duplicate):
        yield chunk
    yield chunk


async def _signs_of_life(fault: Silence, clock: SimulatedClock) -> AsyncIterator[bytes]:
    sign = {"comment": KEEPALIVE, "ping": frame({"type": "ping"}), "none": b""}[fault.keepalive]
    async for _ in clock.real_intervals(fault.keepalive_ms / 1000, fault.seconds):
        if sign:
            yield sign
