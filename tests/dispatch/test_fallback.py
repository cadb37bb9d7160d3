"""The plan of a dispatch: what another variant is tried for, and with what is left of the limits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from dispatcher.action.decision import Caps, Decision, PathName, Reason, Variant
from dispatcher.action.observation import Call, EndedBy, ErrorType, Status, Usage, UsageQuality
from dispatcher.action.request import Limits
from dispatcher.action.transcript import TranscriptForm
from dispatcher.dispatch.breaker import Health
from dispatcher.dispatch.fallback import fallback_decision, health_of
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome
from dispatcher.paths.timing import FirstTokenSplit


def variant(name):
    return Variant(
        name=name,
        path=PathName.MESSAGES,
        model="a-model",
        iteration_cap=30,
        tool_call_cap=300,
        token_cap=10**6,
        cost_cap_nanousd=5 * 10**9,
        deadline_s=300.0,
    )


NO_LIMITS = Limits()
DECISION = Decision(
    variant=variant("managed"),
    reason=Reason.FLAG,
    flag="agent-research",
    caps=Caps(iterations=8, tool_calls=80, tokens=10**6, cost_nanousd=10**9, deadline_s=60.0),
)


def seen(iterations=2, cost_nanousd=200_000_000, tool_calls=3):
    usage = Usage(input_tokens=1000, output_tokens=100, cache_read_input_tokens=0, cache_creation_input_tokens=0)
    call = Call(
        ordinal=1, model="a-model", usage=usage, latency_ms=1, stop_reason=None, request_id=None, cost_nanousd=1
    )
    return Observation(
        calls=(call,),
        iterations=iterations,
        usage=usage,
        usage_quality=UsageQuality.REPORTED,
        cost_nanousd=cost_nanousd,
        runtime_cost_nanousd=0,
        tool_cost_nanousd=0,
        tool_calls=tool_calls,
        tool_errors=0,
        first_token=FirstTokenSplit(),
        first_text_ms=None,
        drain_ms=None,
        session=None,
        totals=None,
        prefix_fingerprint=None,
        prompt_fingerprint=None,
        section_fingerprints={},
        prefix_changed=(),
        transcript_form=TranscriptForm.NATIVE,
        work=(),
        retries=0,
        retry_wait_ms=0,
        repairs=0,
    )


def failed(error_type, status=Status.ERROR):
    return Outcome(status=status, ended_by=EndedBy.FAILURE, error_type=error_type)


def following(error_type=ErrorType.OVERLOADED, limits=NO_LIMITS, looked=None, fallback="legacy", status=Status.ERROR):
    target = None if fallback is None else variant(fallback)
    return fallback_decision(DECISION, target, failed(error_type, status), looked or seen(), limits)


@pytest.mark.parametrize(
    "error_type",
    [
        ErrorType.OVERLOADED,
        ErrorType.CONNECTION,
        ErrorType.REPOSITORY,
        ErrorType.CIRCUIT_OPEN,
        ErrorType.STREAM_TRUNCATED,
    ],
)
def test_where_the_provider_fails_the_other_variant_is_tried(error_type):
    assert following(error_type).variant.name == "legacy"


@pytest.mark.parametrize(
    "error_type",
    [
        ErrorType.DEADLINE,
        ErrorType.REFUSAL,
        ErrorType.OUTPUT_INVALID,
        ErrorType.ITERATION_CAP,
        ErrorType.COST_CAP,
        ErrorType.INTERNAL,
        ErrorType.INVALID_REQUEST,
        ErrorType.LOG_UNAVAILABLE,
    ],
)
def test_what_another_variant_would_not_mend_is_not_tried_again(error_type):
    assert following(error_type) is None


def test_without_a_fallback_in_the_policy_there_is_none():
    assert following(fallback=None) is None


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.CANCELLED])
def test_only_an_error_has_a_fallback(status):
    assert following(status=status) is None


def test_the_reason_stays_that_of_the_routing_and_the_deadline_that_of_the_dispatch():
    decision = following()
    assert (decision.reason, decision.caps.deadline_s) == (Reason.FLAG, 60.0)


def test_the_callers_limits_are_over_all_attempts():
    limits = Limits(iterations=5, tool_calls=10, tokens=5000, cost_usd=Decimal("0.5"))
    caps = following(limits=limits).caps
    assert (caps.iterations, caps.tool_calls, caps.tokens, caps.cost_nanousd) == (3, 7, 3900, 300_000_000)


@pytest.mark.parametrize(
    ("limits", "looked"),
    [
        (Limits(iterations=2), seen()),
        (Limits(tokens=1100), seen()),
        (Limits(cost_usd=Decimal("0.2")), seen()),
        (Limits(cost_usd=Decimal(5)), seen(cost_nanousd=None)),
        (Limits(tokens=10**6), replace(seen(), usage_quality=UsageQuality.PARTIAL)),
    ],
    ids=["requests", "tokens", "money", "money of unknown amount", "tokens of unknown number"],
)
def test_where_nothing_is_left_of_a_limit_there_is_no_fallback(limits, looked):
    assert following(limits=limits, looked=looked) is None


@pytest.mark.parametrize("error_type", ErrorType)
def test_every_ending_says_something_definite_of_the_provider(error_type):
    assert health_of(failed(error_type), seen()) in Health


def test_answers_speak_for_the_provider_and_misuse_says_nothing():
    assert health_of(failed(ErrorType.REFUSAL), seen()) is Health.GOOD
    assert health_of(failed(ErrorType.BILLING), seen()) is Health.UNKNOWN
    assert health_of(failed(ErrorType.CANCELLED, Status.CANCELLED), seen()) is Health.UNKNOWN
    assert health_of(Outcome(status=Status.SUCCESS, ended_by=EndedBy.COMPLETED), seen()) is Health.GOOD


def test_an_attempt_that_our_own_limit_ended_before_any_answer_says_nothing():
    assert health_of(failed(ErrorType.TOKEN_CAP), replace(seen(), calls=())) is Health.UNKNOWN
