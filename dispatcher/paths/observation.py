"""What is seen while a path runs: gathered as it happens, frozen when it is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dispatcher.action.observation import ZERO_USAGE, Call, Usage, UsageQuality
from dispatcher.paths.timing import FirstTokenSplit, Marker, split_first_token
from dispatcher.prices import PriceTable

if TYPE_CHECKING:
    from dispatcher.paths.path import Outcome

_RECONCILED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
"""What a session's calls must add up to for its usage to count as complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTotals:
    """What the platform itself counted for a managed session.

    `active_ms` is the running time that is billed; `list_cost_nanousd` is the platform's own figure, in whole cents.
    """

    usage: Usage
    active_ms: int | None
    list_cost_nanousd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The managed session an attempt ran in."""

    session_id: str
    agent_id: str
    agent_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that was seen of one attempt, at one moment.

    Usage is the sum over the calls; a class that one call left unknown is unknown in the sum. `cost_nanousd` is the
    calls' cost plus the session's running time, None where any part is unknown. `iterations` counts the model requests
    that were begun, also those whose usage never came.
    """

    calls: tuple[Call, ...]
    iterations: int
    usage: Usage
    usage_quality: UsageQuality
    cost_nanousd: int | None
    runtime_cost_nanousd: int | None
    tool_calls: int
    tool_errors: int
    first_token: FirstTokenSplit
    first_text_ms: int | None
    drain_ms: int | None
    session: Session | None
    totals: SessionTotals | None
    prefix_fingerprint: str | None
    prompt_fingerprint: str | None


@dataclass(slots=True, kw_only=True)
class Observer:
    """Gathers what a path sees; one per attempt.

    `clock` is a monotonic clock in nanoseconds and `started_ns` its value when the caller began to wait;
    `note_session` commits the session's id to the row before anything runs in the session. `accepted` is the outcome of
    an attempt whose report was accepted: what cuts the attempt short afterwards no longer decides anything.
    """

    prices: PriceTable
    on: dt.date
    clock: Callable[[], int]
    started_ns: int
    note_session: Callable[[Session], Awaitable[None]]
    prefix_fingerprint: str | None = None
    prompt_fingerprint: str | None = None
    drain_ms: int | None = None
    totals: SessionTotals | None = None
    accepted: Outcome | None = None
    _session: Session | None = None
    _calls: list[Call] = field(default_factory=list)
    _marks: dict[Marker, int] = field(default_factory=dict)
    _tool_calls: int = 0
    _tool_errors: int = 0
    _unreported: int = 0

    @property
    def iterations(self) -> int:
        """Model requests begun so far."""
        return len(self._calls) + self._unreported

    def mark(self, marker: Marker) -> None:
        """Note the moment of a marker; only the first time counts."""
        self._marks.setdefault(marker, self.clock())

    def begin_call(self) -> int:
        """Note that a model request was sent; returns its ordinal. Until it ends, its usage is unknown."""
        self._unreported += 1
        return self.iterations

    def end_call(
        self,
        *,
        model: str,
        usage: Usage,
        latency_ms: int | None = None,
        stop_reason: str | None = None,
        request_id: str | None = None,
        prompt_fingerprint: str | None = None,
    ) -> Call:
        """Note a begun request's usage; the cost follows from the price table at this attempt's day."""
        self._unreported -= 1
        call = Call(
            ordinal=len(self._calls) + 1,
            model=model,
            usage=usage,
            latency_ms=latency_ms,
            stop_reason=stop_reason,
            request_id=request_id,
            cost_nanousd=self.prices.cost_nanousd(model, usage, self.on),
            prompt_fingerprint=prompt_fingerprint,
        )
        self._calls.append(call)
        return call

    def accept(self, outcome: Outcome) -> None:
        """Note the success at the moment that decides it; only the first one counts."""
        self.accepted = self.accepted or outcome

    def tool(self, *, failed: bool) -> None:
        """Count one tool call."""
        self._tool_calls += 1
        self._tool_errors += failed

    async def begin_session(self, session: Session) -> None:
        """Remember the session and commit it to the row; it is remembered even where the commit fails or is cut off."""
        self._session = session
        await self.note_session(session)

    def observed(self) -> Observation:
        """Everything seen so far, frozen."""
        calls = self._calls_with_split()
        usage = sum((call.usage for call in calls), ZERO_USAGE)
        first_text = self._marks.get(Marker.FIRST_TEXT)
        runtime = self._runtime_cost()
        return Observation(
            calls=calls,
            iterations=self.iterations,
            usage=Usage() if self._unreported and not self._calls else usage,
            usage_quality=self._quality(usage),
            cost_nanousd=self._cost(calls, runtime),
            runtime_cost_nanousd=runtime,
            tool_calls=self._tool_calls,
            tool_errors=self._tool_errors,
            first_token=split_first_token(self.started_ns, self._marks),
            first_text_ms=None if first_text is None else (first_text - self.started_ns) // 1_000_000,
            drain_ms=self.drain_ms,
            session=self._session,
            totals=self.totals,
            prefix_fingerprint=self.prefix_fingerprint,
            prompt_fingerprint=self.prompt_fingerprint,
        )

    def _calls_with_split(self) -> tuple[Call, ...]:
        """The calls, their cache writes split by TTL.

        The platform's spans don't tell the split; where its session total shows no 1h writes, all were for 5m.
        """
        if self.totals is None or self.totals.usage.cache_creation_1h_input_tokens != 0:
            return tuple(self._calls)
        return tuple(self._all_5m(call) for call in self._calls)

    def _all_5m(self, call: Call) -> Call:
        usage = replace(
            call.usage,
            cache_creation_5m_input_tokens=call.usage.cache_creation_input_tokens,
            cache_creation_1h_input_tokens=0,
        )
        return replace(call, usage=usage, cost_nanousd=self.prices.cost_nanousd(call.model, usage, self.on))

    def _quality(self, usage: Usage) -> UsageQuality:
        if self._unreported:
            return UsageQuality.PARTIAL if self._calls else UsageQuality.MISSING
        if self._session is not None and self.totals is None:
            return UsageQuality.PARTIAL
        if any(call.usage.input_tokens is None or call.usage.output_tokens is None for call in self._calls):
            return UsageQuality.PARTIAL
        if self.totals is None:
            return UsageQuality.REPORTED
        if any(getattr(usage, name) != getattr(self.totals.usage, name) for name in _RECONCILED):
            return UsageQuality.PARTIAL
        return (
            UsageQuality.SPLIT_INFERRED
            if self.totals.usage.cache_creation_1h_input_tokens == 0
            else UsageQuality.REPORTED
        )

    def _runtime_cost(self) -> int | None:
        if self._session is None:
            return 0
        if self.totals is None or self.totals.active_ms is None:
            return None
        return self.prices.runtime_cost_nanousd(self.totals.active_ms)

    def _cost(self, calls: tuple[Call, ...], runtime: int | None) -> int | None:
        if self._unreported or runtime is None:
            return None
        total = runtime
        for call in calls:
            if call.cost_nanousd is None:
                return None
            total += call.cost_nanousd
        return total
