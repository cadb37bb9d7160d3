"""The managed path over the simulator's faults: honest endings, nothing said twice, nothing left running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from managed_world import (
    HAIKU,
    Watched,
    make_job,
    make_path,
    make_sending,
    run_watched,
    simulating,
    until_a_request_started,
)

from dispatcher.action.decision import CapMode
from dispatcher.action.event import RepairRequested, RetryScheduled
from dispatcher.action.observation import ZERO_USAGE, EndedBy, ErrorType, Status, UsageQuality
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.faults.rule import Rule
from dispatcher.simulator.server import Simulator


@pytest.fixture(scope="module")
def shared(shop: Checkout) -> Iterator[Simulator]:
    with simulating(shop, time_scale=0.01) as running:
        yield running


@pytest.fixture
def simulator(shared: Simulator) -> Iterator[Simulator]:
    yield shared
    shared.clear_faults()


async def play(simulator: Simulator, shop: Checkout, *rules: dict[str, Any], log_id: str, cap: int = 6):
    """One attempt under faults; nothing may run afterwards, and every session is archived."""
    path = make_path(simulator.base_url, simulated=True, silence_s=0.3)
    await path._provisions.of(HAIKU, CapMode.INTERRUPT, make_sending())
    fired = len(simulator.faults_fired)
    simulator.inject(*(Rule(**rule) for rule in rules))
    outcome, watched = await run_watched(path, make_job(shop, log_id=log_id, cap=cap))
    assert len(simulator.faults_fired) > fired
    assert simulator.running_sessions == 0
    assert set(await _statuses(path, log_id)) <= {"terminated"}
    return outcome, watched, path


async def _sessions(path: ManagedPath, log_id: str) -> list[Any]:
    listed = path._claude.client().beta.sessions.list(include_archived=True)
    return [session async for session in listed if session.metadata.get("dispatcher_log_id") == log_id]


async def _statuses(path: ManagedPath, log_id: str) -> list[str]:
    return [session.status for session in await _sessions(path, log_id)]


async def _said(path: ManagedPath, watched: Watched) -> int:
    listed = path._claude.client().beta.sessions.events.list(watched.noted[-1].session_id, types=["user.message"])
    return len([event async for event in listed])


def charged(simulator: Simulator, watched: Watched) -> object:
    ours = {session.session_id for session in watched.noted}
    return sum((entry.usage for entry in simulator.ledger if entry.session_id in ours), ZERO_USAGE)


UNAPPLIED = [
    {"name": "status", "status": 429, "retry_after_ms": 20},
    {"name": "status", "status": 529},
    {"name": "status", "status": 503, "html": True},
    {"name": "drop_before"},
]
APPLIED = [
    {"name": "drop_after"},
    {"name": "status", "status": 502, "applied": True},
]


@pytest.mark.parametrize("fault", [*UNAPPLIED, *APPLIED], ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize(
    "on",
    [
        {"on": "sessions.create"},
        {"on": "events.send", "sent": "user.message"},
        {"on": "events.send", "sent": "user.custom_tool_result"},
    ],
    ids=lambda on: str(on.get("sent", on["on"])),
)
async def test_whatever_is_sent_is_applied_once_although_its_answer_fails(
    simulator: Simulator, shop: Checkout, on: dict[str, str], fault: dict[str, Any]
):
    log_id = f"{on} {fault}"
    outcome, watched, path = await play(simulator, shop, {**on, "fault": fault}, log_id=log_id)

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert len(await _sessions(path, log_id)) == 1
    assert await _said(path, watched) == 1
    assert watched.seen.retries == 1
    assert [event.wait_s > 0 for event in watched.told if isinstance(event, RetryScheduled)] == [True]
    assert watched.seen.usage == charged(simulator, watched)


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "cut", "at_event": 4, "how": "abrupt"},
        {"name": "cut", "at_event": 4, "how": "reset"},
        {"name": "cut", "at_event": 4, "how": "clean"},
        {"name": "error_event", "at_event": 5},
        {"name": "silence", "at_event": 3},
        {"name": "silence", "at_event": 3, "keepalive": "none"},
        {"name": "duplicate"},
        {"name": "unknown_event", "at_event": 2},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
async def test_a_stream_that_misbehaves_changes_neither_the_answer_nor_the_figures(
    simulator: Simulator, shop: Checkout, fault: dict[str, Any]
):
    rule = {"on": "events.stream", "fault": fault}
    outcome, watched, _ = await play(simulator, shop, rule, log_id=str(fault))

    assert (outcome.status, outcome.ended_by) == (Status.SUCCESS, EndedBy.COMPLETED)
    assert watched.seen.usage == charged(simulator, watched)
    assert watched.seen.usage_quality is UsageQuality.SPLIT_INFERRED


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"name": "terminated"}, ErrorType.SESSION_TERMINATED),
        ({"name": "deleted"}, ErrorType.SESSION_TERMINATED),
        ({"name": "budget_reached"}, ErrorType.BUDGET_REACHED),
        ({"name": "foreign_interrupt"}, ErrorType.INTERRUPTED),
        (_error := {"name": "session_error", "error_type": "tool_use_limit_reached_error"}, ErrorType.TOOL_USE_LIMIT),
        ({**_error, "error_type": "model_overloaded_error"}, ErrorType.RETRIES_EXHAUSTED),
        ({**_error, "error_type": "billing_error"}, ErrorType.BILLING),
        ({**_error, "error_type": "model_request_failed_error", "terminal": True}, ErrorType.SESSION_TERMINATED),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "-".join(map(str, value.values())),
)
async def test_a_run_that_dies_says_why(
    simulator: Simulator, shop: Checkout, fault: dict[str, Any], expected: ErrorType
):
    if fault["name"] == "session_error":
        terminal = fault.get("terminal", False)
        fault = {name: value for name, value in fault.items() if name != "terminal"}
        fault["retry_status"] = "terminal" if terminal else "exhausted"
    rule = {"on": "model_request", "at": 2, "fault": fault}
    outcome, watched, _ = await play(simulator, shop, rule, log_id=f"dies {expected}")

    assert (outcome.status, outcome.error_type, outcome.output) == (Status.ERROR, expected, None)
    assert watched.seen.iterations >= 1


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "session_error", "error_type": "model_overloaded_error", "retry_status": "retrying"},
        {"name": "rescheduled", "seconds": 5},
        {"name": "late_usage"},
    ],
    ids=lambda fault: str(fault["name"]),
)
async def test_what_the_platform_mends_itself_is_waited_for(
    simulator: Simulator, shop: Checkout, fault: dict[str, Any]
):
    rule = {"on": "model_request", "at": 2, "fault": fault}
    outcome, watched, _ = await play(simulator, shop, rule, log_id=f"mends {fault['name']}")

    assert outcome.status is Status.SUCCESS
    assert watched.seen.usage == charged(simulator, watched)


async def test_usage_that_is_told_after_the_end_is_waited_for(simulator: Simulator, shop: Checkout):
    """The last request's usage follows the idle event, whichever request that is."""
    rule = {"on": "model_request", "every": True, "fault": {"name": "late_usage"}}
    outcome, watched, _ = await play(simulator, shop, rule, log_id="late")

    assert (outcome.status, watched.seen.usage_quality) == (Status.SUCCESS, UsageQuality.SPLIT_INFERRED)
    assert watched.seen.usage == charged(simulator, watched)


async def test_a_repository_that_cannot_be_cloned_is_a_failure(simulator: Simulator, shop: Checkout):
    rule = {"on": "repository.clone", "fault": {"name": "clone_error"}}
    outcome, _, _ = await play(simulator, shop, rule, log_id="clone")

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.REPOSITORY)


async def test_an_answer_that_was_sent_back_is_counted_and_told(simulator: Simulator, shop: Checkout):
    rules = [{"on": "model_request", "every": True, "fault": {"name": "invalid_report"}}]
    outcome, watched, _ = await play(simulator, shop, *rules, log_id="repair", cap=30)

    assert (outcome.error_type, watched.seen.repairs) == (ErrorType.OUTPUT_INVALID, 1)
    assert [event for event in watched.told if isinstance(event, RepairRequested)] == [RepairRequested()]


@pytest.mark.parametrize(
    "fault",
    [{"name": "slow_interrupt", "seconds": 60}, {"name": "ignored_interrupt"}],
    ids=["slow", "ignored"],
)
async def test_an_interrupt_that_is_not_obeyed_at_once_still_leaves_nothing_running(
    simulator: Simulator, shop: Checkout, fault: dict[str, Any]
):
    rule = {"on": "events.send", "sent": "user.interrupt", "fault": fault}
    path = make_path(simulator.base_url, simulated=True)
    simulator.inject(Rule(**rule))
    watched = Watched()
    running = asyncio.create_task(path.run(make_job(shop, log_id=f"stop {fault['name']}"), watched.observer))
    await until_a_request_started(watched)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await path.settle()

    assert simulator.running_sessions == 0
    assert await _statuses(path, f"stop {fault['name']}") == ["terminated"]
    assert watched.seen.usage == charged(simulator, watched)


async def test_a_session_whose_creation_was_never_answered_is_put_away(
    simulator: Simulator, shop: Checkout, caplog: pytest.LogCaptureFixture
):
    """The reply is no JSON, so nothing is sent again; the session is there and is found by its tag."""
    rule = {"on": "sessions.create", "fault": {"name": "non_json", "applied": True}}
    outcome, watched, path = await play(simulator, shop, rule, log_id="lost")

    assert (outcome.error_type, watched.noted) == (ErrorType.UNEXPECTED_REPLY, [])
    assert await _statuses(path, "lost") == ["terminated"]
    assert caplog.records == []
