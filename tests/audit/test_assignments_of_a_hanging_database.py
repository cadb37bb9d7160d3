"""A database that hangs costs a decision nothing after a while, and no line of look-ups grows behind it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest
import sqlalchemy as sa

from dispatcher.audit.assignments import LoggedAssignments
from dispatcher.audit.record import Origin
from dispatcher.errors import LogUnavailable


def hanging(engine: sa.Engine) -> tuple[threading.Event, threading.Event]:
    """Let every statement hang; what lets them go on, and what says that one hangs."""
    answering, asked = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        asked.set()
        answering.wait(30)

    sa.event.listen(engine, "before_cursor_execute", hang)
    return answering, asked


def test_behind_a_look_up_that_hangs_nobody_stands_in_line(engine: sa.Engine) -> None:
    answering, asked = hanging(engine)
    assignments = LoggedAssignments(engine, Origin.PRODUCTION)
    try:
        assert asked.wait(10)
        in_line = assignments.look_up("script", "agent_research", "c-1")
        end = time.monotonic() + 10
        while not (refused := assignments.look_up("script", "agent_research", "c-2")).done():
            assert time.monotonic() < end, "everybody stands in line"
            refused.cancel()
            time.sleep(0.05)
        with pytest.raises(LogUnavailable, match="hasn't answered for"):
            refused.result()
        answering.set()
        assert in_line.result(10) is None
        assert assignments.look_up("script", "agent_research", "c-3").result(10) is None
    finally:
        answering.set()
        assignments.shutdown()


def test_a_look_up_that_hangs_holds_up_no_shutdown(engine: sa.Engine) -> None:
    answering, asked = hanging(engine)
    assignments = LoggedAssignments(engine, Origin.PRODUCTION)
    try:
        assert asked.wait(10)
        in_line = assignments.look_up("script", "agent_research", "c-1")
        began = time.monotonic()
        assignments.shutdown()
        took = time.monotonic() - began
        with pytest.raises(LogUnavailable, match="it is shut down"):
            assignments.look_up("script", "agent_research", "c-2").result(10)
    finally:
        answering.set()
    with pytest.raises(CancelledError):
        in_line.result(10)

    assert took < 3


def test_a_look_up_that_hangs_does_not_keep_the_interpreter_from_ending() -> None:
    script = """
import threading
import sqlalchemy as sa
from dispatcher.audit.assignments import LoggedAssignments
from dispatcher.audit.record import Origin
engine = sa.create_engine("sqlite://")
asked = threading.Event()
sa.event.listen(engine, "before_cursor_execute", lambda *_: (asked.set(), threading.Event().wait()))
assignments = LoggedAssignments(engine, Origin.PRODUCTION)
asked.wait(30)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == 0


def test_a_reader_that_nobody_holds_any_more_ends_its_thread(engine: sa.Engine) -> None:
    assignments = LoggedAssignments(engine, Origin.PRODUCTION)
    assignments.look_up("script", "agent_research", "c-1").result(10)
    thread = assignments._thread
    del assignments
    gc.collect()
    thread.join(10)

    assert not thread.is_alive()
