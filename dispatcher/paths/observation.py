"""What is seen while a path runs: gathered as it happens, frozen when it is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dispatcher.action.event import (
    OnEvent,
    RepairRequested,
    RequestFinished,
    RequestStarted,
    RetryScheduled,
    ToolFinished,
)
from dispatcher.action.observation import Call, ErrorType, Usage, UsageQuality
from dispatcher.action.transcript import Message, TranscriptForm, verbatim
from dispatcher.paths.sums import SessionTotals, Sums, written_for_5m
from dispatcher.paths.timing import FirstTokenSplit, Marker, split_first_token
from dispatcher.prices import PriceTable

if TYPE_CHECKING:
    from dispatcher.paths.path import Outcome


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
    calls' cost plus the session's running time and the provider's own tools, None where any part is unknown.
    `iterations` counts the model requests that were begun, also those whose usage never came; one that the provider
    refused without running it isn't among them. `prefix_changed` names the sections of the stable prefix that differed
    between two requests of the attempt, or from the conversation's turn before. `work` is what was said in this turn.
    `retries` counts requests of any kind that were sent again, or found to have landed, after a wait; `retry_wait_ms`
    is the time spent in such waits, one that was cut short included. `repairs` counts answers that were sent back for
    their form.
    """

    calls: tuple[Call, ...]
    iterations: int
    usage: Usage
    usage_quality: UsageQuality
    cost_nanousd: int | None
    runtime_cost_nanousd: int | None
    tool_cost_nanousd: int | None
    tool_calls: int
    tool_errors: int
    first_token: FirstTokenSplit
    first_text_ms: int | None
    drain_ms: int | None
    session: Session | None
    totals: SessionTotals | None
    prefix_fingerprint: str | None
    prompt_fingerprint: str | None
    section_fingerprints: Mapping[str, str]
    prefix_changed: tuple[str, ...]
    transcript_form: TranscriptForm
    work: tuple[Message, ...]
    retries: int
    retry_wait_ms: int
    repairs: int


@dataclass(slots=True, kw_only=True)
class Observer:
    """Gathers what a path sees; one per attempt.

    `clock` is a monotonic clock in nanoseconds and `started_ns` its value when the caller began to wait;
    `note_session` commits the session's id to the row before anything runs in the session; `tell` passes an event on
    to whoever follows the dispatch. `accepted` is the outcome of an attempt whose report was accepted: what cuts the
    attempt short afterwards no longer decides anything. `work` is this turn's messages in the form of the Messages API,
    added as they are said.
    """

    prices: PriceTable
    on: dt.date
    clock: Callable[[], int]
    started_ns: int
    note_session: Callable[[Session], Awaitable[None]]
    tell: OnEvent = field(default=lambda _event: None)
    transcript_form: TranscriptForm = TranscriptForm.NATIVE
    prefix_fingerprint: str | None = None
    prompt_fingerprint: str | None = None
    section_fingerprints: Mapping[str, str] = field(default_factory=dict)
    prefix_changed: tuple[str, ...] = ()
    work: list[Message] = field(default_factory=list)
    drain_ms: int | None = None
    totals: SessionTotals | None = None
    accepted: Outcome | None = None
    _session: Session | None = None
    _calls: list[Call] = field(default_factory=list)
    _marks: dict[Marker, int] = field(default_factory=dict)
    _tool_calls: int = 0
    _tool_errors: int = 0
    _unreported: int = 0
    _web_searches: int = 0
    _retries: int = 0
    _retry_wait_ns: int = 0
    _repairs: int = 0

    @property
    def iterations(self) -> int:
        """Model requests begun so far."""
        return len(self._calls) + self._unreported

    @property
    def tool_calls(self) -> int:
        """Tool calls so far."""
        return self._tool_calls

    @property
    def spent(self) -> tuple[int, int]:
        """Tokens of all classes and 10⁻⁹ US dollars of the requests that have ended; what is unknown counts as 0.

        For caps: a cap that waited for unknown figures would never hold. So cache writes whose TTL isn't told are taken
        to be for 5m.
        """
        tokens = sum((call.usage.prompt_tokens or 0) + (call.usage.output_tokens or 0) for call in self._calls)
        return tokens, sum(self._likely_cost(call) for call in self._calls)

    def mark(self, marker: Marker) -> None:
        """Note the moment of a marker; only the first time counts."""
        self._marks.setdefault(marker, self.clock())

    def begin_call(self) -> int:
        """Note that a model request was sent; returns its ordinal. Until it ends, its usage is unknown."""
        self._unreported += 1
        self.tell(RequestStarted(ordinal=self.iterations))
        return self.iterations

    def refuse_call(self) -> None:
        """Note that the provider refused the request begun last without running it: it used nothing, and was none."""
        self._unreported -= 1

    def schedule_retry(self, error_type: ErrorType, wait_s: float) -> None:
        """Tell that a request is to be sent again after a wait, which begins now."""
        self.tell(RetryScheduled(error_type=error_type, wait_s=wait_s))

    def waited(self, waited_ns: int) -> None:
        """Note the time spent in a wait, whether or not it came to its end."""
        self._retry_wait_ns += waited_ns

    def retry(self) -> None:
        """Note that a request is sent again, its wait over."""
        self._retries += 1

    def repair(self) -> None:
        """Note that an answer is sent back for its form."""
        self._repairs += 1
        self.tell(RepairRequested())

    def end_call(
        self,
        *,
        ordinal: int,
        model: str,
        usage: Usage,
        latency_ms: int | None = None,
        stop_reason: str | None = None,
        request_id: str | None = None,
        prompt_fingerprint: str | None = None,
        web_searches: int = 0,
    ) -> Call:
        """Note the usage of a request by its ordinal; the cost follows from the price table at this attempt's day."""
        self._unreported -= 1
        self._web_searches += web_searches
        call = Call(
            ordinal=ordinal,
            model=model,
            usage=usage,
            latency_ms=latency_ms,
            stop_reason=stop_reason,
            request_id=request_id,
            cost_nanousd=self.prices.cost_nanousd(model, usage, self.on),
            prompt_fingerprint=prompt_fingerprint,
        )
        self._calls.append(call)
        self.tell(RequestFinished(call=call))
        return call

    def accept(self, outcome: Outcome) -> None:
        """Note the success at the moment that decides it; only the first one counts."""
        self.accepted = self.accepted or outcome

    def tool(self, name: str | None = None, *, failed: bool) -> None:
        """Count one tool call."""
        self._tool_calls += 1
        self._tool_errors += failed
        self.tell(ToolFinished(name=name, failed=failed))

    async def begin_session(self, session: Session) -> None:
        """Remember the session and commit it to the row; it is remembered even where the commit fails or is cut off."""
        self._session = session
        await self.note_session(session)

    def observed(self) -> Observation:
        """Everything seen so far, frozen."""
        sums = Sums(
            told=tuple(self._calls),
            unreported=self._unreported,
            web_searches=self._web_searches,
            in_session=self._session is not None,
            totals=self.totals,
            prices=self.prices,
            on=self.on,
        )
        first_text = self._marks.get(Marker.FIRST_TEXT)
        return Observation(
            calls=sums.calls,
            iterations=self.iterations,
            usage=sums.usage,
            usage_quality=sums.quality,
            cost_nanousd=sums.cost_nanousd,
            runtime_cost_nanousd=sums.runtime_cost_nanousd,
            tool_cost_nanousd=sums.tool_cost_nanousd,
            tool_calls=self._tool_calls,
            tool_errors=self._tool_errors,
            first_token=split_first_token(self.started_ns, self._marks),
            first_text_ms=None if first_text is None else (first_text - self.started_ns) // 1_000_000,
            drain_ms=self.drain_ms,
            session=self._session,
            totals=self.totals,
            prefix_fingerprint=self.prefix_fingerprint,
            prompt_fingerprint=self.prompt_fingerprint,
            section_fingerprints=dict(self.section_fingerprints),
            prefix_changed=self.prefix_changed,
            transcript_form=self.transcript_form,
            work=verbatim(self.work),
            retries=self._retries,
            retry_wait_ms=round(self._retry_wait_ns / 1_000_000),
            repairs=self._repairs,
        )

    def _likely_cost(self, call: Call) -> int:
        known = call.cost_nanousd
        if known is None:
            known = self.prices.cost_nanousd(call.model, written_for_5m(call.usage), self.on)
        return known or 0
