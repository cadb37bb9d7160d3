"""How an attempt on the messages path ends, over real HTTP against a scripted provider."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from paths_world import make_job, make_observer
from pydantic import SecretStr
from scripted_provider import (
    REPORT,
    Answer,
    answering,
    calling,
    provider,
    refused,
    reply_events,
    streamed,
    text_block,
    tool_block,
)

from dispatcher.action.observation import ZERO_USAGE, EndedBy, ErrorStage, ErrorType, Status, Usage, UsageQuality
from dispatcher.paths.claude import Claude
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome
from dispatcher.paths.repository.checkout import Checkout

SEARCH = calling(("toolu_1", "search_code", {"pattern": "LIMIT"}))


async def run(checkout: Checkout, script: Sequence[Answer], cap: int = 8) -> tuple[Outcome, Observation]:
    observer = make_observer()
    async with provider(script) as scripted:
        claude = Claude(api_key=SecretStr("sk-ant-secret"), base_url=scripted.base_url, simulated=False)
        outcome = await MessagesPath(claude).run(make_job(checkout, cap=cap), observer)
        assert len(scripted.requests) == len(script)
    return outcome, observer.observed()


async def test_a_valid_report_at_the_end_of_a_turn_is_success(checkout: Checkout) -> None:
    outcome, seen = await run(checkout, [SEARCH, answering()])

    assert (outcome.status, outcome.ended_by, outcome.stop_reason) == (Status.SUCCESS, EndedBy.COMPLETED, "end_turn")
    assert outcome.output is not None
    assert outcome.output.model_dump(mode="json") == REPORT
    assert len(json.dumps(REPORT)) == outcome.output_chars
    assert (seen.iterations, seen.tool_calls, seen.tool_errors) == (2, 1, 0)
    assert seen.usage_quality == UsageQuality.REPORTED


@pytest.mark.parametrize(
    ("stop_reason", "error_type", "ended_by"),
    [
        ("refusal", ErrorType.REFUSAL, EndedBy.REFUSAL),
        ("max_tokens", ErrorType.MAX_TOKENS, EndedBy.FAILURE),
        ("model_context_window_exceeded", ErrorType.CONTEXT_WINDOW, EndedBy.FAILURE),
        ("stop_sequence", ErrorType.UNEXPECTED_REPLY, EndedBy.FAILURE),
        ("something_new", ErrorType.UNEXPECTED_REPLY, EndedBy.FAILURE),
        (None, ErrorType.UNEXPECTED_REPLY, EndedBy.FAILURE),
    ],
)
async def test_a_valid_report_is_no_success_after_any_other_stop_reason(
    checkout: Checkout, stop_reason: str | None, error_type: ErrorType, ended_by: EndedBy
) -> None:
    outcome, seen = await run(checkout, [answering(stop_reason=stop_reason)])

    assert (Status.ERROR, error_type, ended_by) == (outcome.status, outcome.error_type, outcome.ended_by)
    assert stop_reason == outcome.stop_reason
    assert outcome.output is None
    assert seen.usage.output_tokens == 20


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"summary": "x", "findings": []}', '"\\ud800"', "[" * 5000])
async def test_an_answer_that_is_twice_no_report_is_output_invalid(checkout: Checkout, text: str) -> None:
    outcome, seen = await run(checkout, [answering(text), answering(text)])

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.OUTPUT_INVALID)
    assert (ErrorStage.OUTPUT, len(text)) == (outcome.error_stage, outcome.output_chars)
    assert (seen.iterations, seen.repairs) == (2, 1)


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
@pytest.mark.parametrize("whole", [False, True])
async def test_a_reply_that_broke_off_runs_no_tool(checkout: Checkout, stop_reason: str, *, whole: bool) -> None:
    start, deltas = tool_block("toolu_1", "search_code", {"pattern": "LIMIT"})
    outcome, seen = await run(checkout, [streamed(reply_events([(start, deltas[: 1 + whole])], stop_reason))])

    assert outcome.stop_reason == stop_reason
    assert (seen.tool_calls, seen.repairs) == (0, 0)


@pytest.mark.parametrize("written", ['{"pattern": ', "[1]", '"x"', '{"pattern": NaN}', '{"pattern": "\\ud800"}'])
async def test_a_tool_input_that_cannot_be_sent_back_ends_the_attempt(checkout: Checkout, written: str) -> None:
    start, _ = tool_block("toolu_1", "search_code", {})
    block = (start, [{"type": "input_json_delta", "partial_json": written}])
    outcome, seen = await run(checkout, [streamed(reply_events([block], "tool_use"))])

    assert (outcome.error_type, outcome.error_stage) == (ErrorType.UNEXPECTED_REPLY, ErrorStage.STREAM)
    assert seen.tool_calls == 0


async def test_a_stop_for_tools_without_a_tool_call_is_an_unexpected_reply(checkout: Checkout) -> None:
    outcome, _ = await run(checkout, [streamed(reply_events([text_block("hm")], "tool_use"))])

    assert outcome.error_type == ErrorType.UNEXPECTED_REPLY


WHOLE = reply_events([text_block(json.dumps(REPORT)[:30], json.dumps(REPORT)[30:])], "end_turn")


@pytest.mark.parametrize("kept", range(len(WHOLE)))
@pytest.mark.parametrize("ending", ["clean", "cut"])
async def test_a_stream_truncated_after_any_event_is_never_success(checkout: Checkout, kept: int, ending: str) -> None:
    outcome, seen = await run(checkout, [streamed(WHOLE[:kept], ending=ending)])

    expected = ErrorType.STREAM_TRUNCATED if ending == "clean" else ErrorType.CONNECTION
    assert (Status.ERROR, expected) == (outcome.status, outcome.error_type)
    assert (outcome.error_stage, outcome.output) == (ErrorStage.STREAM, None)
    counted = kept >= len(WHOLE) - 1
    assert (20 if counted else None) == seen.usage.output_tokens
    assert (100 if kept else None) == seen.usage.input_tokens
    assert (UsageQuality.REPORTED if counted else UsageQuality.PARTIAL if kept else UsageQuality.MISSING) == (
        seen.usage_quality
    )
    assert (seen.cost_nanousd is not None) == counted


@pytest.mark.parametrize(
    ("error_type", "expected"),
    [
        ("overloaded_error", ErrorType.OVERLOADED),
        ("rate_limit_error", ErrorType.RATE_LIMITED),
        ("api_error", ErrorType.PROVIDER_ERROR),
        ("never_heard_of", ErrorType.PROVIDER_ERROR),
    ],
)
async def test_an_error_in_the_stream_is_told_by_its_own_type(
    checkout: Checkout, error_type: str, expected: ErrorType
) -> None:
    error = {"type": "error", "error": {"type": error_type, "message": "no"}}
    outcome, seen = await run(checkout, [streamed([*WHOLE[:4], error])])

    assert (expected, ErrorStage.STREAM, 200) == (outcome.error_type, outcome.error_stage, outcome.http_status)
    assert seen.usage.input_tokens == 100


REFUSALS = [
    (refused(429, "rate_limit_error"), ErrorType.RATE_LIMITED),
    (refused(529, "overloaded_error"), ErrorType.OVERLOADED),
    (refused(401, "authentication_error"), ErrorType.AUTHENTICATION),
    (refused(413, "request_too_large"), ErrorType.INVALID_REQUEST),
]


@pytest.mark.parametrize(("answer", "expected"), REFUSALS)
async def test_a_request_that_the_provider_refused_was_not_run_and_cost_nothing(
    checkout: Checkout, answer: Answer, expected: ErrorType
) -> None:
    outcome, seen = await run(checkout, [answer])

    assert (expected, ErrorStage.REQUEST) == (outcome.error_type, outcome.error_stage)
    assert answer.status == outcome.http_status
    assert (
        seen.iterations,
        seen.usage_quality,
        seen.usage,
        seen.cost_nanousd,
    ) == (0, UsageQuality.REPORTED, ZERO_USAGE, 0)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>Bad gateway</html>", status=502, content_type="text/html"),
        refused(500, "api_error"),
        refused(408, "timeout_error"),
        Answer(b"<html>Log in</html>", content_type="text/html"),
    ],
)
async def test_a_request_that_may_have_run_has_an_unknown_cost(checkout: Checkout, answer: Answer) -> None:
    outcome, seen = await run(checkout, [answer])

    assert (outcome.status, outcome.error_stage) == (Status.ERROR, ErrorStage.REQUEST)
    assert (1, UsageQuality.MISSING, Usage(), None) == (
        seen.iterations,
        seen.usage_quality,
        seen.usage,
        seen.cost_nanousd,
    )


async def test_a_page_with_status_200_is_an_unexpected_reply(checkout: Checkout) -> None:
    outcome, _ = await run(checkout, [Answer(b"<html>Log in</html>", content_type="text/html")])

    assert (outcome.error_type, outcome.http_status) == (ErrorType.UNEXPECTED_REPLY, 200)


async def test_broken_json_in_the_stream_is_an_unexpected_reply(checkout: Checkout) -> None:
    outcome, _ = await run(checkout, [Answer(b'event: message_start\ndata: {"type": \n\n')])

    assert outcome.error_type == ErrorType.UNEXPECTED_REPLY


async def test_a_failure_of_a_later_request_keeps_the_usage_of_the_earlier(checkout: Checkout) -> None:
    outcome, seen = await run(checkout, [SEARCH, refused(529, "overloaded_error")])
    lost, seen_lost = await run(checkout, [SEARCH, refused(500, "api_error")])

    assert (outcome.error_type, outcome.stop_reason) == (ErrorType.OVERLOADED, None)
    assert (seen.iterations, len(seen.calls), seen.usage_quality) == (1, 1, UsageQuality.REPORTED)
    assert (seen.usage.input_tokens, seen.usage.output_tokens) == (100, 20)
    assert seen.cost_nanousd == 100 * 3000 + 20 * 15000
    assert lost.error_type == ErrorType.PROVIDER_ERROR
    assert (seen_lost.iterations, len(seen_lost.calls), seen_lost.usage_quality) == (2, 1, UsageQuality.PARTIAL)
    assert (seen_lost.usage.input_tokens, seen_lost.cost_nanousd) == (100, None)


async def test_a_request_id_of_any_length_is_kept_short(checkout: Checkout) -> None:
    answer = replace(answering(), headers={"request-id": "r" * 4_000})
    _, observed = await run(checkout, [answer])

    assert [call.request_id for call in observed.calls] == ["r" * 120]
