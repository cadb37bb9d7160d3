"""A routed flag's state as a process saw it, told to whoever keeps the history of flips."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A routed flag's state as a process saw it.

    `source` is "file", or the server's origin such as "http://127.0.0.1:4242", never with credentials. `fingerprint` is
    a hash of what decides the flag, `version` one of the whole document, and `revision` grows with the document's age:
    a server's own number, or the file's time of change in nanoseconds. `standing` is the JSON text of
    `routing.flags.standing.Standing`, keys sorted; `seen_at` is in UTC; `actor` is who did it, None where nobody said.
    """

    source: str
    flag: str
    fingerprint: str
    version: str
    revision: int
    seen_at: dt.datetime
    standing: str
    actor: str | None = None


def sighting_of(
    engine: FlagEngine, flag: str, standing: Standing, *, source: str, seen_at: dt.datetime, actor: str | None = None
) -> Sighting:
    """A flag in a state, as whoever made or read the state tells of it; `standing` is what it says there."""
    state = engine.state
    return Sighting(
        source=source,
        flag=flag,
        fingerprint=state.fingerprints[flag],
        version=state.version,
        revision=state.revision,
        seen_at=seen_at,
        standing=standing.to_json(),
        actor=actor,
    )
