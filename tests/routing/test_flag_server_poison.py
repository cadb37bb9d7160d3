"""What a server may say or do at worst: no start fails for it, no poll ends, nothing grows without an end."""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from flag_server_world import TOKEN, World, ask, choosing, good, status, until
from pydantic import SecretStr
from routing_documents import FLAG, document, only, rule, text

from dispatcher.errors import FlagServerUnavailable
from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.holder import told_briefly
from dispatcher.routing.flags.http import get
from dispatcher.routing.flags.server import ServerFlags
from dispatcher.routing.flags.server_document import read_server_document
from dispatcher.routing.flags.sift import sift_here
from dispatcher.routing.flags.store import Kept, StateStore

NOWHERE = "http://127.0.0.1:1"


def nested(depth: int) -> bytes:
    """A sound document with a value that is nested deeply beside it."""
    return text(document(rule()))[:-1] + b', "meta": {"a": ' + b"[" * depth + b"]" * depth + b"}}"


def test_a_kept_state_that_is_nested_too_deeply_to_be_read_here_does_not_stop_a_start(tmp_path: Path) -> None:
    """The thread that kept it may have had more room on its stack than the start that reads it."""
    store = StateStore(tmp_path, NOWHERE, TOKEN, [FLAG])
    store.write(Kept(version="v", etag=None, fetched_at=dt.datetime.now(dt.UTC), sifted=nested(3000)))

    flags = ServerFlags(NOWHERE, SecretStr(TOKEN), [FLAG], state_dir=tmp_path, refresh_s=60)

    assert flags._holder.held.engine is None


def test_of_what_surrounds_the_flags_only_the_count_of_edits_is_kept() -> None:
    sifted = json.loads(sift_here(text({**document(rule()), "meta": {"revisionId": 7, "more": ["x"] * 1000}}), [FLAG]))

    assert sifted["meta"] == {"revisionId": 7}


@pytest.mark.parametrize(
    ("told", "revision"), [(7, 7), (2**63 - 1, 2**63 - 1), (2**63, 0), (2**200, 0), (-1, 0), (True, 1), ("7", 0)]
)
def test_a_count_of_edits_that_no_database_takes_is_none(told: Any, revision: int) -> None:
    sifted = sift_here(text({**document(rule()), "meta": {"revisionId": told}}), [FLAG])

    assert read_server_document(sifted, "v", "server", [FLAG]).revision == revision


@pytest.mark.parametrize("location", ["http://[", "http://\x1b[31m", "http://" + "x" * 60_000])
def test_a_redirect_to_anywhere_is_an_answer_that_cannot_be_used(location: str) -> None:
    with World().serving(status(302, Location=location)) as world, pytest.raises(FlagServerUnavailable) as refused:
        get(world.url, headers={}, deadline_s=5)

    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_usage_that_cannot_be_posted_does_not_end_the_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong; here the system has no thread left to watch over the exchange."""
    start = threading.Timer.start
    exhausted = threading.Event()

    def refuse_watches(timer: threading.Timer) -> None:
        if timer.interval == 2.0:  # the deadline of a report
            exhausted.set()
            raise RuntimeError("can't start new thread")
        start(timer)

    monkeypatch.setattr(threading.Timer, "start", refuse_watches)
    with World().serving() as world:
        flags = world.flags(tmp_path, report_every_s=0.05)
        flags.start()
        ask(flags)
        assert exhausted.wait(10)
        world.answering = good(choosing("b"))
        until(lambda: ask(flags).variant == "b")
        flags.stop()


def test_without_a_thread_to_poll_the_kept_state_answers_and_polling_begins_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with World().serving() as world:
        flags = world.flags(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refused)
            flags.start()
            answer = ask(flags)
        assert (answer.state, answer.stale) == (FlagState.ERROR, True)
        assert "can't be polled" in (answer.problem or "")
        until(lambda: ask(flags).variant == "a")
        flags.stop()


def test_a_document_that_is_wrong_in_many_places_is_told_of_in_brief(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = text(document(rule(*({**only("acme"), "operator": "NOPE"} for _ in range(2000)))))
    with World().serving(good(wrong)) as world, caplog.at_level(logging.INFO):
        flags = world.flags(tmp_path)
        flags.start()
        problem = ask(flags).problem or ""
        flags.stop()

    assert "2000 problems" in problem
    assert len(problem) < 2100
    assert max(len(record.getMessage()) for record in caplog.records) < 2500
    assert told_briefly("short") == "short"


def test_a_key_that_nobody_knows_is_told_of_once_however_often_other_flags_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answering(number: int) -> bytes:
        return text({**document({**rule(), "key" * 1000: 1}), "meta": {"revisionId": number}})

    with World().serving(good(answering(1))) as world, caplog.at_level(logging.ERROR):
        flags = world.flags(tmp_path)
        flags.start()
        for number in (2, 3):
            world.answering = good(answering(number))
            until(lambda: flags._holder.held.engine.state.revision == number)  # type: ignore[union-attr]  # noqa: B023
        answer = ask(flags)
        flags.stop()

    assert answer.state is FlagState.OFF
    assert len(answer.detail) <= 500
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_state_that_was_sifted_for_another_flag_is_not_taken(tmp_path: Path) -> None:
    """Else its ETag would be confirmed, and the flag of the changed policies would be unknown for minutes."""
    with World().serving(good(text(document(rule(), name="another")))) as world:
        before = ServerFlags(world.url, SecretStr(TOKEN), ["another"], state_dir=tmp_path, refresh_s=60)
        before.start()
        before.stop()
        both = {**document(rule(variants={"a": 1}))}
        both["features"] += document(rule(), name="another")["features"][1:]
        world.answering = good(text(both), etag='"same"')
        other = ServerFlags(world.url, SecretStr(TOKEN), ["another"], state_dir=tmp_path, refresh_s=60)
        other.start()
        other.stop()
        flags = world.flags(tmp_path)
        flags.start()
        answer = ask(flags)
        flags.stop()

    assert answer.variant == "a"
