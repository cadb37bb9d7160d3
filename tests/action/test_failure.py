"""The failure taxonomy: total over every ending, two views from one classification."""

from __future__ import annotations

from itertools import product

import pytest

from dispatcher.action.decision import Caps, Decision, PathName, Reason, Variant
from dispatcher.action.failure import EngineeringView, FailureViews, ProductView, Source, failure_views
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status, Timings, Usage
from dispatcher.action.result import ResearchResult

ENDINGS = list(product(Status, [None, *EndedBy], [None, *ErrorType], [None, *ErrorStage]))
ERRORS = [ending for ending in ENDINGS if ending[0] is Status.ERROR]


def test_every_ending_has_both_views() -> None:
    for ending in ENDINGS:
        assert isinstance(failure_views(*ending), FailureViews)


def test_every_word_of_the_views_is_used() -> None:
    views = [failure_views(*ending) for ending in ENDINGS]

    assert {one.product for one in views} == set(ProductView)
    assert {one.engineering for one in views} == set(EngineeringView)
    assert {one.source for one in views} == set(Source)


def test_only_a_success_is_an_answer_and_no_success_is_a_failure() -> None:
    answered = {ProductView.ANSWERED, ProductView.ANSWERED_AT_LIMIT}
    for ending in ENDINGS:
        views = failure_views(*ending)

        assert (views.product in answered) is (ending[0] is Status.SUCCESS)
        assert not (ending[0] is Status.SUCCESS and views.is_failure)


def test_an_error_is_a_failure_unless_somebody_wanted_it() -> None:
    wanted = {ErrorType.CANCELLED, ErrorType.INTERRUPTED}
    for ending in ERRORS:
        assert failure_views(*ending).is_failure is (ending[2] not in wanted)


def test_a_cancellation_is_the_users_wish_whatever_it_cut_into() -> None:
    for ending in ENDINGS:
        if ending[0] is Status.CANCELLED:
            views = failure_views(*ending)

            assert (views.product, views.engineering) == (ProductView.STOPPED_BY_USER, EngineeringView.USER_ACTION)
            assert not views.is_failure
            assert not views.retryable


def test_unclassified_is_an_error_without_a_type_and_nothing_else() -> None:
    for ending in ENDINGS:
        unclassified = failure_views(*ending).engineering is EngineeringView.UNCLASSIFIED

        assert unclassified is (ending[0] is Status.ERROR and ending[2] is None)


def test_an_answer_at_a_limit_is_told_from_one_in_full() -> None:
    limits = {
        EndedBy.ITERATION_CAP,
        EndedBy.TOOL_CALL_CAP,
        EndedBy.TOKEN_CAP,
        EndedBy.COST_CAP,
        EndedBy.DEADLINE,
    }
    for ended_by in EndedBy:
        expected = ProductView.ANSWERED_AT_LIMIT if ended_by in limits else ProductView.ANSWERED

        assert failure_views(Status.SUCCESS, ended_by, None, None).product is expected


def test_the_ending_of_a_lost_row_is_unknown_and_its_loss_is_ours() -> None:
    views = failure_views(Status.LOST, None, None, None)

    assert (views.product, views.engineering) == (ProductView.UNKNOWN, EngineeringView.OURS)


EXPECTED = {
    EngineeringView.LIMITS: {"iteration_cap", "tool_call_cap", "token_cap", "cost_cap", "budget_reached", "deadline"},
    EngineeringView.MODEL: {"output_invalid", "refusal"},
    EngineeringView.NETWORK: {"connection", "stream_truncated"},
    EngineeringView.PROVIDER: {
        "rate_limited",
        "overloaded",
        "provider_error",
        "session_terminated",
        "retries_exhausted",
        "tool_use_limit",
        "unexpected_reply",
        "circuit_open",
    },
    EngineeringView.OURS: {
        "max_tokens",
        "context_window",
        "authentication",
        "permission",
        "billing",
        "invalid_request",
        "not_found",
        "repository",
        "origin_mismatch",
        "queue_full",
        "log_unavailable",
        "internal",
    },
    EngineeringView.USER_ACTION: {"cancelled", "interrupted"},
}


@pytest.mark.parametrize("error_type", ErrorType)
def test_every_type_of_error_has_the_owner_that_the_taxonomy_gives_it(error_type: ErrorType) -> None:
    found = failure_views(Status.ERROR, EndedBy.FAILURE, error_type, None).engineering

    assert error_type.value in EXPECTED[found]


@pytest.mark.parametrize(
    ("error_type", "stage", "source", "retryable"),
    [
        (ErrorType.DEADLINE, ErrorStage.QUEUE, Source.DISPATCHER, True),
        (ErrorType.DEADLINE, ErrorStage.STREAM, Source.LIMITS, False),
        (ErrorType.UNEXPECTED_REPLY, ErrorStage.REQUEST, Source.NETWORK, True),
        (ErrorType.UNEXPECTED_REPLY, ErrorStage.STREAM, Source.PROVIDER, True),
        (ErrorType.NOT_FOUND, ErrorStage.SESSION, Source.PROVIDER, True),
        (ErrorType.NOT_FOUND, ErrorStage.REQUEST, Source.DISPATCHER, False),
    ],
)
def test_the_stage_tells_apart_what_one_type_means_in_two_places(
    error_type: ErrorType, stage: ErrorStage, source: Source, retryable: bool
) -> None:
    views = failure_views(Status.ERROR, EndedBy.FAILURE, error_type, stage)

    assert (views.source, views.retryable) == (source, retryable)


def test_a_limit_a_wish_and_a_defect_are_not_worth_asking_again() -> None:
    again = {views.source for ending in ERRORS if (views := failure_views(*ending)).retryable}

    assert again == {Source.PROVIDER, Source.NETWORK, Source.MODEL, Source.DISPATCHER, Source.LOG}
    assert not failure_views(Status.ERROR, EndedBy.FAILURE, ErrorType.INTERNAL, None).retryable


def test_a_result_knows_its_own_views() -> None:
    caps = Caps(iterations=1, tool_calls=1, tokens=1, cost_nanousd=1, deadline_s=1.0)
    variant = Variant(
        name="legacy",
        path=PathName.MESSAGES,
        model="m",
        iteration_cap=1,
        tool_call_cap=1,
        token_cap=1,
        cost_cap_nanousd=1,
        deadline_s=1.0,
    )
    result = ResearchResult(
        log_id="l",
        dispatch_id="d",
        status=Status.ERROR,
        ended_by=EndedBy.DEADLINE,
        decision=Decision(variant=variant, reason=Reason.DEFAULT, caps=caps, flag="f"),
        output=None,
        usage=Usage(),
        cost_nanousd=None,
        timings=Timings(response_time_ms=1),
        iterations=0,
        tool_calls=0,
        error_type=ErrorType.DEADLINE,
        error_stage=ErrorStage.QUEUE,
    )

    assert result.failure == failure_views(Status.ERROR, EndedBy.DEADLINE, ErrorType.DEADLINE, ErrorStage.QUEUE)
    assert result.failure.retryable
