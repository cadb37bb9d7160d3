"""What a dispatch writes and answers, composed from what was asked, decided, observed and said. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher.action.decision import Decision
from dispatcher.action.observation import ZERO_USAGE, Timings, Usage, UsageQuality
from dispatcher.action.request import FEATURE, ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.action.transcript import Transcript, TranscriptForm, Turn
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Origin, Role
from dispatcher.audit.swept import SweptEnding
from dispatcher.dispatch.conversation import Past
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome
from dispatcher.paths.prompt import changed_sections
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.timing import TIMING_SCHEMA

_OF_THE_ACTION = ("tenant", "project", "conversation_id", "actor", "idempotency_key")
_OF_THE_DECISION = (
    "reason",
    "flag",
    "flag_version",
    "flag_stale",
    "assignment_key",
    "assignment_share",
    "iteration_cap",
)
_OF_THE_WORK = (
    *("cost_nanousd", "runtime_cost_nanousd", "tool_cost_nanousd"),
    *("iterations", "tool_calls", "tool_errors"),
)
_FOUR_CLASSES = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an attempt's row claims: its ids, its place in the conversation and in the dispatch, time and money."""

    log_id: str
    dispatch_id: str
    attempt: int
    routed_variant: str
    turn: int | None
    transcript_form: TranscriptForm
    began: Began
    deadline_at: dt.datetime
    reserved_nanousd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt that has ended; durations in milliseconds of the caller's wait."""

    opening: AttemptOpening
    decision: Decision
    outcome: Outcome
    seen: Observation
    response_time_ms: int
    queue_ms: int


def opening_of(
    action: ResearchAction, decision: Decision, checkout: Checkout, setting: Setting, claim: Claim
) -> AttemptOpening:
    """The row as it is committed before the provider is called. What has a column's own name is taken under it."""
    variant = decision.variant
    return AttemptOpening(
        log_id=claim.log_id,
        dispatch_id=claim.dispatch_id,
        attempt=claim.attempt,
        role=Role.SERVED if claim.attempt == 1 else Role.FALLBACK,
        origin=setting.origin,
        time_scale=setting.time_scale,
        owner=setting.owner,
        feature=FEATURE,
        **{name: getattr(action, name) for name in _OF_THE_ACTION},
        turn=claim.turn,
        created_at=claim.began.at,
        deadline_at=claim.deadline_at,
        path=variant.path,
        variant=variant.name,
        routed_variant=claim.routed_variant,
        variant_hash=variant.hash,
        model=variant.model,
        **{name: getattr(decision, name) for name in _OF_THE_DECISION},
        transcript_form=claim.transcript_form,
        repository=checkout.github_url or str(checkout.root),
        commit_sha=checkout.commit_sha,
        reserved_nanousd=claim.reserved_nanousd,
    )


def ending_of(ended: Ended, past: Past, finished_at: dt.datetime, prices: str) -> AttemptEnding:
    """The row's ending; `prices` is the version of the price table. Usage and timings have the columns' own names."""
    outcome, seen = ended.outcome, ended.seen
    return AttemptEnding(
        status=outcome.status,
        finished_at=finished_at,
        ended_by=outcome.ended_by,
        stop_reason=outcome.stop_reason,
        output_valid=outcome.output_valid,
        output_chars=outcome.output_chars,
        error_type=outcome.error_type,
        error_stage=outcome.error_stage,
        http_status=outcome.http_status,
        **_plain(timings_of(seen, ended.response_time_ms, ended.queue_ms)),
        timing_schema=TIMING_SCHEMA,
        **_told_of(seen),
        price_version=prices,
        retries=seen.retries,
        retry_wait_ms=seen.retry_wait_ms,
        repairs=seen.repairs,
        prefix_fingerprint=seen.prefix_fingerprint,
        prompt_fingerprint=seen.prompt_fingerprint,
        section_fingerprints=json.dumps(seen.section_fingerprints) if seen.section_fingerprints else None,
        prefix_changed=",".join(_changed(ended, past)) or None,
        transcript_form=seen.transcript_form,
    )


def swept_ending_of(seen: Observation, stop_reason: str | None, prices: str) -> SweptEnding:
    """What a row is told of an attempt that only its session remembers."""
    untold = seen.usage_quality is UsageQuality.MISSING
    return SweptEnding(
        usage_unavailable_reason="requests_unreported" if untold else None,
        stop_reason=stop_reason,
        **_told_of(seen),
        price_version=prices,
        active_ms=seen.totals.active_ms if seen.totals else None,
    )


def _told_of(seen: Observation) -> dict[str, Any]:
    """What a row is told of its attempt's work and money, whoever ends it."""
    session = seen.session
    return {
        **_tokens_of(seen),
        **{name: getattr(seen, name) for name in _OF_THE_WORK},
        "platform_list_cost_nanousd": seen.totals.list_cost_nanousd if seen.totals else None,
        "provider_request_id": next((call.request_id for call in reversed(seen.calls) if call.request_id), None),
        "session_id": session.session_id if session else None,
        "agent_id": session.agent_id if session else None,
        "agent_version": session.agent_version if session else None,
    }


def _tokens_of(seen: Observation) -> dict[str, Any]:
    """The columns of tokens: all calls', the first one's, and what the platform counted itself."""
    first = next((call.usage for call in seen.calls if call.ordinal == 1), Usage())
    totals = seen.totals.usage if seen.totals else Usage()
    return {
        **_plain(seen.usage),
        "usage_quality": seen.usage_quality,
        **{f"first_call_{name}": getattr(first, name) for name in _FOUR_CLASSES},
        **{f"platform_{name}": getattr(totals, name) for name in _FOUR_CLASSES},
    }


def _changed(ended: Ended, past: Past) -> tuple[str, ...]:
    """The sections of the stable prefix that changed within the attempt, or since the turn before on the same path."""
    seen = ended.seen
    if seen.prefix_changed or past.sections is None or past.path != ended.opening.path:
        return seen.prefix_changed
    return changed_sections(past.sections, seen.section_fingerprints) if seen.section_fingerprints else ()


def timings_of(seen: Observation, response_time_ms: int, queue_ms: int) -> Timings:
    """Where the caller's wait went."""
    split = seen.first_token
    return Timings(
        response_time_ms=response_time_ms,
        queue_ms=queue_ms,
        ready_ms=split.ready_ms,
        session_init_ms=split.session_init_ms,
        first_token_ms=split.first_token_ms,
        remainder_ms=split.remainder_ms,
        first_text_ms=seen.first_text_ms,
        active_ms=seen.totals.active_ms if seen.totals else None,
        drain_ms=seen.drain_ms,
        timing_unavailable_reason=split.unavailable_reason,
    )


def result_of(attempts: Sequence[Ended], action: ResearchAction, past: Past, response_time_ms: int) -> ResearchResult:
    """The answer to the caller: the last attempt's, with the usage and cost of all of them."""
    last = attempts[-1]
    outcome, seen = last.outcome, last.seen
    costs = [ended.seen.cost_nanousd for ended in attempts]
    return ResearchResult(
        log_id=last.opening.log_id,
        dispatch_id=last.opening.dispatch_id,
        status=outcome.status,
        ended_by=outcome.ended_by,
        decision=last.decision,
        output=outcome.output,
        usage=seen.usage if len(attempts) == 1 else sum((ended.seen.usage for ended in attempts), ZERO_USAGE),
        cost_nanousd=None if None in costs else sum(cost or 0 for cost in costs),
        timings=timings_of(seen, response_time_ms, last.queue_ms),
        iterations=sum(ended.seen.iterations for ended in attempts),
        tool_calls=sum(ended.seen.tool_calls for ended in attempts),
        attempts=len(attempts),
        work=seen.work,
        transcript=_transcript(last, action, past),
        error_type=outcome.error_type,
        error_stage=outcome.error_stage,
        error=outcome.error,
    )


def _transcript(last: Ended, action: ResearchAction, past: Past) -> Transcript:
    output, variant = last.outcome.output, last.decision.variant
    if output is None:
        return past.transcript
    turn = Turn(
        question=action.question,
        path=variant.path,
        model=variant.model,
        answer=output.model_dump_json(),
        messages=last.seen.work,
    )
    return past.transcript.followed_by(turn)


def _plain(value: Usage | Timings) -> dict[str, Any]:
    # asdict() copies deeply, which for flat values is all of its time.
    return {name: getattr(value, name) for name in value.__slots__}
