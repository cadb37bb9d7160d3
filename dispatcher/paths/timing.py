"""Timing markers: one declaration per path, and the arithmetic that splits the wait for the first token.

The markers follow the marker contract of the start-up latency specification: *ready*, *session done*, *first token*.
The parts between them plus a remainder are the time to first token on every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from dispatcher.action.decision import PathName

TIMING_SCHEMA = 1
"""Raised when a marker changes its meaning, so that rows of different definitions are never averaged."""


class Marker(StrEnum):
    """A moment that a path marks once, the first time it happens."""

    READY = "ready"
    SESSION_DONE = "session_done"
    FIRST_TOKEN = "first_token"  # noqa: S105 - a model's token
    FIRST_TEXT = "first_text"


MARKERS: Mapping[PathName, Mapping[Marker, str]] = {
    PathName.MESSAGES: {
        Marker.READY: "the client and the repository are ready to send",
        Marker.SESSION_DONE: "the first model request is being sent",
        Marker.FIRST_TOKEN: "the first content delta of any kind has arrived",
        Marker.FIRST_TEXT: "the first text delta has arrived",
    },
    PathName.MANAGED: {
        Marker.READY: "the session is there: its creation is acknowledged, or an earlier turn's can go on",
        Marker.SESSION_DONE: "the first span.model_request_start has arrived; the container's start lies before it",
        Marker.FIRST_TOKEN: "the first event of model output (agent.*) has arrived",
        Marker.FIRST_TEXT: "the first agent.message has arrived",
    },
}
"""What each marker means on each path; no other place may define one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTokenSplit:
    """The parts of the time to first token in milliseconds; see `Timings`."""

    ready_ms: int | None = None
    session_init_ms: int | None = None
    first_token_ms: int | None = None
    remainder_ms: int | None = None
    unavailable_reason: str | None = None


def split_first_token(started_ns: int, marks: Mapping[Marker, int]) -> FirstTokenSplit:
    """Split the wait from the start to the first token at the markers between them.

    All moments are nanoseconds of one monotonic clock. Where a marker is missing, the parts on either side of it are
    None and their time is in the remainder; where moments are out of order, no part can be believed and all of it is.
    Without a first token nothing can be split and every part is None. No duration is ever negative.
    """
    first_token = marks.get(Marker.FIRST_TOKEN)
    if first_token is None:
        return FirstTokenSplit(unavailable_reason="no_first_token")
    if first_token < started_ns:
        return FirstTokenSplit(unavailable_reason="clock_not_monotonic")
    total = _ms(first_token - started_ns)
    moments = (started_ns, marks.get(Marker.READY), marks.get(Marker.SESSION_DONE), first_token)
    known = [moment for moment in moments if moment is not None]
    if known != sorted(known):
        return FirstTokenSplit(remainder_ms=total, unavailable_reason="marks_out_of_order")
    parts = [_part(begin, end) for begin, end in pairwise(moments)]
    missing = [marker.value for marker in (Marker.READY, Marker.SESSION_DONE) if marker not in marks]
    return FirstTokenSplit(
        ready_ms=parts[0],
        session_init_ms=parts[1],
        first_token_ms=parts[2],
        # Each part is rounded down, so together they never exceed the whole.
        remainder_ms=total - sum(part for part in parts if part is not None),
        unavailable_reason=f"no_{'_'.join(missing)}" if missing else None,
    )


def _part(begin: int | None, end: int | None) -> int | None:
    return None if begin is None or end is None else _ms(end - begin)


def _ms(nanoseconds: int) -> int:
    return nanoseconds // 1_000_000
