"""What is put away although nobody told of it, and what is left alone although it looked left behind."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Collection, Mapping

import pytest
from managed_world import HAIKU, Watched, make_job, make_path, make_sending, run_once
from scripted_sessions import ScriptedSessions
from session_scripts import FOREVER, SUBMITS, Event, echo, idle, message, request_end, request_start
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dispatcher.action.decision import CapMode
from dispatcher.action.observation import Status
from dispatcher.action.policy import RetryPolicy
from dispatcher.paths.managed.creation import LOG_ID_KEY
from dispatcher.paths.managed.sweep import LoggedRow, SweepReport, SweepRules
from dispatcher.paths.managed.turn import DRAIN_S


async def test_a_session_whose_creation_failed_and_landed_is_put_away_though_the_caller_leaves_before_the_next_try():
    class Landing(ScriptedSessions):
        async def _create(self, request: Request) -> Response:
            created = await super()._create(request)
            return JSONResponse({}, 500) if request.url.path.endswith("/sessions") else created

    server = Landing(SUBMITS)
    long_waits = RetryPolicy(attempts=3, first_wait_s=60, longest_wait_s=60)
    async with server.serving():
        watched = Watched()
        path = make_path(server.base_url, simulated=False)
        run = asyncio.ensure_future(path.run(make_job(retries=long_waits, deadline_ns=2**62), watched.observer))
        while not watched.told:  # noqa: ASYNC110 - an observer has no event to wait for
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await path.settle()

        assert server.status == "terminated"


@pytest.mark.parametrize(
    "script",
    [SUBMITS, [echo(), request_start(1), message("sevt_text", "No report."), request_end(1), idle("sevt_idle")]],
    ids=["report", "no report"],
)
async def test_a_session_that_runs_again_after_its_turn_is_stopped(script: list[Event]):
    """A message that landed twice, or somebody else's, has a turn of its own."""

    class RunsAgain(ScriptedSessions):
        async def _play(self, said: object) -> None:
            await super()._play(said)
            self.status = "running"

    server = RunsAgain(script)
    async with server.serving():
        await run_once(make_path(server.base_url, simulated=False), make_job())

        assert (server.status, server.interrupts) == ("terminated", 1)


async def test_after_its_report_a_session_that_nothing_stops_keeps_the_caller_no_longer_than_the_drain():
    class Unstoppable(ScriptedSessions):
        obeys = False

        def _interrupted(self, event: Event) -> None:
            if self.obeys:
                super()._interrupted(event)

    watched = Watched()
    server = Unstoppable([*SUBMITS[:12], request_start(3), FOREVER])
    async with server.serving():
        path = make_path(server.base_url, simulated=False)
        outcome = await path.run(make_job(), watched.observer)
        server.obeys = True
        await path.settle()

        assert server.status == "terminated"
    assert (outcome.status, watched.seen.cost_nanousd, server.interrupts >= 1) == (Status.SUCCESS, None, True)
    assert watched.seen.drain_ms is not None
    assert watched.seen.drain_ms <= DRAIN_S * 1000 + 500


class Platform(ScriptedSessions):
    """One that knows its agent, its session and the session's tag."""

    tag = "log-1"

    async def _list_nothing(self, request: Request) -> Response:
        agents = [{**body, "id": "agents_1"} for body in self.created if "model" in body]
        found = agents if request.url.path.endswith("agents") else []
        return JSONResponse({"data": found, "next_page": None})

    async def _list_sessions(self, request: Request) -> Response:
        return JSONResponse({"data": [self._session()], "next_page": None})

    async def _retrieve(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse(self._session())

    def _session(self) -> Event:
        return {"id": "sessions_1", "status": self.status, "metadata": {LOG_ID_KEY: self.tag}, "usage": {}}


NOW = dt.datetime.now(dt.UTC)
RULES = SweepRules(
    now=NOW, since=NOW - dt.timedelta(days=1), session_ttl=dt.timedelta(hours=1), grace=dt.timedelta(minutes=5)
)
ENDED = LoggedRow(
    status=Status.ERROR, session_id="sessions_1", deadline_at=NOW - dt.timedelta(hours=2), conversation_used_at=None
)


async def swept(server: Platform, *, taken_up: bool, unreadable: bool = False) -> SweepReport:
    path = make_path(server.base_url, simulated=False)
    await path._provisions.of(HAIKU, CapMode.INTERRUPT, make_sending())

    async def look_up(_log_ids: Collection[str]) -> Mapping[str, LoggedRow]:
        # While the log is read, a turn goes on in the session.
        server.tag = "log-2" if taken_up else "log-1"
        server.refuses = {("GET", "/sessions_1"): 500} if unreadable else {}
        return {"log-1": ENDED}

    return await path.sweep(look_up, RULES)


@pytest.mark.parametrize("status", ["idle", "running"])
async def test_a_sweep_leaves_a_session_that_a_turn_took_up_meanwhile(status: str):
    server = Platform(SUBMITS, status=status)
    async with server.serving():
        report = await swept(server, taken_up=True)

    assert (report.left, report.archived, report.stopped, report.failed) == (("sessions_1",), (), (), ())
    assert (server.status, server.interrupts) == (status, 0)


@pytest.mark.parametrize("status", ["idle", "running"])
async def test_a_sweep_puts_away_what_is_still_its_own(status: str):
    server = Platform(SUBMITS, status=status)
    async with server.serving():
        report = await swept(server, taken_up=False)

    assert report.archived + report.stopped == ("sessions_1",)
    assert (server.status, server.interrupts) == ("terminated", int(status == "running"))


async def test_a_sweep_leaves_what_it_cannot_tell_and_says_that_it_failed():
    server = Platform(SUBMITS, status="running")
    async with server.serving():
        report = await swept(server, taken_up=True, unreadable=True)

    assert (report.failed, report.stopped, server.interrupts) == (("sessions_1",), (), 0)
