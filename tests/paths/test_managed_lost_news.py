"""What a stream never delivers, or delivers without an id: it makes no success, no double and no wrong figure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from managed_world import make_job, make_path, run_once
from scripted_sessions import ScriptedSessions
from session_scripts import AWAIT_ANSWER, SUBMITS, Event, error, requires
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dispatcher.action.observation import ErrorType, Status, UsageQuality
from dispatcher.paths.observation import Observation
from dispatcher.paths.path import Outcome

NOT_CLONED = error("repository_clone_error", "retrying")


async def play(server: ScriptedSessions) -> tuple[Outcome, Observation]:
    async with server.serving():
        return await run_once(make_path(server.base_url, simulated=False), make_job())


def places(*ids: str) -> list[int]:
    return [place for place, event in enumerate(SUBMITS) if event.get("id") in ids]


class ClonesAtTheMessage(ScriptedSessions):
    """It finds out that there is no repository when a message arrives, and says so before it takes the message."""

    def _take(self, event: Event) -> None:
        if event["type"] == "user.message":
            self._emit(NOT_CLONED)
        super()._take(event)


@pytest.mark.parametrize(
    "server",
    [ScriptedSessions(SUBMITS, history=[NOT_CLONED]), ClonesAtTheMessage(SUBMITS)],
    ids=["before the stream was opened", "before the message was taken"],
)
async def test_a_repository_that_was_lost_before_our_message_is_never_a_success(server: ScriptedSessions):
    outcome, _ = await play(server)

    assert (outcome.status, outcome.error_type, outcome.output) == (Status.ERROR, ErrorType.REPOSITORY, None)
    assert (server.interrupts, server.status) == (1, "terminated")


class Reticent(ClonesAtTheMessage):
    """Its history can't be read at first, or not at all; the loss was told before anybody listened."""

    fails = 1

    async def _list_events(self, request: Request) -> Response:
        self.fails -= 1
        return JSONResponse([]) if self.fails >= 0 else await super()._list_events(request)

    def _emit(self, event: Event, *, cut: bool = False) -> None:
        if event is NOT_CLONED:
            self.history.append(event)
        else:
            super()._emit(event, cut=cut)


@pytest.mark.parametrize(("fails", "expected"), [(1, ErrorType.REPOSITORY), (99, ErrorType.UNEXPECTED_REPLY)])
async def test_a_report_is_no_success_before_it_is_known_that_there_was_a_repository(fails: int, expected: ErrorType):
    server = Reticent(SUBMITS)
    server.fails = fails
    outcome, _ = await play(server)

    assert (outcome.status, outcome.error_type, server.status) == (Status.ERROR, expected, "terminated")


@pytest.mark.parametrize("unheard", [("sevt_start_1", "sevt_end_1"), ("sevt_end_1",)])
async def test_a_request_that_the_stream_did_not_tell_is_counted_all_the_same(unheard: Sequence[str]):
    _, heard = await play(ScriptedSessions(SUBMITS))
    outcome, seen = await play(ScriptedSessions(SUBMITS, unheard=places(*unheard)))

    assert outcome.status is Status.SUCCESS
    assert (seen.iterations, seen.usage, seen.cost_nanousd) == (heard.iterations, heard.usage, heard.cost_nanousd)
    assert seen.usage_quality is UsageQuality.SPLIT_INFERRED


async def test_usage_whose_request_was_told_too_late_is_never_left_out_of_a_cost():
    outcome, seen = await play(ScriptedSessions(SUBMITS, unheard=places("sevt_start_1")))

    assert (outcome.status, seen.iterations) == (Status.SUCCESS, 3)
    assert (seen.cost_nanousd, seen.usage_quality) == (None, UsageQuality.PARTIAL)


async def test_a_report_that_the_stream_did_not_tell_is_looked_up_when_it_is_waited_for():
    server = ScriptedSessions(SUBMITS, unheard=places("sevt_submit"))
    outcome, _ = await play(server)

    assert (outcome.status, server.interrupts) == (Status.SUCCESS, 0)


async def test_what_is_waited_for_and_nowhere_told_is_looked_up_once():
    server = ScriptedSessions([*SUBMITS[:3], requires("sevt_waits", "sevt_never"), AWAIT_ANSWER])
    outcome, _ = await play(server)

    assert (outcome.error_type, server.status) == (ErrorType.UNEXPECTED_REPLY, "terminated")


async def test_events_without_an_id_are_not_counted_again_when_the_history_is_read():
    counted = {"span.model_request_start", "agent.tool_use"}
    script = [{**event, "id": None} if event["type"] in counted else event for event in SUBMITS]
    server = ScriptedSessions(script, cut=places("sevt_submit", "sevt_end_2"))
    # The script waits where it meets this very object.
    script[SUBMITS.index(AWAIT_ANSWER)] = AWAIT_ANSWER
    outcome, seen = await play(server)

    assert (outcome.status, seen.iterations, seen.tool_calls) == (Status.SUCCESS, 3, 2)
    assert seen.cost_nanousd is None
