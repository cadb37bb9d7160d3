"""What the provider says never keeps a row open and never repeats a token."""

from __future__ import annotations

import json

import pytest
from managed_world import TOKEN, make_job, make_path, run_once
from scripted_sessions import ScriptedSessions
from session_scripts import SUBMITS, idle, request_end
from starlette.responses import JSONResponse

from dispatcher.action.observation import ErrorType, Status, UsageQuality

HUGE = 10**30
UNENCODABLE = "a\ud800"


async def play(server: ScriptedSessions):
    async with server.serving():
        return await run_once(make_path(server.base_url, simulated=False), make_job())


@pytest.mark.parametrize("value", [HUGE, -1, "7", 1.5])
async def test_tokens_of_a_request_that_are_no_count_are_unknown(value: object):
    end = request_end(1)
    end["model_usage"] = {**end["model_usage"], "output_tokens": value}

    class Counting(ScriptedSessions):
        def _usage(self):
            return {"input_tokens": 30, "output_tokens": 15}

    script = [end if event.get("id") == "sevt_end_1" else event for event in SUBMITS]
    outcome, seen = await play(Counting(script))

    assert outcome.status is Status.SUCCESS
    assert (seen.calls[0].usage.output_tokens, seen.usage_quality) == (None, UsageQuality.PARTIAL)


@pytest.mark.parametrize("value", [HUGE, -1, 1.5])
async def test_totals_of_a_session_that_are_no_count_are_unknown(value: object):
    class Odd(ScriptedSessions):
        def _usage(self):
            return {
                "input_tokens": value,
                "output_tokens": value,
                "cache_creation": {"ephemeral_5m_input_tokens": value, "ephemeral_1h_input_tokens": value},
                "active_seconds": 1e300,
                "list_cost": {"amount": "9" * 40, "currency": "USD"},
            }

    outcome, seen = await play(Odd(SUBMITS))

    assert (outcome.status, seen.usage_quality) == (Status.SUCCESS, UsageQuality.PARTIAL)
    assert seen.totals is not None
    assert (seen.totals.usage.input_tokens, seen.totals.usage.cache_creation_input_tokens) == (None, None)
    assert (seen.totals.active_ms, seen.totals.list_cost_nanousd) == (None, None)


async def test_a_word_that_cannot_be_written_down_is_not_taken():
    end = {**request_end(1), "id": UNENCODABLE}
    script = [end if event.get("id") == "sevt_end_1" else event for event in SUBMITS[:-1]]
    outcome, seen = await play(ScriptedSessions([*script, idle("sevt_idle", UNENCODABLE)]))

    assert (outcome.status, outcome.stop_reason) == (Status.SUCCESS, "a\ufffd")
    assert seen.calls[0].request_id == "a\ufffd"


@pytest.mark.parametrize("kind", ["sessions", "agents", "environments"])
async def test_an_id_that_cannot_be_written_down_is_an_unexpected_reply(kind: str):
    class Odd(ScriptedSessions):
        async def _create(self, request):
            answer = await super()._create(request)
            if not request.url.path.endswith(kind):
                return answer
            return JSONResponse({**json.loads(answer.body), "id": "x" * 100_000})

    outcome, seen = await play(Odd(SUBMITS))

    assert (outcome.error_type, seen.session) == (ErrorType.UNEXPECTED_REPLY, None)


async def test_a_token_at_the_cut_of_a_long_message_is_not_repeated_in_part():
    class Indiscreet(ScriptedSessions):
        async def _create(self, request):
            if not request.url.path.endswith("/sessions"):
                return await super()._create(request)
            problem = {"type": "invalid_request_error", "message": f"{'b' * (300 - len(TOKEN) // 2)}{TOKEN}"}
            return JSONResponse({"type": "error", "error": problem}, 400)

    outcome, _ = await play(Indiscreet(SUBMITS))

    assert outcome.error is not None
    assert TOKEN[: len(TOKEN) // 2] not in outcome.error
