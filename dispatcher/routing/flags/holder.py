"""The one holder of what is in force: asked from any thread, and changed by swapping one reference."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace

from dispatcher.routing.flags.answer import FlagAnswer, FlagContext, FlagState
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.sighting import Sighting
from dispatcher.routing.flags.teller import Teller

_LONGEST_PROBLEM = 2000
MAX_STALE_S = 3600.0
"""How long a document that can no longer be confirmed stays in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is in force: the last good state, what is wrong since, and when the state was last confirmed.

    `confirmed` is in seconds on the monotonic clock.
    """

    engine: FlagEngine | None
    problem: str | None
    confirmed: float


def told_briefly(problem: str) -> str:
    """The beginning of what is wrong: a document can be wrong in a million places, and every decision tells it."""
    rest = len(problem) - _LONGEST_PROBLEM
    return problem if rest <= 0 else f"{problem[:_LONGEST_PROBLEM]} … and {rest} characters more"


class FlagHolder:
    """Holds the last good state and answers from it; `source` names where the states come from.

    `overdue_s` is the age in seconds from which a state that nobody doubted counts as doubtful, None where it is
    confirmed on use. `on_sighting` is told of each state in which a routed flag differs from the one before, and of the
    first one, at least `tell_after_s` seconds later and on a thread of its own. All changes must come from one thread
    at a time; anybody may ask meanwhile.
    """

    def __init__(
        self,
        source: str,
        now: float,
        *,
        overdue_s: float | None = None,
        on_sighting: Callable[[Sighting], None] | None = None,
        tell_after_s: float = 0.0,
    ) -> None:
        self._source = source
        self._overdue_s = overdue_s
        self._teller = None if on_sighting is None else Teller(source, on_sighting, tell_after_s)
        self._inherited: tuple[Held, ...] = ()
        self.held = Held(engine=None, problem=None, confirmed=now)

    def take(
        self, engine: FlagEngine, confirmed: float, problem: str | None = None, seen_at: dt.datetime | None = None
    ) -> None:
        """Put another state in force; `problem` says why it may be out of date from the start.

        `seen_at`, in UTC, is when its source was asked, None for now.
        """
        self.held = Held(engine=engine, problem=problem, confirmed=confirmed)
        # What the disk kept was seen, and told of, by the process that kept it.
        if self._teller is not None and problem is None:
            self._teller.saw(engine, seen_at or dt.datetime.now(dt.UTC))

    def confirm(self, now: float, seen_at: dt.datetime | None = None) -> None:
        """The state in force is still the newest; for `seen_at` see `take`."""
        self.held = replace(self.held, problem=None, confirmed=now)
        if self._teller is not None and self.held.engine is not None:
            self._teller.saw(self.held.engine, seen_at or dt.datetime.now(dt.UTC))

    def doubt(self, problem: str) -> None:
        """Nobody can say whether the state in force is still the newest."""
        self.held = replace(self.held, problem=problem)

    def answer(self, flag: str, context: FlagContext, now: float) -> FlagAnswer:
        """The flag's answer from the state in force; never raises for a state that can't be used."""
        held = self.held
        if held.engine is None:
            detail = f"there is no flag document that can be used: {held.problem}"
            return FlagAnswer(
                state=FlagState.ERROR, version=None, source=self._source, problem=held.problem, detail=detail
            )
        problem = held.problem
        if problem is None and self._overdue_s is not None and now - held.confirmed > self._overdue_s:
            problem = f"nobody has looked for {now - held.confirmed:.0f} s"
        if problem is not None and now - held.confirmed > MAX_STALE_S:
            detail = f"the document could not be confirmed for {now - held.confirmed:.0f} s: {problem}"
            version = held.engine.state.version
            answer = FlagAnswer(state=FlagState.STALE, version=version, problem=problem, detail=detail)
        else:
            answer = held.engine.answer(flag, context, problem)
        return replace(answer, source=self._source, age_s=now - held.confirmed)

    def after_fork(self) -> None:
        """Make the state usable in a forked child; to be called before its first evaluation.

        The engine's lock may have been held by another thread at the fork, so a new engine is built from the same
        text. The inherited one is kept, unused, since even freeing it could wait on that lock.
        """
        held = self.held
        self._inherited = (*self._inherited, held)
        self.held = replace(held, engine=None if held.engine is None else FlagEngine(held.engine.state))
        if self._teller is not None:
            self._teller.after_fork()
