"""How a managed turn ends, played event by event."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from managed_world import make_job, make_path, run_once
from scripted_sessions import ScriptedSessions
from session_scripts import (
    AWAIT_ANSWER,
    FOREVER,
    INVALID_REPORT,
    REPORT,
    SUBMITS,
    Event,
    custom_use,
    echo,
    error,
    idle,
    interrupt,
    message,
    request_end,
    request_start,
    requires,
    tool_use,
)

from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status, Usage, UsageQuality
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome

BEGIN: tuple[Event, ...] = (echo(), request_start(1))


async def play(script: Sequence[Event], cap: int = 30) -> tuple[Outcome, Observation, ScriptedSessions]:
    async with ScriptedSessions(script).serving() as server:
        outcome, seen = await run_once(make_path(server.base_url, simulated=False), make_job(cap=cap))
    assert server.status == "terminated"
    return outcome, seen, server


async def test_a_submitted_report_is_the_answer():
    outcome, seen, server = await play(SUBMITS)

    assert (outcome.status, outcome.ended_by, outcome.stop_reason) == (Status.SUCCESS, EndedBy.COMPLETED, "end_turn")
    assert outcome.output is not None
    assert outcome.output.model_dump(mode="json") == REPORT
    assert outcome.output_chars == len(json.dumps(REPORT))
    assert [answer["is_error"] for answer in server.answers] == [False]
    assert server.interrupts == 0
    assert (seen.iterations, seen.tool_calls, seen.tool_errors) == (3, 2, 0)


async def test_usage_is_the_sum_of_the_spans_with_all_writes_for_5m():
    _, seen, _ = await play(SUBMITS)

    expected = Usage(
        input_tokens=30,
        output_tokens=15,
        cache_read_input_tokens=207,
        cache_creation_input_tokens=107,
        cache_creation_5m_input_tokens=107,
        cache_creation_1h_input_tokens=0,
    )
    assert (seen.usage, seen.usage_quality) == (expected, UsageQuality.SPLIT_INFERRED)
    assert seen.totals is not None
    assert (seen.totals.active_ms, seen.totals.list_cost_nanousd) == (1500, 30_000_000)
    # 30 × 1000 + 107 × 1250 + 207 × 100 + 15 × 5000 for tokens, and 1.5 s of $0.08 an hour.
    assert seen.cost_nanousd == 30_000 + 133_750 + 20_700 + 75_000 + 33_333


async def test_a_session_with_1h_writes_leaves_the_split_and_the_cost_unknown():
    async with ScriptedSessions(SUBMITS, one_hour_writes=7).serving() as server:
        _, seen = await run_once(make_path(server.base_url, simulated=False), make_job())

    assert seen.usage.cache_creation_input_tokens == 107
    assert (seen.usage.cache_creation_5m_input_tokens, seen.usage.cache_creation_1h_input_tokens) == (None, None)
    assert (seen.cost_nanousd, seen.usage_quality) == (None, UsageQuality.REPORTED)


async def test_a_report_in_the_last_message_is_an_answer_too():
    outcome, seen, server = await play(
        [*BEGIN, message("m1", "Looking."), message("m2", json.dumps(REPORT)), request_end(1), idle("i")]
    )

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert outcome.output is not None
    assert server.interrupts == 0
    assert seen.first_text_ms is not None


def _submits_twice(second: object) -> list[Event]:
    return [
        *BEGIN,
        custom_use("s1", INVALID_REPORT),
        request_end(1),
        requires("w1", "s1"),
        AWAIT_ANSWER,
        request_start(2),
        custom_use("s2", second),
        request_end(2),
        requires("w2", "s2"),
        AWAIT_ANSWER,
        idle("i"),
    ]


async def test_an_invalid_report_is_sent_back_once_and_its_correction_accepted():
    outcome, seen, server = await play(_submits_twice(REPORT))

    assert outcome.status is Status.SUCCESS
    assert [answer["is_error"] for answer in server.answers] == [True, False]
    assert "findings" in server.answers[0]["content"][0]["text"]
    assert (seen.tool_calls, seen.tool_errors) == (2, 1)


@pytest.mark.parametrize("second", [INVALID_REPORT, {}, "no object", None])
async def test_a_second_invalid_report_ends_the_run(second: object):
    outcome, _, server = await play(_submits_twice(second))

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.OUTPUT_INVALID)
    assert outcome.error_stage is ErrorStage.OUTPUT
    assert (len(server.answers), server.interrupts) == (1, 1)


async def test_every_id_that_is_waited_for_is_answered():
    script = [
        *BEGIN,
        custom_use("other", {}, name="send_mail"),
        custom_use("s", REPORT),
        request_end(1),
        requires("w", "other", "s"),
        AWAIT_ANSWER,
        idle("i"),
    ]
    outcome, _, server = await play(script)

    assert outcome.status is Status.SUCCESS
    assert {answer["custom_tool_use_id"]: answer["is_error"] for answer in server.answers} == {
        "other": True,
        "s": False,
    }


async def test_of_two_reports_in_one_reply_the_first_valid_one_counts():
    script = [
        *BEGIN,
        custom_use("s1", INVALID_REPORT),
        custom_use("s2", REPORT),
        custom_use("s3", {**REPORT, "summary": "Another."}),
        request_end(1),
        requires("w", "s1", "s2", "s3"),
        AWAIT_ANSWER,
        idle("i"),
    ]
    outcome, _, server = await play(script)

    assert outcome.output is not None
    assert outcome.output.summary == REPORT["summary"]
    assert [answer["is_error"] for answer in server.answers] == [True, False, True]


async def test_a_tool_that_was_never_offered_is_answered_with_an_error_and_the_run_goes_on():
    script = [
        *BEGIN,
        custom_use("other", {}, name="send_mail"),
        request_end(1),
        requires("w", "other"),
        AWAIT_ANSWER,
        request_start(2),
        custom_use("s", REPORT),
        request_end(2),
        requires("w2", "s"),
        AWAIT_ANSWER,
        idle("i"),
    ]
    outcome, seen, server = await play(script)

    assert outcome.status is Status.SUCCESS
    assert "send_mail" in server.answers[0]["content"][0]["text"]
    assert (seen.tool_calls, seen.tool_errors) == (2, 1)


async def test_a_session_that_waits_for_something_unknown_is_stopped_instead_of_waited_for():
    outcome, _, server = await play([*BEGIN, tool_use("t"), request_end(1), requires("w", "t"), AWAIT_ANSWER])

    assert outcome.error_type is ErrorType.UNEXPECTED_REPLY
    assert server.interrupts == 1


async def test_an_interrupt_by_somebody_else_is_never_a_success():
    script = [*BEGIN, interrupt(), message("m", json.dumps(REPORT)), request_end(1), idle("i")]
    outcome, _, _ = await play(script)

    assert (outcome.status, outcome.ended_by) == (Status.ERROR, EndedBy.INTERRUPT)
    assert outcome.error_type is ErrorType.INTERRUPTED


async def test_an_interrupt_after_the_report_was_accepted_takes_nothing_back():
    outcome, _, _ = await play([*SUBMITS[:-1], interrupt(), SUBMITS[-1]])

    assert outcome.status is Status.SUCCESS


async def test_an_interrupt_before_our_message_is_not_our_business():
    outcome, _, _ = await play([interrupt(), idle("old"), *SUBMITS])

    assert outcome.status is Status.SUCCESS


async def test_a_repository_that_could_not_be_mounted_is_stopped_at_once():
    outcome, _, server = await play([*BEGIN, error("repository_not_found_error", "retrying"), FOREVER])

    assert outcome.error_type is ErrorType.REPOSITORY
    assert server.interrupts == 1


async def test_an_error_that_the_platform_retries_is_waited_out():
    outcome, _, server = await play([echo(), error("model_overloaded_error", "retrying"), *SUBMITS[1:]])

    assert outcome.status is Status.SUCCESS
    assert server.interrupts == 0
