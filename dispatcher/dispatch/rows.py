"""What a dispatch writes and answers, composed from what was asked, decided, observed and said. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass

from dispatcher.action.decision import Decision
from dispatcher.action.observation import Timings, Usage
from dispatcher.action.request import FEATURE, ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Origin, Role, TranscriptForm
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome
from dispatcher.paths.repository import Checkout
from dispatcher.paths.timing import TIMING_SCHEMA

_OF_THE_ACTION = ("tenant", "project", "conversation_id", "actor")
_OF_THE_DECISION = (
    "reason",
    "flag",
    "flag_version",
    "flag_stale",
    "assignment_key",
    "assignment_share",
    "iteration_cap",
)
_FIRST_CALL = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is the same for every row of a dispatcher: where its answers come from, and who writes."""

    origin: Origin
    time_scale: float
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """When a dispatch began, on both clocks: aware UTC for the row, monotonic nanoseconds for durations."""

    at: dt.datetime
    ns: int


def opening_of(
    action: ResearchAction,
    decision: Decision,
    checkout: Checkout,
    setting: Setting,
    began: Began,
    *,
    log_id: str,
    dispatch_id: str,
) -> AttemptOpening:
    """The row as it is committed before the provider is called. What has a column's own name is taken under it."""
    variant = decision.variant
    return AttemptOpening(
        log_id=log_id,
        dispatch_id=dispatch_id,
        attempt=1,
        role=Role.SERVED,
        **asdict(setting),
        feature=FEATURE,
        **{name: getattr(action, name) for name in _OF_THE_ACTION},
        turn=None if action.conversation_id is None else 1,
        created_at=began.at,
        deadline_at=began.at + dt.timedelta(seconds=decision.deadline_s),
        path=variant.path,
        variant=variant.name,
        routed_variant=variant.name,
        variant_hash=variant.hash,
        model=variant.model,
        **{name: getattr(decision, name) for name in _OF_THE_DECISION},
        transcript_form=TranscriptForm.NATIVE,
        repository=checkout.github_url or str(checkout.root),
        commit_sha=checkout.commit_sha,
    )


def ending_of(
    outcome: Outcome, seen: Observation, response_time_ms: int, ended_at: dt.datetime, prices: str
) -> AttemptEnding:
    """The row's ending; `prices` is the version of the price table. Usage and timings have the columns' own names."""
    first = seen.calls[0].usage if seen.calls else Usage()
    return AttemptEnding(
        status=outcome.status,
        finished_at=ended_at,
        ended_by=outcome.ended_by,
        stop_reason=outcome.stop_reason,
        output_valid=outcome.output_valid,
        output_chars=outcome.output_chars,
        error_type=outcome.error_type,
        error_stage=outcome.error_stage,
        http_status=outcome.http_status,
        **asdict(timings_of(seen, response_time_ms)),
        queue_ms=None,
        timing_schema=TIMING_SCHEMA,
        **asdict(seen.usage),
        usage_quality=seen.usage_quality,
        **{f"first_call_{name}": getattr(first, name) for name in _FIRST_CALL},
        cost_nanousd=seen.cost_nanousd,
        runtime_cost_nanousd=seen.runtime_cost_nanousd,
        # Neither path offers the model a tool that the provider bills.
        tool_cost_nanousd=0,
        price_version=prices,
        platform_list_cost_nanousd=seen.totals.list_cost_nanousd if seen.totals else None,
        iterations=seen.iterations,
        tool_calls=seen.tool_calls,
        tool_errors=seen.tool_errors,
        retries=0,
        provider_request_id=next((call.request_id for call in reversed(seen.calls) if call.request_id), None),
        session_id=seen.session.session_id if seen.session else None,
        agent_id=seen.session.agent_id if seen.session else None,
        agent_version=seen.session.agent_version if seen.session else None,
        prefix_fingerprint=seen.prefix_fingerprint,
        prompt_fingerprint=seen.prompt_fingerprint,
    )


def timings_of(seen: Observation, response_time_ms: int) -> Timings:
    """Where the caller's wait went."""
    split = seen.first_token
    return Timings(
        response_time_ms=response_time_ms,
        ready_ms=split.ready_ms,
        session_init_ms=split.session_init_ms,
        first_token_ms=split.first_token_ms,
        remainder_ms=split.remainder_ms,
        first_text_ms=seen.first_text_ms,
        active_ms=seen.totals.active_ms if seen.totals else None,
        drain_ms=seen.drain_ms,
        timing_unavailable_reason=split.unavailable_reason,
    )


def result_of(
    opening: AttemptOpening, decision: Decision, outcome: Outcome, seen: Observation, ms: int
) -> ResearchResult:
    """The answer to the caller; `ms` is the response time."""
    return ResearchResult(
        log_id=opening.log_id,
        dispatch_id=opening.dispatch_id,
        status=outcome.status,
        ended_by=outcome.ended_by,
        decision=decision,
        output=outcome.output,
        usage=seen.usage,
        cost_nanousd=seen.cost_nanousd,
        timings=timings_of(seen, ms),
        iterations=seen.iterations,
        tool_calls=seen.tool_calls,
        error_type=outcome.error_type,
        error_stage=outcome.error_stage,
        error=outcome.error,
    )
