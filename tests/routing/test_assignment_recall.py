"""What a process remembers of assignments, and how long a decision waits for the log."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from dispatcher.action.decision import Assignment
from dispatcher.routing.assignment import LOOK_UP_BOUND_S, NOTHING_ASSIGNED, Recall, Recalled


def assignment(variant: str = "legacy") -> Assignment:
    return Assignment(variant=variant, variant_hash=None, turn=1, key="c-1", share=0.5)


class Kept:
    """Assignments in memory, told by the test when to answer."""

    def __init__(self, **known: Assignment) -> None:
        self.known = known
        self.asked: list[str] = []
        self.waiting: list[tuple[str, Future[Assignment | None]]] = []
        self.stalled = False
        self.is_shut_down = False

    def look_up(self, tenant: str, feature: str, conversation_id: str) -> Future[Assignment | None]:
        found: Future[Assignment | None] = Future()
        self.asked.append(conversation_id)
        self.waiting.append((conversation_id, found))
        if not self.stalled:
            self.answer()
        return found

    def answer(self) -> None:
        while self.waiting:
            conversation_id, found = self.waiting.pop()
            if found.set_running_or_notify_cancel():
                found.set_result(self.known.get(conversation_id))

    def shutdown(self) -> None:
        self.is_shut_down = True


class Broken:
    def look_up(self, tenant: str, feature: str, conversation_id: str) -> Future[Assignment | None]:
        found: Future[Assignment | None] = Future()
        found.set_exception(OSError("the disk is gone"))
        return found

    def shutdown(self) -> None:
        """Nothing to free."""


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what another step of the event loop brings about."""
    while not happened():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def asked(recall: Recall, *conversations: str) -> list[Recalled]:
    return [await recall.of("acme", "agent_research", each) for each in conversations]


async def test_what_was_found_is_remembered_and_what_was_not_is_asked_for_again() -> None:
    kept = Kept(known=assignment())
    recall = Recall(kept)

    found = await asked(recall, "known", "new", "known", "new")

    assert found == [Recalled(assignment=assignment()), NOTHING_ASSIGNED] * 2
    assert kept.asked == ["known", "new", "new"]


async def test_tenants_features_and_conversations_are_told_apart() -> None:
    kept = Kept(one=assignment())
    recall = Recall(kept)

    for who in (("acme", "agent_research"), ("globex", "agent_research"), ("acme", "another")):
        await recall.of(*who, "one")

    assert kept.asked == ["one"] * 3


async def test_who_was_asked_for_longest_ago_is_forgotten_first() -> None:
    kept = Kept(**{name: assignment() for name in "abc"})
    recall = Recall(kept, most=2)

    await asked(recall, "a", "b", "a", "c", "a", "b")

    assert kept.asked == ["a", "b", "c", "b"]


async def test_a_log_that_does_not_answer_is_waited_for_no_longer_than_the_bound_and_stalls_nobody() -> None:
    """Of 20 turns at once none waits for another one, and the event loop goes on meanwhile."""
    kept = Kept()
    kept.stalled = True
    recall = Recall(kept)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    began = time.monotonic()
    found = await asyncio.gather(*(recall.of("acme", "agent_research", str(number)) for number in range(20)))
    took = time.monotonic() - began
    ticking.cancel()

    assert {each.problem for each in found} == {"the log did not answer within 50 ms"}
    assert LOOK_UP_BOUND_S == 0.05 <= took + 0.001
    assert took < 1
    assert ticks > 3


async def test_a_look_up_that_nobody_waits_for_any_more_never_begins() -> None:
    kept = Kept(known=assignment())
    kept.stalled = True
    recall = Recall(kept, bound_s=0.001)
    await asked(recall, "known")
    ((_, waiting),) = kept.waiting

    await until(waiting.cancelled)

    kept.stalled = False
    assert await asked(recall, "known") == [Recalled(assignment=assignment())]


async def test_an_answer_that_comes_too_late_is_there_for_the_next_turn() -> None:
    kept = Kept(known=assignment())
    kept.stalled = True
    recall = Recall(kept, bound_s=0.01)
    looking = asyncio.ensure_future(recall.of("acme", "agent_research", "known"))
    await until(lambda: bool(kept.waiting))
    ((_, waiting),) = kept.waiting
    assert waiting.set_running_or_notify_cancel()

    assert (await looking).problem == "the log did not answer within 10 ms"
    waiting.set_result(assignment())

    assert await asked(recall, "known") == [Recalled(assignment=assignment())]
    assert kept.asked == ["known"]


async def test_a_log_that_fails_is_a_problem_and_no_error() -> None:
    assert await asked(Recall(Broken()), "known") == [Recalled(problem="the disk is gone")]


async def test_a_caller_who_leaves_takes_his_look_up_with_him() -> None:
    kept = Kept()
    kept.stalled = True
    looking = asyncio.ensure_future(Recall(kept, bound_s=60).of("acme", "agent_research", "known"))
    await until(lambda: bool(kept.waiting))
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking

    ((_, waiting),) = kept.waiting
    await until(waiting.cancelled)


def test_an_answer_after_the_end_of_the_loop_that_asked_is_kept_all_the_same() -> None:
    kept = Kept(known=assignment())
    kept.stalled = True
    recall = Recall(kept, bound_s=0.01)

    async def ask_while_it_runs() -> list[Recalled]:
        looking = asyncio.ensure_future(asked(recall, "known"))
        await until(lambda: bool(kept.waiting))
        assert kept.waiting[0][1].set_running_or_notify_cancel()
        return await looking

    assert asyncio.run(ask_while_it_runs())[0].problem
    kept.waiting[0][1].set_result(assignment())
    assert asyncio.run(asked(recall, "known")) == [Recalled(assignment=assignment())]


def test_threads_with_loops_of_their_own_may_share_it() -> None:
    kept = Kept(**{str(number): assignment(str(number)) for number in range(50)})
    recall = Recall(kept, most=10)
    wrong: list[Recalled] = []

    def ask() -> None:
        for _ in range(5):
            found = asyncio.run(asked(recall, *kept.known))
            wrong.extend(
                each for each, name in zip(found, kept.known, strict=True) if each.assignment != kept.known[name]
            )

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_child_that_makes_its_own_knows_nothing_of_its_parents() -> None:
    kept = Kept(known=assignment())
    recall = Recall(kept)
    asyncio.run(asked(recall, "known"))
    child = os.fork()
    if not child:
        code = 1
        try:
            of_child = Recall(kept)
            found = asyncio.run(asked(of_child, "known"))
            code = 0 if found == [Recalled(assignment=assignment())] and kept.asked == ["known"] * 2 else 1
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept.asked == ["known"]


def test_shutting_down_frees_what_it_asks() -> None:
    kept = Kept()
    Recall(kept).shutdown()
    assert kept.is_shut_down
