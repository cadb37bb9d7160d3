"""Turns of one conversation: the session goes on where it can, and each turn has its own figures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from managed_world import answered, make_job, make_path, run_once, run_watched, simulating

from dispatcher.action.observation import ZERO_USAGE, Status, UsageQuality
from dispatcher.action.transcript import TranscriptForm, verbatim
from dispatcher.paths.managed.creation import LOG_ID_KEY
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.totals import NANOUSD_PER_CENT
from dispatcher.paths.path import Replay
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.simulator.server import Simulator

QUESTIONS = ("Where is the kill switch looked at?", "Where are orders taken?", "Which file holds the kill switch?")


@pytest.fixture
def simulator(shop: Checkout) -> Iterator[Simulator]:
    with simulating(shop, time_scale=0) as running:
        yield running


async def converse(path: ManagedPath, shop: Checkout, turns: int = 2):
    """So many turns of one conversation; their outcomes and what was seen of each."""
    changes, runs = {}, []
    for number, question in enumerate(QUESTIONS[:turns], start=1):
        job = make_job(shop, cap=8, log_id=f"log-{number}", keeps_session=True, question=question, **changes)
        outcome, seen = await run_once(path, job)
        runs.append((outcome, seen))
        changes = {"seed": answered(job, outcome, seen)}
    return runs


async def statuses(path: ManagedPath) -> list[str]:
    listed = path._claude.client().beta.sessions.list(include_archived=True)
    return [session.status async for session in listed]


async def test_a_later_turn_goes_on_in_the_session_and_reads_what_was_said_from_the_cache(
    simulator: Simulator, shop: Checkout
):
    (_, first), (outcome, second) = await converse(make_path(simulator.base_url, simulated=True), shop)

    assert (outcome.status, second.transcript_form) == (Status.SUCCESS, TranscriptForm.SESSION)
    assert second.session == first.session
    uncached = [seen.calls[0].usage.input_tokens or 0 for seen in (first, second)]
    assert uncached[1] * 20 < uncached[0]


async def test_each_turn_has_the_usage_that_was_charged_for_it(simulator: Simulator, shop: Checkout):
    runs = await converse(make_path(simulator.base_url, simulated=True), shop, turns=3)

    charged = [entry.usage for entry in simulator.ledger if not entry.active_ms]
    for _, seen in runs:
        mine, charged = charged[: len(seen.calls)], charged[len(seen.calls) :]
        assert seen.usage == sum(mine, ZERO_USAGE)
        assert seen.usage_quality is UsageQuality.SPLIT_INFERRED
        assert seen.totals is not None
        assert seen.totals.usage == seen.usage
    assert charged == []


async def test_the_costs_of_the_turns_add_up_and_each_is_within_a_cent_of_the_platforms(
    simulator: Simulator, shop: Checkout
):
    runs = await converse(make_path(simulator.base_url, simulated=True), shop, turns=3)

    ours = [seen.cost_nanousd or 0 for _, seen in runs]
    theirs = [seen.totals.list_cost_nanousd for _, seen in runs if seen.totals]
    assert sum(ours) == pytest.approx(sum(entry.cost_nanousd or 0 for entry in simulator.ledger), abs=6)
    assert all(abs(mine - (platform or 0)) <= NANOUSD_PER_CENT for mine, platform in zip(ours, theirs, strict=True))


async def test_a_conversations_session_stays_idle_under_the_tag_of_its_latest_turn(
    simulator: Simulator, shop: Checkout
):
    path = make_path(simulator.base_url, simulated=True)
    await converse(path, shop)

    [session] = [session async for session in path._claude.client().beta.sessions.list()]
    assert (session.status, session.metadata[LOG_ID_KEY]) == ("idle", "log-2")


async def test_a_session_that_no_later_turn_may_use_is_archived(simulator: Simulator, shop: Checkout):
    path = make_path(simulator.base_url, simulated=True)
    await run_once(path, make_job(shop, cap=8))

    assert await statuses(path) == ["terminated"]


async def test_earlier_turns_without_a_session_are_told_in_the_message(simulator: Simulator, shop: Checkout):
    path = make_path(simulator.base_url, simulated=True)
    job = make_job(shop, cap=8)
    transcript = answered(job, *await run_once(path, job)).transcript
    again = make_job(shop, cap=8, log_id="log-2", question=QUESTIONS[1], seed=Replay(transcript))
    outcome, watched = await run_watched(path, again)

    assert (outcome.status, watched.seen.transcript_form) == (Status.SUCCESS, TranscriptForm.FLATTENED)
    said = await _messages(path, watched.noted[0].session_id)
    assert len(said) == 1
    assert transcript.turns[0].question in said[0]
    assert QUESTIONS[1] in said[0]
    # What the turn itself said is its question alone: the earlier turns are theirs.
    assert transcript.turns[0].question not in str(watched.seen.work[0])


async def test_a_turn_is_told_as_the_messages_api_would_hold_it(simulator: Simulator, shop: Checkout):
    runs = await converse(make_path(simulator.base_url, simulated=True), shop)

    for question, (outcome, seen) in zip(QUESTIONS, runs, strict=False):
        work = seen.work
        assert question in work[0]["content"][0]["text"]
        assert [message["role"] for message in work] == ["user", "assistant"] * (len(work) // 2)
        blocks = [block for message in work for block in message["content"]]
        used = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert sorted(used) == sorted(block["tool_use_id"] for block in blocks if block["type"] == "tool_result")
        [submitted] = [block["input"] for block in blocks if block.get("name") == "submit_result"]
        assert outcome.output is not None
        assert submitted == outcome.output.model_dump(mode="json")
        assert verbatim(work) == work


async def _messages(path: ManagedPath, session_id: str) -> list[str]:
    listed = path._claude.client().beta.sessions.events.list(session_id, types=["user.message"])
    return [event.content[0].text async for event in listed]
