"""The finite plan of a dispatch: its routed variant, and at most one other where the provider fails. Pure."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from dispatcher.action.decision import Decision, Variant
from dispatcher.action.observation import ErrorType, Status, UsageQuality
from dispatcher.action.request import Limits
from dispatcher.dispatch.breaker import Health
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome
from dispatcher.routing.caps import tightened

_PROVIDER_FAILED = frozenset(
    {
        ErrorType.CONNECTION,
        ErrorType.STREAM_TRUNCATED,
        ErrorType.RATE_LIMITED,
        ErrorType.OVERLOADED,
        ErrorType.PROVIDER_ERROR,
        ErrorType.RETRIES_EXHAUSTED,
        ErrorType.SESSION_TERMINATED,
        ErrorType.UNEXPECTED_REPLY,
    }
)
"""What another try of the same path would likely meet again."""

_HELPED_ELSEWHERE = _PROVIDER_FAILED | {
    ErrorType.REPOSITORY,
    ErrorType.CIRCUIT_OPEN,
    ErrorType.QUEUE_FULL,
    ErrorType.NOT_FOUND,
    ErrorType.TOOL_USE_LIMIT,
}
"""What says nothing against the question, so another variant may well answer it."""

_SAYS_NOTHING = frozenset(
    {
        ErrorType.CANCELLED,
        ErrorType.CIRCUIT_OPEN,
        ErrorType.QUEUE_FULL,
        ErrorType.LOG_UNAVAILABLE,
        ErrorType.INTERNAL,
        ErrorType.AUTHENTICATION,
        ErrorType.PERMISSION,
        ErrorType.BILLING,
        ErrorType.INVALID_REQUEST,
        ErrorType.NOT_FOUND,
        ErrorType.REPOSITORY,
        ErrorType.ORIGIN_MISMATCH,
    }
)


def health_of(outcome: Outcome, seen: Observation) -> Health:
    """What an attempt's ending says of its path's provider.

    Whatever the model answered, a refusal included, speaks for it. Misuse says nothing, nor does an attempt that one of
    our own limits ended before anything was answered.
    """
    if outcome.error_type in _PROVIDER_FAILED:
        return Health.BAD
    if not seen.calls:
        return Health.UNKNOWN
    return Health.UNKNOWN if outcome.error_type in _SAYS_NOTHING else Health.GOOD


def fallback_decision(
    decision: Decision, fallback: Variant | None, outcome: Outcome, seen: Observation, limits: Limits
) -> Decision | None:
    """The decision of the next attempt after one that ended so; None where there is none.

    The dispatch's limits are over all attempts: what the first one used up is no longer there.
    """
    if fallback is None or outcome.status is not Status.ERROR or outcome.error_type not in _HELPED_ELSEWHERE:
        return None
    left = _left(limits, seen)
    if left is None:
        return None
    caps = replace(tightened(fallback, left), deadline_s=decision.caps.deadline_s)
    return replace(decision, variant=fallback, caps=caps)


def _left(limits: Limits, seen: Observation) -> Limits | None:
    left = {
        "iterations": _less(limits.iterations, seen.iterations),
        "tool_calls": _less(limits.tool_calls, seen.tool_calls),
        "tokens": _less(limits.tokens, _tokens(seen)),
    }
    # What the first attempt took isn't always known; then nothing is left of a limit that must hold.
    cost_nanousd = None
    if limits.cost_nanousd is not None:
        cost_nanousd = 0 if seen.cost_nanousd is None else limits.cost_nanousd - seen.cost_nanousd
    if any(value is not None and value < 1 for name, value in left.items() if name != "tool_calls"):
        return None
    if cost_nanousd is not None and cost_nanousd < 1:
        return None
    return Limits(
        iterations=left["iterations"],
        tool_calls=None if left["tool_calls"] is None else max(left["tool_calls"], 0),
        tokens=left["tokens"],
        cost_usd=None if cost_nanousd is None else Decimal(cost_nanousd).scaleb(-9),
    )


def _tokens(seen: Observation) -> int | None:
    """The tokens of all classes; None where some aren't known."""
    known = seen.usage_quality in {UsageQuality.REPORTED, UsageQuality.SPLIT_INFERRED}
    prompt, output = seen.usage.prompt_tokens, seen.usage.output_tokens
    return prompt + output if known and prompt is not None and output is not None else None


def _less(limit: int | None, used: int | None) -> int | None:
    if limit is None:
        return None
    return 0 if used is None else limit - used
