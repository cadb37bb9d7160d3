"""The faults in force: which one a request meets, and which ones have happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dispatcher.simulator.faults.rule import AnyFault, Rule
from dispatcher.simulator.faults.vocabulary import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """A fault that happened: to which operation, HTTP request and session; None where there is none."""

    on: str
    fault: AnyFault
    request_id: str | None
    session_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """A place where a fault may strike: `kinds` are those that can, `texts` what a scenario is looked for in."""

    on: str
    kinds: tuple[type[Fault], ...]
    texts: Callable[[], Iterable[str]]
    sent: frozenset[str] = frozenset()
    request_id: str | None = None
    session_id: str | None = None

    def fits(self, rule: Rule) -> bool:
        """Whether the rule is about this place."""
        return (
            rule.on == self.on
            and isinstance(rule.fault, self.kinds)
            and (rule.sent is None or rule.sent in self.sent)
            and (rule.scenario is None or any(rule.scenario in text for text in self.texts()))
        )


@dataclass(frozen=True, slots=True)
class Due:
    """A fault that an occasion meets; whoever carries it out calls `happened` when it strikes."""

    fault: AnyFault
    happened: Callable[[], None]


@dataclass(slots=True)
class _Armed:
    """A rule with its count; bound to one HTTP request or one session where it is about no other."""

    rule: Rule
    request_id: str | None = None
    session_id: str | None = None
    seen: int = 0

    def fits(self, occasion: Occasion) -> bool:
        return (
            self.request_id in (None, occasion.request_id)
            and self.session_id in (None, occasion.session_id)
            and occasion.fits(self.rule)
        )


class Plan:
    """The rules of one simulator with their counts. Any thread may inject, clear and look."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._lock = threading.Lock()
        self._armed = [_Armed(rule) for rule in rules]
        self._fired: list[Fired] = []

    @property
    def is_armed(self) -> bool:
        """Whether any rule can still strike: without one, nothing else has to be asked."""
        return bool(self._armed)

    @property
    def fired(self) -> Sequence[Fired]:
        """Everything that happened so far, in order."""
        return tuple(self._fired)

    def inject(self, rules: Iterable[Rule]) -> None:
        """Add rules after those in force; they count from now."""
        added = [_Armed(rule) for rule in rules]
        with self._lock:
            self._armed = [*self._armed, *added]

    def bind(self, rule: Rule, *, request_id: str | None = None, session_id: str | None = None) -> None:
        """Add a rule that is about one HTTP request, or one session, only."""
        with self._lock:
            self._armed = [*self._armed, _Armed(rule, request_id, session_id)]

    def release(self, request_id: str) -> None:
        """Take back what was bound to an HTTP request."""
        with self._lock:
            self._armed = [armed for armed in self._armed if armed.request_id != request_id]

    def clear(self) -> None:
        """Take every rule back; what has happened stays known."""
        with self._lock:
            self._armed = []

    def at(self, occasion: Occasion) -> Due | None:
        """The fault that this occasion meets. Every rule that fits counts it, whichever strikes."""
        struck = None
        with self._lock:
            for armed in self._armed:
                if armed.fits(occasion):
                    armed.seen += 1
                    if struck is None and armed.rule.strikes(armed.seen):
                        struck = armed.rule.fault
            self._armed = [armed for armed in self._armed if not armed.rule.is_spent(armed.seen)]
        if struck is None:
            return None
        fired = Fired(on=occasion.on, fault=struck, request_id=occasion.request_id, session_id=occasion.session_id)
        return Due(struck, lambda: self._fired.append(fired))
