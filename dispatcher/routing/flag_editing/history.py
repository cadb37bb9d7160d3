"""The history of a flag: the states that processes saw, joined with a server's event log, pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.routing.flags.standing import Move, Standing, moves

_CLOCKS_APART = dt.timedelta(seconds=10)
"""How much later than a state an event of a server's clock may seem that led to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A state of a flag as the log has it; `sequence` counts the states of one source from 1."""

    source: str
    sequence: int
    at: dt.datetime
    version: str
    standing: Standing
    actor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An entry of a server's event log: what happened, to what, and by whom."""

    number: int
    at: dt.datetime
    by: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A change of a flag: when it was seen, who made it, and who was sent elsewhere by it.

    `version` is None for events of a server that no process has seen the state of. `first` is whether it is the first
    state ever seen, so that nothing is known of the one before.
    """

    at: dt.datetime
    source: str
    actor: str | None
    version: str | None
    first: bool
    on: bool | None
    moves: tuple[Move, ...]
    events: tuple[Event, ...]

    @property
    def who(self) -> tuple[str, ...]:
        """Who is known to have made it: who said so here, and by the server's log."""
        named = [] if self.actor is None else [self.actor]
        return tuple(dict.fromkeys([*named, *(event.by for event in self.events)]))


def told(seen: Sequence[Seen], events: Sequence[Event]) -> list[Flip]:
    """The flips, the newest first. A state whose predecessor is missing from `seen` is only what the next came from.

    An event led to the first state that was seen after it.
    """
    states = sorted(seen, key=lambda state: state.sequence)
    led_to: dict[int, list[Event]] = {}
    loose: list[Event] = []
    for event in sorted(events, key=lambda event: (event.at, event.number)):
        found = _state_after(states, event)
        (loose if found is None else led_to.setdefault(found, [])).append(event)
    flips = [
        _flip(states[number], states[number - 1] if number else None, led_to.get(number, []))
        for number in range(len(states))
        if number or states[number].sequence == 1
    ]
    flips += [_unseen(event, states) for event in loose]
    return sorted(flips, key=lambda flip: flip.at, reverse=True)


def _state_after(states: Sequence[Seen], event: Event) -> int | None:
    for number, state in enumerate(states):
        if state.at >= event.at:
            return number
    return len(states) - 1 if states and states[-1].at >= event.at - _CLOCKS_APART else None


def _flip(state: Seen, before: Seen | None, events: list[Event]) -> Flip:
    return Flip(
        at=state.at,
        source=state.source,
        actor=state.actor,
        version=state.version,
        first=before is None,
        on=state.standing.on,
        moves=moves(None if before is None else before.standing, state.standing),
        events=tuple(events),
    )


def _unseen(event: Event, states: Sequence[Seen]) -> Flip:
    source = states[-1].source if states else "server"
    return Flip(at=event.at, source=source, actor=None, version=None, first=False, on=None, moves=(), events=(event,))
