"""The progress of a dispatch, as it is told."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from dispatcher import (
    AttemptFinished,
    AttemptStarted,
    Decided,
    Finished,
    InvalidAction,
    RequestFinished,
    RequestStarted,
    TextArrived,
    ToolFinished,
)


@pytest.mark.parametrize("variant", ["legacy", "managed-haiku-4-5-cap8"])
def test_a_blocking_caller_is_told_each_step_in_order(dispatcher, ask, variant):
    told = []
    result = dispatcher.dispatch_research(ask("acme", variant=variant), told.append)
    kinds = [type(event) for event in told]
    assert kinds[:2] == [Decided, AttemptStarted]
    assert kinds[-2:] == [AttemptFinished, Finished]
    assert told[-1].result == result
    assert kinds.count(RequestStarted) == kinds.count(RequestFinished) == result.iterations
    assert kinds.count(ToolFinished) == result.tool_calls
    assert kinds.index(RequestStarted) < kinds.index(RequestFinished) < kinds.index(AttemptFinished)


def test_the_text_of_the_messages_path_arrives_piece_by_piece(dispatcher, ask):
    told = []
    result = dispatcher.dispatch_research(ask("acme", variant="legacy"), told.append)
    pieces = "".join(event.text for event in told if isinstance(event, TextArrived))
    assert result.output.summary[:20] in pieces


async def test_an_async_caller_iterates_over_the_same_events(dispatcher, ask):
    told = [event async for event in dispatcher.astream_research(ask())]
    assert (type(told[0]), type(told[-1]), told[-1].result.output is not None) == (Decided, Finished, True)


async def test_who_leaves_the_iteration_cancels_the_dispatch_and_its_row_is_closed(dispatcher, ask, rows):
    async with aclosing(dispatcher.astream_research(ask("acme", variant="managed-sonnet-4-6"))) as events:
        async for event in events:
            if isinstance(event, RequestStarted):
                break
    assert [row["status"] for row in rows()] == ["cancelled"]
    await dispatcher.settle()


async def test_misuse_is_raised_from_the_iteration(dispatcher, ask):
    with pytest.raises(InvalidAction, match="not registered"):
        async for _ in dispatcher.astream_research(ask(variant="nobody")):
            pass


@pytest.mark.parametrize("failure", [RuntimeError("gone"), asyncio.CancelledError(), SystemExit(1)], ids=repr)
@pytest.mark.parametrize("at", [Decided, AttemptStarted, RequestFinished, AttemptFinished, Finished])
def test_a_callback_that_fails_in_whatever_way_harms_nobody(dispatcher, ask, rows, caplog, failure, at):
    told = []

    def on_event(event):
        told.append(event)
        if isinstance(event, at):
            raise failure

    dispatcher.dispatch_research(ask(), on_event).raise_for_status()
    assert (type(told[-1]), "on_event failed" in caplog.text) == (at, True)
    assert [row["status"] for row in rows()] == ["success"]


def test_a_callback_that_would_have_to_be_awaited_is_refused_before_anything_is_spent(dispatcher, ask, rows):
    async def on_event(event):
        pass

    with pytest.raises(InvalidAction, match="astream_research"):
        dispatcher.dispatch_research(ask(), on_event)
    assert rows() == []


async def test_a_cancelled_iteration_cancels_the_dispatch(dispatcher, ask, rows):
    started = asyncio.Event()

    async def follow():
        async for event in dispatcher.astream_research(ask()):
            if isinstance(event, AttemptStarted):
                started.set()

    following = asyncio.ensure_future(follow())
    await started.wait()
    following.cancel()
    await asyncio.wait({following})
    assert [row["status"] for row in rows()] == ["cancelled"]
