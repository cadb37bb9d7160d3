"""The managed path over connections that break, repeat themselves and say things nobody knows."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from managed_world import make_job, make_path, run_once
from scripted_sessions import ScriptedSessions
from session_scripts import AWAIT_ANSWER, FOREVER, SUBMITS, Event, echo, idle, request_start

from dispatcher.action.observation import ErrorStage, ErrorType, Status, UsageQuality
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome

EVENTS = [index for index, event in enumerate(SUBMITS) if event is not AWAIT_ANSWER]


async def play(server: ScriptedSessions) -> tuple[Outcome, Observation]:
    async with server.serving():
        return await run_once(make_path(server.base_url, simulated=False), make_job())


def figures(seen: Observation) -> tuple[object, ...]:
    """What must not depend on how the events arrived."""
    calls = [replace(call, latency_ms=None) for call in seen.calls]
    return calls, seen.usage_quality, seen.cost_nanousd, seen.tool_calls, seen.iterations


async def test_a_connection_cut_at_any_event_changes_neither_the_answer_nor_the_figures():
    """The event at the cut, the last one included, is only in the history; every other cut is an abrupt one."""
    whole = await play(ScriptedSessions(SUBMITS))
    servers = [ScriptedSessions(SUBMITS, cut={index}, abruptly=index % 2 == 0) for index in EVENTS]
    runs = [await play(server) for server in servers]

    assert [(outcome, figures(seen)) for outcome, seen in runs] == [(whole[0], figures(whole[1]))] * len(EVENTS)
    assert [server.connections for server in servers] == [2] * len(EVENTS)
    assert [len(server.answers) for server in servers] == [1] * len(EVENTS)


async def test_a_connection_that_is_cut_at_every_event_still_ends_well():
    server = ScriptedSessions(SUBMITS, cut=EVENTS)
    outcome, seen = await play(server)

    assert (outcome.status, seen.usage_quality) == (Status.SUCCESS, UsageQuality.SPLIT_INFERRED)
    assert server.connections > 5


async def test_events_that_arrive_twice_count_once():
    whole, _ = await play(ScriptedSessions(SUBMITS))
    server = ScriptedSessions(SUBMITS, twice=True)
    outcome, seen = await play(server)

    assert outcome == whole
    assert (seen.iterations, seen.tool_calls, len(server.answers)) == (3, 2, 1)


async def test_what_was_missed_live_is_not_given_a_time():
    """The first request, or the first output, was read from the history; later ones are not the first."""
    (_, late_request), (_, late_output) = await asyncio.gather(
        play(ScriptedSessions(SUBMITS, cut={2}, pause_s=0.03)), play(ScriptedSessions(SUBMITS, cut={3}, pause_s=0.03))
    )

    assert late_request.first_token.unavailable_reason == "no_session_done"
    assert late_request.calls[0].latency_ms is None
    assert late_output.first_token.unavailable_reason == "no_first_token"


async def test_events_of_another_year_are_passed_over():
    strange: list[Event] = [
        {"type": "event_start", "event": {"type": "agent.message", "id": "sevt_x"}},
        {"type": "event_delta", "event_id": "sevt_x", "delta": {"type": "content_delta"}},
        {"type": "agent.dreamt", "id": "sevt_d", "content": [{"text": 1}]},
        {"type": "session.error", "id": "sevt_e", "error": {"type": "new_error", "retry_status": {"type": "maybe"}}},
        {"type": "session.error", "id": "sevt_f", "error": "odd"},
        {"type": "agent.message", "id": "sevt_m", "content": "odd"},
        {"type": "user.interrupted_kindly", "id": ""},
        {"type": "agent.tool_use"},
    ]
    outcome, _ = await play(ScriptedSessions([echo(), *strange, *SUBMITS[1:]]))

    assert outcome.status is Status.SUCCESS


async def test_a_stream_that_is_lost_for_good_ends_the_run_and_stops_the_session():
    """Every connection is cut before anything new is said, in good order or abruptly."""

    class Deaf(ScriptedSessions):
        async def _frames(self, stream):
            yield b": connected\n\n"
            if self.abruptly:
                raise ConnectionResetError

    script = [echo(), request_start(1), FOREVER]
    servers = [Deaf(script), Deaf(script, abruptly=True)]
    runs = await asyncio.gather(*map(play, servers))

    assert [outcome.error_type for outcome, _ in runs] == [ErrorType.STREAM_TRUNCATED, ErrorType.CONNECTION]
    assert {outcome.error_stage for outcome, _ in runs} == {ErrorStage.STREAM}
    assert [(server.interrupts, server.status) for server in servers] == [(1, "terminated")] * 2
    assert [seen.iterations for _, seen in runs] == [1, 1]


async def test_a_stream_that_may_not_be_opened_again_is_not_tried_again():
    class Forgetful(ScriptedSessions):
        async def _stream(self, request):
            if self.connections:
                self.refuses = {("GET", "/stream"): 404}
            return await super()._stream(request)

    server = Forgetful([echo(), request_start(1), FOREVER], cut={1})
    outcome, _ = await play(server)

    assert (outcome.error_type, outcome.http_status, server.connections) == (ErrorType.NOT_FOUND, 404, 1)
    assert server.interrupts == 1


async def test_a_report_accepted_before_the_stream_is_lost_is_a_success_with_partial_usage():
    script = [*SUBMITS[: SUBMITS.index(AWAIT_ANSWER) + 1], request_start(3), FOREVER]
    server = ScriptedSessions(script)
    outcome, seen = await play(server)

    assert (outcome.status, seen.usage_quality, seen.cost_nanousd) == (Status.SUCCESS, UsageQuality.PARTIAL, None)
    assert (server.interrupts, server.status) == (1, "terminated")
    assert seen.drain_ms is not None
    assert 1_400 <= seen.drain_ms <= 2_500


async def test_the_old_end_of_an_earlier_turn_is_not_the_end_of_ours():
    outcome, seen = await play(ScriptedSessions([request_start(0), idle("old"), *SUBMITS]))

    assert (outcome.status, seen.iterations) == (Status.SUCCESS, 3)
