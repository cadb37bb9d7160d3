"""What the managed path says and leaves behind where the provider fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from managed_world import ANY_CHECKOUT, TOKEN, Watched, make_job, make_path, run_once
from scripted_sessions import ScriptedSessions
from session_scripts import SUBMITS
from starlette.responses import JSONResponse

from dispatcher.action.observation import ErrorStage, ErrorType, Status, UsageQuality
from dispatcher.errors import LogUnavailable
from dispatcher.paths.managed.creation import LOG_ID_KEY, MOUNT_PATH
from dispatcher.paths.repository.checkout import Checkout


@dataclass(eq=False)
class Refusing(ScriptedSessions):
    """Refuses the first events that are sent to it, and doesn't take them."""

    statuses: list[int] = field(default_factory=list)

    async def _receive(self, request):
        if self.statuses:
            problem = {"type": "error", "error": {"message": "refused before it was taken"}}
            return JSONResponse(problem, self.statuses.pop(0))
        return await super()._receive(request)


async def play(server: ScriptedSessions):
    async with server.serving():
        return await run_once(make_path(server.base_url, simulated=False), make_job())


@pytest.mark.parametrize(
    ("refused", "stage"),
    [
        (("POST", "/agents"), ErrorStage.PROVISION),
        (("POST", "/environments"), ErrorStage.PROVISION),
        (("POST", "/sessions"), ErrorStage.SESSION),
        (("GET", "/stream"), ErrorStage.STREAM),
    ],
)
async def test_a_failure_before_the_message_is_told_with_its_stage(refused: tuple[str, str], stage: ErrorStage):
    server = ScriptedSessions(SUBMITS, refuses={refused: 500})
    outcome, seen = await play(server)

    assert (outcome.status, outcome.error_type, outcome.error_stage) == (Status.ERROR, ErrorType.PROVIDER_ERROR, stage)
    assert (outcome.http_status, seen.iterations, server.received) == (500, 0, [])


async def test_nothing_is_sent_twice():
    """Everything that is sent lands although its answer says otherwise; it is found there, and the run goes on."""
    server = ScriptedSessions(SUBMITS, refuses={("POST", "/events"): 500})
    outcome, seen = await play(server)

    sent = [event["type"] for event in server.received]
    assert sent == ["user.message", "user.custom_tool_result"]
    assert (outcome.status, seen.usage_quality, seen.retries) == (Status.SUCCESS, UsageQuality.SPLIT_INFERRED, 2)


async def test_a_message_that_never_landed_is_sent_again():
    server = Refusing(SUBMITS, statuses=[500])
    outcome, seen = await play(server)

    assert [event["type"] for event in server.received] == ["user.message", "user.custom_tool_result"]
    assert (outcome.status, seen.retries) == (Status.SUCCESS, 1)


async def test_what_lasts_is_not_sent_again_and_nothing_was_said():
    server = Refusing(SUBMITS, statuses=[403])
    outcome, seen = await play(server)

    assert (outcome.error_type, outcome.error_stage) == (ErrorType.PERMISSION, ErrorStage.REQUEST)
    assert (server.received, server.status, seen.retries) == ([], "terminated", 0)


async def test_a_report_stands_although_its_acceptance_could_not_be_sent():
    """The session is stopped then, and all that ran in it is known."""

    class Deaf(ScriptedSessions):
        def _take(self, event):
            if event["type"] == "user.custom_tool_result":
                self.refuses = {("POST", "/events"): 500}
            else:
                super()._take(event)

    server = Deaf(SUBMITS)
    outcome, seen = await play(server)

    assert (outcome.status, seen.usage_quality) == (Status.SUCCESS, UsageQuality.SPLIT_INFERRED)
    assert server.status == "terminated"


async def test_without_the_sessions_own_count_the_usage_is_partial_and_the_cost_unknown():
    outcome, seen = await play(ScriptedSessions(SUBMITS, refuses={("GET", "/sessions_1"): 500}))

    assert (outcome.status, seen.usage_quality, seen.cost_nanousd) == (Status.SUCCESS, UsageQuality.PARTIAL, None)
    assert seen.usage.input_tokens == 30


async def test_spans_that_disagree_with_the_session_make_the_usage_partial():
    class Generous(ScriptedSessions):
        def _usage(self):
            return {**super()._usage(), "output_tokens": 99}

    outcome, seen = await play(Generous(SUBMITS))

    assert (outcome.status, seen.usage_quality) == (Status.SUCCESS, UsageQuality.PARTIAL)
    assert seen.totals is not None
    assert (seen.usage.output_tokens, seen.totals.usage.output_tokens) == (15, 99)


async def test_a_session_is_tagged_with_its_row_and_mounts_the_repository_at_the_commit():
    server = ScriptedSessions(SUBMITS)
    await play(server)

    session = server.created[-1]
    assert session["metadata"] == {LOG_ID_KEY: "log-1"}
    assert session["agent"] == {"type": "agent", "id": "agents_1", "version": 1}
    assert session["resources"] == [
        {
            "type": "github_repository",
            "url": ANY_CHECKOUT.github_url,
            "checkout": {"type": "commit", "sha": ANY_CHECKOUT.commit_sha},
            "mount_path": MOUNT_PATH,
            "authorization_token": TOKEN,
        }
    ]


async def test_the_row_knows_the_session_before_anything_is_said_in_it():
    server = ScriptedSessions(SUBMITS)
    watched = Watched()
    said_before: list[int] = []

    async def note(session):
        said_before.append(len(server.received))

    watched.observer.note_session = note
    async with server.serving():
        path = make_path(server.base_url, simulated=False)
        await path.run(make_job(), watched.observer)
        await path.settle()

    assert said_before == [0]


async def test_a_row_that_cannot_take_the_session_stops_the_run_and_leaves_no_session():
    async def refuse(_session):
        raise LogUnavailable("the log is away")

    server = ScriptedSessions(SUBMITS)
    watched = Watched()
    watched.observer.note_session = refuse
    async with server.serving():
        path = make_path(server.base_url, simulated=False)
        with pytest.raises(LogUnavailable):
            await path.run(make_job(), watched.observer)
        await path.settle()

    assert (server.received, server.status) == ([], "terminated")


async def test_a_token_that_the_provider_quotes_is_not_repeated():
    class Indiscreet(ScriptedSessions):
        async def _create(self, request):
            if not request.url.path.endswith("/sessions"):
                return await super()._create(request)
            quoted = json.dumps((await request.json())["resources"])
            problem = {"type": "invalid_request_error", "message": f"bad resources {quoted}"}
            return JSONResponse({"type": "error", "error": problem}, 400)

    outcome, _ = await play(Indiscreet(SUBMITS))

    assert outcome.error_type is ErrorType.INVALID_REQUEST
    assert TOKEN not in repr(outcome)


@pytest.mark.parametrize("missing", ["github_url", "commit_sha"])
async def test_a_repository_that_cannot_be_mounted_costs_nothing(missing: str):
    checkout = Checkout(
        ANY_CHECKOUT.root,
        None if missing == "commit_sha" else ANY_CHECKOUT.commit_sha,
        None if missing == "github_url" else ANY_CHECKOUT.github_url,
    )
    server = ScriptedSessions(SUBMITS)
    async with server.serving():
        outcome, _ = await run_once(make_path(server.base_url, simulated=False), make_job(checkout))

    assert (outcome.error_type, server.created) == (ErrorType.REPOSITORY, [])


async def test_what_a_session_refused_is_looked_for_again_at_the_next_attempt():
    """An agent that somebody archived doesn't stop this process until it is restarted."""
    server = ScriptedSessions(SUBMITS, refuses={("POST", "/sessions"): 404})
    async with server.serving():
        path = make_path(server.base_url, simulated=False)
        first, _ = await run_once(path, make_job())
        server.refuses = {}
        second, _ = await run_once(path, make_job())

    assert (first.error_type, second.status) == (ErrorType.NOT_FOUND, Status.SUCCESS)
    assert len(server.created) == 5
