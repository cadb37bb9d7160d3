"""The managed path against the simulator, end to end on a real repository."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from managed_world import (
    HAIKU,
    URL,
    Watched,
    committed_lines,
    make_job,
    make_path,
    run_once,
    simulating,
    until_a_request_started,
)

from dispatcher.action.observation import ZERO_USAGE, EndedBy, ErrorType, Status, UsageQuality
from dispatcher.paths.managed.totals import NANOUSD_PER_CENT
from dispatcher.paths.observation import Observation
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.metering.ledger import LedgerEntry
from dispatcher.simulator.server import Simulator


@pytest.fixture(scope="module")
def simulator(shop: Checkout) -> Iterator[Simulator]:
    with simulating(shop, time_scale=0) as running:
        yield running


def charges(simulator: Simulator, seen: Observation) -> list[LedgerEntry]:
    """What the simulator charged for the session of a run."""
    assert seen.session is not None
    return [entry for entry in simulator.ledger if entry.session_id == seen.session.session_id]


async def test_a_question_is_answered_with_lines_that_exist(simulator: Simulator, shop: Checkout):
    outcome, seen = await run_once(make_path(simulator.base_url, simulated=True), make_job(shop))

    assert (outcome.status, outcome.ended_by, outcome.error) == (Status.SUCCESS, EndedBy.COMPLETED, None)
    assert outcome.output is not None
    for finding in outcome.output.findings:
        line = (shop.root / finding.file).read_text().splitlines()[finding.line - 1]
        assert finding.evidence in line
    assert (simulator.running_sessions, seen.tool_errors) == (0, 0)


async def test_usage_and_cost_are_what_the_simulator_charged(simulator: Simulator, shop: Checkout):
    _, seen = await run_once(make_path(simulator.base_url, simulated=True), make_job(shop))

    charged = charges(simulator, seen)
    requests = [entry for entry in charged if not entry.active_ms]
    assert [call.usage for call in seen.calls] == [entry.usage for entry in requests]
    assert [call.request_id for call in seen.calls] == [entry.request_id for entry in requests]
    assert seen.usage == sum((entry.usage for entry in requests), ZERO_USAGE)
    assert seen.usage_quality is UsageQuality.SPLIT_INFERRED
    assert seen.iterations == len(requests)
    assert seen.totals is not None
    assert seen.totals.active_ms == sum(entry.active_ms for entry in charged)
    assert seen.cost_nanousd == pytest.approx(sum(entry.cost_nanousd or 0 for entry in charged), abs=2)


async def test_our_cost_and_the_platforms_list_cost_agree_within_a_cent(simulator: Simulator, shop: Checkout):
    _, seen = await run_once(make_path(simulator.base_url, simulated=True), make_job(shop))

    assert seen.totals is not None
    assert seen.cost_nanousd is not None
    assert seen.totals.list_cost_nanousd is not None
    assert abs(seen.cost_nanousd - seen.totals.list_cost_nanousd) <= NANOUSD_PER_CENT


async def test_the_parts_of_the_wait_add_up_to_the_first_token(simulator: Simulator, shop: Checkout):
    _, seen = await run_once(make_path(simulator.base_url, simulated=True), make_job(shop))

    split = seen.first_token
    assert split.unavailable_reason is None
    assert None not in (split.ready_ms, split.session_init_ms, split.first_token_ms, split.remainder_ms)
    assert all(call.latency_ms is not None for call in seen.calls)


async def test_a_capped_run_is_an_error_with_its_usage(shop: Checkout):
    with simulating(shop, time_scale=0.02) as simulator:
        outcome, seen = await run_once(make_path(simulator.base_url, simulated=True), make_job(shop, cap=1))

        assert (outcome.status, outcome.ended_by) == (Status.ERROR, EndedBy.ITERATION_CAP)
        assert (outcome.output, outcome.error_type) == (None, ErrorType.ITERATION_CAP)
        # A tool that answers sooner than a reply counts as announced lets the next request start before it is stopped.
        assert 1 <= seen.iterations <= 2
        assert seen.usage == sum((entry.usage for entry in simulator.ledger), ZERO_USAGE)
        assert simulator.running_sessions == 0


async def test_a_repository_that_cannot_be_cloned_is_a_failure(simulator: Simulator, shop: Checkout):
    elsewhere = Checkout(shop.root, shop.commit_sha, "https://github.com/acme/nowhere")
    outcome, _ = await run_once(make_path(simulator.base_url, simulated=True), make_job(elsewhere))

    assert (outcome.status, outcome.error_type, outcome.output) == (Status.ERROR, ErrorType.REPOSITORY, None)
    assert simulator.running_sessions == 0


async def test_a_commit_that_does_not_exist_is_a_failure(simulator: Simulator, shop: Checkout):
    outcome, _ = await run_once(
        make_path(simulator.base_url, simulated=True), make_job(Checkout(shop.root, "f" * 40, URL))
    )

    assert (outcome.status, outcome.error_type) == (Status.ERROR, ErrorType.REPOSITORY)


async def test_the_repository_is_read_at_the_commit_and_not_as_it_lies_there(simulator: Simulator, shop: Checkout):
    switch = shop.root / "shop" / "switch.py"
    as_committed = switch.read_text()
    switch.write_text("nothing = None\n")
    outcome, _ = await run_once(make_path(simulator.base_url, simulated=True), make_job(shop))
    switch.write_text(as_committed)

    assert outcome.output is not None
    for finding in outcome.output.findings:
        assert finding.evidence in committed_lines(shop, finding.file)[finding.line - 1]


async def test_an_interrupt_from_the_console_ends_the_run_as_interrupted(shop: Checkout):
    with simulating(shop, time_scale=0.02) as simulator:
        path = make_path(simulator.base_url, simulated=True)
        watched = Watched()
        running = asyncio.create_task(path.run(make_job(shop), watched.observer))
        await until_a_request_started(watched)
        stranger = path._claude.client()
        session_id = watched.noted[0].session_id
        await stranger.beta.sessions.events.send(session_id, events=[{"type": "user.interrupt"}])
        outcome = await running
        await path.settle()

        assert (outcome.status, outcome.ended_by) == (Status.ERROR, EndedBy.INTERRUPT)
        assert outcome.error_type is ErrorType.INTERRUPTED
        assert simulator.running_sessions == 0


async def test_many_runs_at_once_share_one_agent_and_leave_nothing(simulator: Simulator, shop: Checkout):
    path = make_path(simulator.base_url, simulated=True)
    watched = [Watched() for _ in range(8)]
    jobs = [make_job(shop, log_id=f"log-of-many-{number}") for number in range(8)]
    outcomes = await asyncio.gather(*(path.run(job, one.observer) for job, one in zip(jobs, watched, strict=True)))
    await path.settle()

    assert [outcome.status for outcome in outcomes] == [Status.SUCCESS] * 8
    assert len({one.noted[0].agent_id for one in watched}) == 1
    assert len({one.noted[0].session_id for one in watched}) == 8
    sessions = [session async for session in path._claude.client().beta.sessions.list(include_archived=True)]
    assert {session.status for session in sessions} == {"terminated"}
    assert {session.metadata["dispatcher_log_id"] for session in sessions} >= {job.log_id for job in jobs}


@pytest.mark.parametrize("model", [HAIKU, "claude-sonnet-4-6", "claude-opus-5-5"])
async def test_every_model_comes_to_an_answer(simulator: Simulator, shop: Checkout, model: str):
    outcome, seen = await run_once(make_path(simulator.base_url, simulated=True), make_job(shop, cap=60, model=model))

    assert outcome.status is Status.SUCCESS
    assert {call.model for call in seen.calls} == {model}
