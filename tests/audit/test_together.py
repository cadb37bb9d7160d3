"""What is asked for while others' work is done: in one go, in its order, and each with an end of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest

from dispatcher.audit.threads import Threads
from dispatcher.audit.together import Together


class Groups:
    """Groups of numbers that are done when they may begin."""

    def __init__(self, do: Callable[[Sequence[int]], Sequence[int | Exception]] = list, most: int = 4) -> None:
        self.threads = Threads(1, "x")
        self.may_begin = threading.Event()
        self.done: list[list[int]] = []
        self._do = do
        self._together = Together(self.threads, most, self._note)
        self.threads.submit(self.may_begin.wait)

    def submit(self, *numbers: int) -> list[Future[int]]:
        return [self._together.submit(number) for number in numbers]

    def _note(self, group: Sequence[int]) -> Sequence[int | Exception]:
        self.done.append(list(group))
        return self._do(group)


def is_shut_down(threads: Threads) -> bool:
    try:
        threads.submit(int)
    except RuntimeError:
        return True
    return False


def test_what_comes_meanwhile_is_done_in_its_order_and_no_more_of_it_at_once_than_may_be() -> None:
    groups = Groups(most=4)
    asked = groups.submit(*range(10))
    groups.may_begin.set()
    assert list(range(10)) == [future.result(30) for future in asked]
    assert groups.done == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    groups.threads.shutdown()


def test_between_two_groups_whatever_else_was_asked_for_has_its_turn() -> None:
    groups = Groups(most=4)
    groups.submit(*range(8))
    other = groups.threads.submit(lambda: groups.done.append([]))
    groups.may_begin.set()
    other.result(30)
    groups.threads.shutdown()
    assert groups.done == [[0, 1, 2, 3], [], [4, 5, 6, 7]]


def test_what_is_taken_back_before_it_began_is_never_done() -> None:
    groups = Groups()
    asked = groups.submit(1, 2, 3)
    assert asked[1].cancel()
    groups.may_begin.set()
    groups.threads.shutdown()
    assert groups.done == [[1, 3]]
    assert not asked[0].cancel()


def test_each_has_the_end_that_is_said_of_it() -> None:
    groups = Groups(lambda group: [ValueError(str(number)) if number % 2 else number for number in group])
    asked = groups.submit(0, 1, 2, 3)
    groups.may_begin.set()
    assert [str(future.exception(30)) for future in asked] == ["None", "1", "None", "3"]
    groups.threads.shutdown()


def test_where_nothing_can_be_said_all_of_the_group_have_failed_and_the_next_one_has_not() -> None:
    groups = Groups(lambda group: [10 // number for number in group], most=2)
    asked = groups.submit(1, 0, 5)
    groups.may_begin.set()
    assert [type(future.exception(30)) for future in asked] == [ZeroDivisionError, ZeroDivisionError, type(None)]
    groups.threads.shutdown()


def test_what_was_asked_for_is_done_before_a_shutdown_returns_and_nothing_afterwards() -> None:
    groups = Groups(most=2)
    asked = groups.submit(*range(5))
    end = threading.Thread(target=groups.threads.shutdown)
    end.start()
    while not is_shut_down(groups.threads):
        pass
    groups.may_begin.set()
    end.join(30)
    assert [future.result(0) for future in asked] == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="it is shut down"):
        groups.submit(5)


def test_nothing_of_many_callers_is_lost_or_doubled() -> None:
    threads, done = Threads(4, "x"), list[int]()
    together: Together[int, int] = Together(threads, 16, lambda group: (done.extend(group), group)[1])

    def caller(first: int) -> None:
        for number in range(first, first + 200):
            assert together.submit(number).result(30) == number

    callers = [threading.Thread(target=caller, args=(1000 * place,)) for place in range(16)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    threads.shutdown()
    assert sorted(1000 * place + number for place in range(16) for number in range(200)) == sorted(done)
