"""A log handler that raises is the application's own affair: no flag is read, polled or told of less for it."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flag_server_world import World, ask, choosing, good, until
from routing_documents import FLAG

from dispatcher.routing.flags.file import EmbeddedFlags
from dispatcher.routing.flags.sighting import Sighting


class Breaking(logging.Handler):
    """Such as one whose disk is full and that doesn't keep it to itself."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def broken_log() -> Iterator[None]:
    logger, handler = logging.getLogger("dispatcher"), Breaking()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_polling_goes_on_before_during_and_after_an_outage(tmp_path: Path) -> None:
    world = World()
    with world.serving(good(choosing("a"))):
        flags = world.flags(tmp_path)
        flags.start()
        until(lambda: ask(flags).variant == "a" and not ask(flags).stale)
    until(lambda: ask(flags).stale)
    with world.serving(good(choosing("b"))):
        until(lambda: ask(flags).variant == "b" and not ask(flags).stale)
        flags.stop()


def test_no_evaluation_raises_and_a_broken_file_is_seen_broken_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(choosing("a"))
    flags = EmbeddedFlags(path, [FLAG])
    path.write_bytes(b"{")
    until(lambda: ask(flags).stale)
    path.write_bytes(choosing("b"))
    until(lambda: ask(flags).variant == "b" and not ask(flags).stale)


def test_a_flip_that_could_not_be_told_is_told_later(tmp_path: Path) -> None:
    tries: list[Sighting] = []

    def tell(sighting: Sighting) -> None:
        tries.append(sighting)
        if len(tries) == 1:
            raise ConnectionError

    with World().serving(good(choosing("a"))) as world:
        flags = world.flags(tmp_path, on_sighting=tell)
        flags.start()
        until(lambda: len(tries) == 2)
        flags.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_polling_that_was_cut_off_begins_again_with_the_next_evaluation(tmp_path: Path) -> None:
    """A debugger or a supervisor can raise an exception in any thread."""
    with World().serving(good(choosing("a"))) as world:
        flags = world.flags(tmp_path)
        flags.start()
        run = flags._run
        assert run is not None
        cut_off(run.thread)
        world.answering = good(choosing("b"))
        until(lambda: ask(flags).variant == "b")
        flags.stop()
        stopped = flags._run
        ask(flags)

    assert flags._run is stopped


def cut_off(thread: threading.Thread) -> None:
    ident = ctypes.c_ulong(thread.ident or 0)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit)) == 1
    until(lambda: not thread.is_alive())
